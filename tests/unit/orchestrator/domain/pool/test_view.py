"""What a job's status and the API say of the pool."""

from orchestrator.domain.pool import Release, StartFailed
from orchestrator.domain.pool.view import view_place, view_pool
from tests.unit.orchestrator.domain.pool.bench import Bench


def place(pool: Bench, job_id: str) -> dict | None:
    return view_place(pool.state, job_id, pool.now, pool.policy)


def learn(pool: Bench) -> None:
    """Let the pool see a cold start of 40 s and a job of 20 s."""
    pool.enqueue("first")
    pool.now += 40
    pool.bring_up()
    pool.acquire("first")
    pool.now += 20
    pool.tell(Release(job_id="first", fence=1, ran=True))


class TestViewPlace:
    def test_knows_only_the_jobs_that_the_pool_holds(self):
        pool = Bench()
        pool.enqueue("a")

        assert place(pool, "b") is None

    def test_tells_place_and_what_is_waited_for(self):
        pool = Bench()
        pool.enqueue("a")
        pool.now += 1
        pool.enqueue("b")

        seen = place(pool, "b")

        assert (seen["queue_position"], seen["waiting_for"]) == (2, "vm")
        assert (seen["vm"]["name"], seen["vm"]["phase"]) == ("gpu-1", "starting")
        assert seen["estimated_seconds_left"] is None

    def test_waits_for_capacity_until_a_stated_time(self):
        pool = Bench()
        pool.enqueue("a")
        epoch = pool.vm().epoch
        pool.tell(StartFailed(vm="gpu-1", epoch=epoch, code="AllocationFailed", is_capacity=True))

        seen = place(pool, "a")

        assert (seen["waiting_for"], seen["retry_at"]) == ("capacity", pool.vm().retry_at)

    def test_waits_for_a_slot_when_all_are_taken(self):
        pool = Bench(slots_per_vm=1)
        pool.run("a")
        pool.enqueue("b")

        assert place(pool, "b")["waiting_for"] == "slot"

    def test_estimates_what_is_left_from_what_jobs_took(self):
        pool = Bench()
        learn(pool)
        pool.enqueue("a")
        pool.now += 5

        assert place(pool, "a")["estimated_seconds_left"] == 15
        pool.now += 50
        assert place(pool, "a")["estimated_seconds_left"] == 0

    def test_estimates_a_round_of_slots_for_each_that_is_ahead(self):
        pool = Bench(slots_per_vm=1)
        learn(pool)
        for job_id in "abc":
            pool.enqueue(job_id)
            pool.now += 0.1

        assert place(pool, "b")["estimated_seconds_left"] == 20
        assert place(pool, "c")["estimated_seconds_left"] == 40

    def test_estimates_the_cold_start_that_is_still_to_come(self):
        pool = Bench()
        learn(pool)
        pool.tick(pool.see(power="deallocated"))
        pool.enqueue("a")
        pool.now += 10

        assert place(pool, "a")["estimated_seconds_left"] == 30 + 20


class TestViewPool:
    def test_counts_the_open_interval_up_to_now(self):
        pool = Bench()
        pool.run("a")
        pool.now += 50

        view = view_pool(pool.state, pool.now, pool.policy)

        assert view["vms"][0]["billed_seconds"] == 50
        assert view["vms"][0]["slots"] == ["a"]
        assert view["totals"] == {**view["totals"], "billed_seconds": 50, "cost_usd": 0.05}

    def test_says_when_an_idle_vm_stops_and_why(self):
        pool = Bench()
        pool.run("a")
        pool.tell(Release(job_id="a", fence=1))

        vm = view_pool(pool.state, pool.now, pool.policy)["vms"][0]

        assert vm["stops_at"] == pool.now + pool.policy.idle_window_s
        assert "idle window" in vm["why"]

    def test_shows_the_head_of_a_long_queue_and_its_length(self):
        pool = Bench()
        for number in range(105):
            pool.enqueue(f"job-{number:03}")

        view = view_pool(pool.state, pool.now, pool.policy)

        assert [ticket["position"] for ticket in view["queue"]] == list(range(1, 101))
        assert view["queue_length"] == 105
