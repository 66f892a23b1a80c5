import time

import pytest

AZURES_POLL_S = 30.0
"""How long Azure's storage provider may sleep between two looks at an idle queue."""


class TestOrchestrations:
    def test_chains_activities_and_shows_the_custom_status(self, shared_host):
        status = shared_host.run("chain", ["a", "b"])

        assert status["runtimeStatus"] == "Completed"
        assert status["output"] == ["hello a", "hello b"]
        assert status["customStatus"] == {"done": 2}

    def test_fans_out_and_in(self, shared_host):
        assert shared_host.run("fan_out", 100)["output"] == 100

    def test_begins_a_started_activity_without_waiting_for_a_poll(self, shared_host):
        shared_host.run("chain")

        began = time.monotonic()
        shared_host.run("chain", ["a"])

        assert time.monotonic() - began < AZURES_POLL_S

    def test_retries_until_it_works(self, shared_host):
        status = shared_host.run("retries", {"key": "works", "good_at": 2})

        assert status["output"] == {"tries": 2, "after": "hello made it"}

    def test_gives_up_after_the_last_attempt_and_goes_on(self, shared_host):
        status = shared_host.run("retries", {"key": "never", "good_at": 99})

        assert status["output"] == {
            "error": "Activity function 'flaky' failed:  ValueError: try 3 ",
            "after": "hello gave up",
        }
        assert shared_host.count("flaky-never") == 3

    def test_calls_children_and_hears_of_their_failure(self, shared_host):
        instance_id = shared_host.begin("parent")

        status = shared_host.wait_for(instance_id)

        assert status["output"] == [
            ["hello x"],
            ["hello y"],
            "Orchestrator function 'raises' failed: told you",
        ]
        assert shared_host.status(f"{instance_id}-named")["runtimeStatus"] == "Completed"

    def test_fails_with_the_function_s_own_words(self, shared_host):
        status = shared_host.run("raises")

        assert status["runtimeStatus"] == "Failed"
        assert status["output"] == "Orchestrator function 'raises' failed: told you"

    def test_continues_as_new(self, shared_host):
        status = shared_host.run("eternal", 5)

        assert status["output"] == "enough"
        assert status["input"] == "1"

    def test_waits_for_a_human_or_the_timeout(self, shared_host):
        waited = shared_host.run("approval", 0.2)
        instance_id = shared_host.begin("approval", 600)
        shared_host.wait_for(instance_id, "Running")
        shared_host.post(f"/api/client/raise/{instance_id}", {"name": "Approval", "data": "yes"})
        approved = shared_host.wait_for(instance_id)

        assert waited["output"] == {"approved": None}
        assert approved["output"] == {"approved": '"yes"'}

    def test_keeps_events_that_come_before_their_wait(self, shared_host):
        instance_id = shared_host.begin("events")
        for name in ("second", "first"):
            shared_host.post(f"/durabletask/instances/{instance_id}/raiseEvent/{name}", [name])

        assert shared_host.wait_for(instance_id)["output"] == [["first"], ["second"]]

    def test_a_plain_function_is_an_orchestrator_too(self, shared_host):
        assert shared_host.run("plain", {"a": [1]})["output"] == {"input": {"a": [1]}}

    def test_an_unknown_activity_fails_with_a_sentence(self, shared_host):
        status = shared_host.run("unknown_activity")

        assert status["runtimeStatus"] == "Failed"
        assert "no activity named 'nobody'" in status["output"]

    def test_a_timer_that_was_not_cancelled_keeps_it_running(self, shared_host):
        instance_id = shared_host.begin("leaves_timer")

        shared_host.until(lambda: shared_host.log, lambda log: "never cancelled" in log)

        assert shared_host.status(instance_id)["runtimeStatus"] == "Running"


class TestEntities:
    def test_answers_calls_in_order_and_tells_of_errors(self, shared_host):
        instance_id = shared_host.begin("talks_to_entity")

        assert shared_host.wait_for(instance_id)["output"] == [42, "boom"]
        state = shared_host.post(f"/api/client/state/{instance_id}").json()
        assert state == {"exists": True, "state": 42}

    def test_takes_signals_of_clients_until_it_is_deleted(self, shared_host):
        read = lambda: shared_host.post("/api/client/state/signalled").json()  # noqa: E731
        for _ in range(3):
            shared_host.post("/api/client/signal/signalled", {"op": "add", "input": 5})
        shared_host.until(read, lambda state: state["state"] == 15)

        listed = shared_host.get("/durabletask/entities/counter?fetchState=true").json()
        assert {"name": "counter", "key": "signalled"} in [one["entityId"] for one in listed]
        shared_host.post("/api/client/signal/signalled", {"op": "delete"})
        shared_host.until(read, lambda state: not state["exists"])


