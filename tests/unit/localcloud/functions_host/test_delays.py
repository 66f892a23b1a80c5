import threading
from datetime import timedelta

from localcloud.functions_host.delays import Delays, Pause
from localcloud.functions_host.store import Changes, Store

LONGEST = timedelta(seconds=10)


class TestDelays:
    def test_are_the_same_for_the_same_seed(self):
        first, second, other = Delays(1, LONGEST), Delays(1, LONGEST), Delays(2, LONGEST)

        series = [first.draw() for _ in range(5)]

        assert series == [second.draw() for _ in range(5)]
        assert series != [other.draw() for _ in range(5)]

    def test_keep_their_bound(self):
        delays = Delays(1, LONGEST)

        drawn = [delays.draw() for _ in range(1000)]

        assert min(drawn) >= timedelta(0)
        assert LONGEST * 0.9 < max(drawn) <= LONGEST


class TestPause:
    def test_lasts_as_long_as_the_clock_says(self, clock, until):
        pause = Pause(Delays(1, LONGEST), clock)
        waits_s = Delays(1, LONGEST).draw()
        thread = threading.Thread(target=pause, daemon=True)
        thread.start()

        clock.advance(waits_s - timedelta(milliseconds=1))
        thread.join(0.1)
        assert thread.is_alive()

        clock.advance(timedelta(milliseconds=1))
        until(lambda: not thread.is_alive())


class TestSlowStorage:
    def test_takes_its_time_for_reads_and_commits(self, tmp_path):
        pauses = []
        store = Store(tmp_path / "slow.sqlite", lease="x", pause=lambda: pauses.append(1))
        calls = [
            lambda: store.read_instance("a"),
            lambda: store.apply(Changes()),
            lambda: store.list_instances(),
            lambda: store.take_over_activities(),
            lambda: store.read_or_write_fact("a", "b"),
        ]

        taken = []
        for call in calls:
            before = len(pauses)
            call()
            taken.append(len(pauses) - before)

        assert all(taken)
        store.close()

    def test_is_not_felt_unless_asked_for(self, tmp_path):
        store = Store(tmp_path / "fast.sqlite", lease="x")

        assert store.read_instance("a") is None
        store.close()
