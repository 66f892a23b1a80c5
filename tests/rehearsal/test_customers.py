"""Who posts what."""

from random import Random

from localcloud.rehearsal.customers import BATCH, plan_visits

ARRIVALS = [10.0 * number for number in range(1, 501)]


class TestPlanVisits:
    def test_posts_one_job_for_each_arrival_some_of_them_as_batches(self):
        visits = plan_visits(ARRIVALS, Random(1))

        assert sum(visit.jobs for visit in visits) == len(ARRIVALS)
        assert {visit.jobs for visit in visits} == {1, *range(BATCH[0], BATCH[1] + 1)}
        assert [visit.at_s for visit in visits] == sorted({visit.at_s for visit in visits})

    def test_numbers_the_visits(self):
        visits = plan_visits(ARRIVALS[:5], Random(2))

        assert [visit.number for visit in visits] == list(range(1, len(visits) + 1))