class TestSteering:
    def test_terminates(self, shared_host):
        instance_id = shared_host.begin("approval", 600)

        shared_host.post(f"/api/client/terminate/{instance_id}", "no longer wanted")

        status = shared_host.wait_for(instance_id)
        assert status["runtimeStatus"] == "Terminated"
        assert status["output"] == "no longer wanted"

    def test_the_parent_of_a_terminated_child_hears_of_it(self, shared_host):
        instance_id = shared_host.begin("parent", {"failing": "approval"})
        child = shared_host.until(
            lambda: [
                one["instanceId"]
                for one in shared_host.get(
                    "/durabletask/instances?runtimeStatus=Running,Pending"
                ).json()
                if one["name"] == "approval" and ":" in one["instanceId"]
            ],
            bool,
        )
        shared_host.post(f"/durabletask/instances/{child[0]}/terminate?reason=enough")

        assert shared_host.wait_for(instance_id)["output"][2] == "enough"

    def test_holds_events_while_suspended(self, shared_host):
        instance_id = shared_host.begin("events")
        shared_host.wait_for(instance_id, "Running")
        shared_host.post(f"/api/client/suspend/{instance_id}", "a pause")
        shared_host.wait_for(instance_id, "Suspended")
        again = shared_host.post(f"/durabletask/instances/{instance_id}/suspend?reason=x")
        for name in ("first", "second"):
            shared_host.post(f"/durabletask/instances/{instance_id}/raiseEvent/{name}", name)
        held = shared_host.status(instance_id)["runtimeStatus"]

        shared_host.post(f"/api/client/resume/{instance_id}", "go on")

        assert again.status_code == 500
        assert held == "Suspended"
        assert shared_host.wait_for(instance_id)["output"] == ["first", "second"]

    def test_purges_only_what_has_ended(self, shared_host):
        instance_id = shared_host.begin("approval", 600)
        early = shared_host.post(f"/api/client/purge/{instance_id}")
        shared_host.post(f"/api/client/terminate/{instance_id}", "over")
        shared_host.wait_for(instance_id)

        purged = shared_host.post(f"/api/client/purge/{instance_id}").json()

        assert early.status_code == 418
        assert purged == 1
        assert shared_host.get(f"/durabletask/instances/{instance_id}").status_code == 404
        assert shared_host.post(f"/api/client/purge/{instance_id}").json() == 0

    def test_starts_again_under_the_same_id_once_it_has_ended(self, shared_host):
        instance_id = shared_host.begin("approval", 600, instance_id="again-and-again")
        refused = shared_host.post("/durabletask/orchestrators/approval/again-and-again")
        shared_host.post(f"/api/client/terminate/{instance_id}", "over")
        shared_host.wait_for(instance_id)

        shared_host.begin("chain", ["z"], instance_id=instance_id)

        assert refused.status_code == 409
        assert shared_host.wait_for(instance_id)["output"] == ["hello z"]

    def test_restarts_with_the_same_input(self, shared_host):
        instance_id = shared_host.begin("chain", ["r"])
        shared_host.wait_for(instance_id)

        payload = shared_host.post(f"/api/client/restart/{instance_id}").json()

        assert payload["id"] == instance_id
        assert shared_host.wait_for(instance_id)["output"] == ["hello r"]


class TestStrict:
    @pytest.mark.parametrize(
        ("name", "words"), [("leaves_timer", "never cancelled"), ("unknown_activity", "nobody")]
    )
    def test_fails_at_once(self, make_host, name, words):
        host = make_host("--strict")
        host.start()

        status = host.run(name)

        assert status["runtimeStatus"] == "Failed"
        assert words in status["output"]
        assert words in host.log

    def test_leaves_sound_orchestrations_alone(self, make_host):
        host = make_host("--strict")
        host.start()

        outputs = [
            host.run("retries", {"key": "k", "good_at": 9})["output"]["after"],
            host.run("approval", 0.05)["output"],
            host.run("eternal", 3)["output"],
            host.run("talks_to_entity")["output"],
            host.run("parent")["output"][0],
        ]

        assert outputs == [
            "hello gave up",
            {"approved": None},
            "enough",
            [42, "boom"],
            ["hello x"],
        ]


class TestDuplicateDelivery:
    def test_changes_no_result(self, make_host):
        host = make_host("--duplicate-delivery", "--strict")
        host.start()

        counted = host.run("counted", {"key": "twice", "steps": 3})
        chained = host.run("chain", list("abcdefgh"))
        fanned = host.run("fan_out", 50)

        assert counted["output"] == 9
        assert len(chained["output"]) == 8
        assert fanned["output"] == 50
        host.until(lambda: host.count("count-twice-2-2"), lambda count: count == 2)


class TestTroubles:
    def test_late_messages_and_slow_storage_change_no_result(self, make_host):
        host = make_host(
            *("--late-messages", "7", "--slow-storage", "7", "--duplicate-delivery", "--strict")
        )
        host.start()
        names = {
            "chain": ["a"],
            "retries": {"key": "late", "good_at": 99},
            "approval": 0.05,
            "talks_to_entity": None,
            "eternal": 2,
        }

        ids = {name: host.begin(name, value) for name, value in names.items()}

        outputs = {name: host.wait_for(one)["output"] for name, one in ids.items()}
        # Which of its tries is the last one to be heard of is chance.
        outputs["retries"] = outputs["retries"]["after"]
        assert outputs == {
            "chain": ["hello a"],
            "retries": "hello gave up",
            "approval": {"approved": None},
            "talks_to_entity": [42, "boom"],
            "eternal": "enough",
        }
