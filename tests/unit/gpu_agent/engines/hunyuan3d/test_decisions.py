"""The pure decisions of the lanes: which batch, which step down, when a child is lost."""

import itertools
import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.engines.hunyuan3d.batching import Waiting, choose_batch
from gpu_agent.engines.hunyuan3d.health import (
    MOST_LOSSES,
    Cause,
    Limits,
    Pulse,
    Step,
    describe_exit,
    find_loss,
    may_run_again,
    next_look_s,
)
from gpu_agent.engines.hunyuan3d.memory_fallbacks import describe_fallback, list_fallbacks
from gpu_agent.engines.hunyuan3d.plan import MOST_SEED, next_seed
from gpu_agent.engines.hunyuan3d.proportion import Proportions
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import SETTINGS

ALIKE = st.sampled_from([None, SETTINGS, replace(SETTINGS, steps=9)])


@st.composite
def queues(draw):
    count = draw(st.integers(0, 12))
    waiting = [
        Waiting(number=number, settings=draw(ALIKE), runs_alone=draw(st.booleans()))
        for number in range(count)
    ]
    return draw(st.permutations(waiting))


class TestChooseBatch:
    @given(queues(), st.integers(1, 6))
    def test_always_serves_the_first_and_never_too_many(self, waiting, limit: int):
        chosen = choose_batch(waiting, limit=limit)

        assert bool(chosen) == bool(waiting)
        assert len(chosen) <= limit
        if waiting:
            assert chosen[0] == min(one.number for one in waiting)

    @given(queues(), st.integers(1, 6))
    def test_puts_only_equals_together_in_the_order_of_arrival(self, waiting, limit: int):
        by_number = {one.number: one for one in waiting}
        chosen = [by_number[number] for number in choose_batch(waiting, limit=limit)]

        assert [one.number for one in chosen] == sorted(one.number for one in chosen)
        if len(chosen) > 1:
            assert all(one.may_share and one.settings == chosen[0].settings for one in chosen)
        elif chosen and chosen[0].may_share:
            others = [one for one in waiting if one.may_share and one not in chosen]
            assert limit == 1 or all(one.settings != chosen[0].settings for one in others)

    @given(queues(), st.integers(1, 6))
    def test_does_not_depend_on_the_order_it_is_told_in(self, waiting, limit: int):
        told = choose_batch(waiting, limit=limit)

        assert choose_batch(sorted(waiting, key=lambda one: one.number), limit=limit) == told

    @given(queues(), st.integers(1, 6))
    def test_empties_every_queue_and_serves_nothing_twice(self, waiting, limit: int):
        left, served = list(waiting), []
        while left:
            chosen = choose_batch(left, limit=limit)
            served += chosen
            left = [one for one in left if one.number not in chosen]

        assert sorted(served) == sorted(one.number for one in waiting)


class TestListFallbacks:
    @given(st.integers(16, 512), st.integers(1, 200_000), st.integers(1, 512))
    def test_asks_for_less_memory_each_time_and_never_below_what_is_allowed(
        self, octree: int, chunks: int, least: int
    ):
        asked = replace(SETTINGS, octree_resolution=octree, num_chunks=chunks)

        steps = list_fallbacks(asked, least_octree_resolution=least)

        assert steps[0] == asked
        sizes = [(one.octree_resolution, one.num_chunks) for one in steps]
        for before, after in itertools.pairwise(sizes):
            assert after < before
            assert after[1] <= before[1]
        assert all(one.octree_resolution >= min(least, octree) for one in steps)
        assert {replace(one, octree_resolution=octree, num_chunks=chunks) for one in steps} == {
            asked
        }
        assert len(steps) <= 3

    def test_keeps_the_octree_of_a_job_that_allows_nothing_less(self):
        asked = replace(SETTINGS, octree_resolution=380, num_chunks=20_000)

        steps = list_fallbacks(asked, least_octree_resolution=380)

        assert [(one.octree_resolution, one.num_chunks) for one in steps] == [
            (380, 20_000),
            (380, 5_000),
        ]

    def test_goes_down_one_octree_and_says_so(self):
        asked = replace(SETTINGS, octree_resolution=380, num_chunks=20_000)

        steps = list_fallbacks(asked, least_octree_resolution=63)

        assert (steps[-1].octree_resolution, steps[-1].num_chunks) == (252, 5_000)
        assert describe_fallback(asked, asked) is None
        assert "changes nothing" in describe_fallback(asked, steps[1])
        assert "octree 252 instead of 380" in describe_fallback(asked, steps[2])


