import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.jobs.stage_estimates import FIRST_SPANS, Expectation, StageEstimates, kind_of
from gpu_agent.wire import Stage

SECONDS = st.dictionaries(
    st.sampled_from([stage.value for stage in Stage]), st.floats(0, 1e4), max_size=7
)
JOBS = st.lists(st.tuples(st.sampled_from("abc"), SECONDS), max_size=8)


def taught(jobs) -> StageEstimates:
    estimates = StageEstimates()
    for kind, seconds in jobs:
        estimates = estimates.learn(kind, seconds)
    return estimates


class TestExpect:
    @given(JOBS)
    def test_lays_the_stages_side_by_side_without_a_gap(self, jobs):
        spans = taught(jobs).expect("a").spans
        edges = [spans[stage] for stage in Stage]

        assert edges[0][0] == 0
        assert edges[-1][1] == pytest.approx(99)
        for low, high in edges:
            assert low <= high <= 99
        assert [low for low, _ in edges[1:]] == [high for _, high in edges[:-1]]

    def test_gives_each_stage_its_share_of_the_time(self):
        estimates = taught([("a", {"background": 1.0, "shape": 8.0, "export": 1.0})] * 40)

        spans = estimates.expect("a").spans

        assert spans[Stage.FETCH] == (0, 0)
        assert spans[Stage.SHAPE][1] - spans[Stage.SHAPE][0] == pytest.approx(0.8 * 97.5 + 0.5)
        assert spans[Stage.TEXTURE][0] == spans[Stage.TEXTURE][1]

    def test_of_an_unknown_kind_is_the_first_guess(self):
        assert taught([("a", {"shape": 8.0})]).expect("b") == Expectation()
        assert Expectation().spans is FIRST_SPANS
        assert Expectation().left_s(50) is None

    def test_tells_the_seconds_that_are_left(self):
        expectation = taught([("a", {"shape": 8.0, "export": 2.0})]).expect("a")

        assert [expectation.left_s(percent) for percent in (0, 99, 100)] == [10.0, 0.0, 0.0]


class TestLearn:
    def test_takes_nothing_from_a_job_that_made_nothing(self):
        estimates = StageEstimates()

        assert estimates.learn("a", {"fetch": 1.0}) is estimates

    def test_remembers_only_so_many_kinds_the_newest_of_them(self):
        estimates = taught([(str(number), {"shape": 1.0}) for number in range(100)])

        assert len(estimates.kinds) == 32
        assert "99" in estimates.kinds

    @given(JOBS)
    def test_is_the_same_after_a_way_through_text(self, jobs):
        estimates = taught(jobs)

        assert StageEstimates.from_text(estimates.to_text()) == estimates

    @pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"shape": "x"}}'])
    def test_forgets_what_can_not_be_read(self, text: str):
        assert StageEstimates.from_text(text) == StageEstimates()


class TestKindOf:
    def test_leaves_out_the_seed_alone(self):
        one, two = {"preset": "draft", "seed": 1}, {"seed": 2, "preset": "draft"}

        assert kind_of(one) == kind_of(two)
        assert kind_of(one) != kind_of({"preset": "high"})
