import random
import signal

import pytest


class TestKill:
    def test_goes_on_after_a_kill_in_the_middle_of_an_activity(self, make_host, tmp_path):
        host = make_host()
        host.start()
        flag = tmp_path / "flag"
        instance_id = host.begin("waits_for_file", str(flag))
        host.until(lambda: host.count("await-begun"), lambda count: count == 1)

        host.kill()
        flag.touch()
        host.start()

        status = host.wait_for(instance_id)
        assert status["output"] == ["seen", "hello after"]
        assert host.count("await-begun") == 2

    def test_fires_timers_that_came_due_while_it_was_down(self, make_host):
        host = make_host()
        host.start()
        instance_id = host.begin("approval", 0.3)
        host.wait_for(instance_id, "Running")

        host.kill()
        host.start()

        assert host.wait_for(instance_id)["output"] == {"approved": None}

    def test_keeps_events_and_entities(self, make_host):
        host = make_host()
        host.start()
        instance_id = host.begin("events")
        host.post(f"/durabletask/instances/{instance_id}/raiseEvent/first", 1)
        host.post("/api/client/signal/kept", {"op": "add", "input": 7})

        host.kill()
        host.start()
        host.post(f"/durabletask/instances/{instance_id}/raiseEvent/second", 2)

        assert host.wait_for(instance_id)["output"] == [1, 2]
        host.until(
            lambda: host.post("/api/client/state/kept").json(), lambda state: state["state"] == 7
        )

    @pytest.mark.parametrize("seed", range(3))
    def test_kills_at_random_moments_lose_nothing(self, make_host, seed):
        random_source = random.Random(seed)
        host = make_host("--strict")
        host.start()
        ids = [host.begin("counted", {"key": f"k{n}", "steps": 12}) for n in range(4)]

        for _ in range(3):
            begun = len(list(host.notes.glob("count-*")))
            enough = begun + random_source.randint(1, 40)
            host.until(
                lambda: [host.status(one)["runtimeStatus"] for one in ids],
                lambda states, enough=enough: (
                    len(list(host.notes.glob("count-*"))) >= enough or set(states) == {"Completed"}
                ),
            )
            host.kill()
            host.start()

        assert [host.wait_for(one)["output"] for one in ids] == [36] * 4
        assert len(list(host.notes.glob("count-*"))) == 4 * 36


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_fast_though_functions_block(self, make_host, number):
        host = make_host()
        host.start()
        # Twice as long as a host has for its end.
        host.post("/admin/functions/nap", {"input": 60})
        host.until(lambda: host.count("nap-begun"), lambda count: count == 1)

        assert host.stop(number) == 0

    @pytest.mark.parametrize("ordered", [0, 1, 4, 5, 20])
    def test_ends_fast_however_many_activities_wait(self, make_host, ordered):
        host = make_host()
        durable = {"maxConcurrentActivityFunctions": 4}
        host.write_app_file("host.json", {"extensions": {"durableTask": durable}})
        values = {"SAMPLE_GREETING": "", "PYTHON_THREADPOOL_THREAD_COUNT": "2"}
        host.write_app_file("local.settings.json", {"Values": values})
        host.start()
        host.begin("naps", ordered)
        host.until(lambda: host.count("nap-begun"), lambda count: count == min(ordered, 2))

        status = host.stop()

        assert status == 0

    def test_a_second_host_on_the_same_folder_is_refused(self, make_host):
        host = make_host()
        host.start()
        other = make_host(name="other")
        other.data_dir = host.data_dir

        with pytest.raises(AssertionError, match="in use by another functions host"):
            other.start()


class TestTimerTriggers:
    def test_runs_at_startup_when_asked(self, make_host):
        host = make_host()
        host.start()

        host.until(lambda: host.count("nightly"), lambda count: count == 1)


class TestLoading:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("import nothing_like_this", "ModuleNotFoundError"),
            ("app = 1", "exactly one app object"),
        ],
    )
    def test_an_app_that_cannot_be_loaded_ends_the_host(self, make_host, source, words):
        host = make_host()
        (host.app_dir / "function_app.py").write_text(source)

        with pytest.raises(AssertionError, match=words):
            host.start()

        assert host.stop() == 1