LIMITS = Limits(silence_s=5.0, progress_s=dict.fromkeys(Step, 20.0), cancel_s=2.0)
MOMENTS = st.floats(0, 100)


@st.composite
def pulses(draw):
    return Pulse(
        heard_at=draw(MOMENTS),
        step=draw(st.none() | st.sampled_from(list(Step))),
        progress_at=draw(MOMENTS),
        unwanted_since=draw(st.none() | MOMENTS),
    )


class TestFindLoss:
    @given(pulses(), MOMENTS)
    def test_gives_up_when_the_next_look_is_due_and_not_before(self, pulse: Pulse, now: float):
        left_s = next_look_s(pulse, LIMITS, now)

        assert (find_loss(pulse, LIMITS, now) is not None) == (left_s == 0.0)

    @given(pulses(), MOMENTS, MOMENTS)
    def test_does_not_change_its_mind(self, pulse: Pulse, now: float, later_s: float):
        if find_loss(pulse, LIMITS, now) is not None:
            assert find_loss(pulse, LIMITS, now + later_s) is not None

    @pytest.mark.parametrize(
        ("pulse", "cause"),
        [
            (Pulse(heard_at=0.0), Cause.SILENT),
            (Pulse(heard_at=29.0, step=Step.DECODE, progress_at=10.0), Cause.STUCK),
            (
                Pulse(heard_at=29.0, step=Step.DECODE, progress_at=29.0, unwanted_since=28.0),
                Cause.DEAF,
            ),
            (Pulse(heard_at=29.0, unwanted_since=1.0), None),
            (Pulse(heard_at=0.0, step=Step.LOAD, progress_at=15.0), None),
            (Pulse(heard_at=29.0, step=Step.LOAD, progress_at=5.0), Cause.STUCK),
            (Pulse(heard_at=29.0, progress_at=0.0), None),
        ],
    )
    def test_names_the_cause(self, pulse: Pulse, cause: Cause | None):
        loss = find_loss(pulse, LIMITS, 30.0)

        assert (loss.cause if loss else None) == cause


class TestMayRunAgain:
    def test_allows_one_more_try(self):
        assert [may_run_again(losses) for losses in (0, 1, 2)] == [True, True, False]
        assert MOST_LOSSES == 1


class TestDescribeExit:
    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (-signal.SIGKILL, "killed from outside"),
            (-signal.SIGSEGV, "segmentation fault"),
            (-signal.SIGABRT, "SIGABRT"),
            (4, "ended by itself with status 4"),
            (None, "closed its pipe"),
        ],
    )
    def test_says_how_a_process_ended(self, status: int | None, words: str):
        assert words in describe_exit(status, "GPU process")


class TestNextSeed:
    @given(st.integers(0, MOST_SEED))
    def test_is_another_one_in_range(self, seed: int):
        assert next_seed(seed) != seed
        assert 0 <= next_seed(seed) <= MOST_SEED


class TestProportions:
    @given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=5), st.floats(0, 1))
    def test_never_fall_from_the_start_of_a_shape_to_its_end(self, taught, share: float):
        learned = Proportions()
        for diffuse_s, decode_s in taught:
            learned = learned.learn(SETTINGS, {Step.DIFFUSE: diffuse_s, Step.DECODE: decode_s})
        marks = [
            learned.percent(SETTINGS, step, at)
            for step in (Step.DIFFUSE, Step.DECODE)
            for at in sorted((0.0, share, 1.0))
        ]

        assert marks == sorted(marks)
        assert marks[0] == 0
        assert marks[-1] == pytest.approx(100)

    def test_follow_the_shapes_made(self):
        learned = Proportions()
        for _ in range(30):
            learned = learned.learn(SETTINGS, {Step.DIFFUSE: 1.0, Step.DECODE: 9.0})

        assert learned.percent(SETTINGS, Step.DIFFUSE, 1.0) == pytest.approx(10)

    def test_remember_only_so_many_settings(self):
        learned = Proportions()
        for steps in range(1, 200):
            learned = learned.learn(replace(SETTINGS, steps=steps), {Step.DIFFUSE: 1.0})

        assert len(learned.shares) == 32
        assert replace(SETTINGS, steps=199) in learned.shares
