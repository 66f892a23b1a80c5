"""The judge's rule of the ledger: exact where the pool knows, within a look where it guesses."""

import pytest

from localcloud.rehearsal.faults import FaultName, Hit, allowance
from localcloud.rehearsal.money import Billed, compare_ledger, find_wrong

BEGINNING = 1.7e9
ALLOWED_S = 100.0
METERED = Billed(50.0, 450.0)


def record(began_at: float, ended_at: float, *, is_estimated: bool = False) -> dict:
    return {
        "vm": "gpu",
        "began_at": BEGINNING + began_at,
        "ended_at": BEGINNING + ended_at,
        "is_estimated": is_estimated,
    }


def wrong(
    metered: list[Billed],
    recorded: list[dict],
    *,
    ahead_s: float = 0.0,
    looks: tuple[float, ...] = (),
    asked_off: tuple[float, ...] = (),
) -> list[str]:
    differences = compare_ledger(
        "gpu",
        metered,
        recorded,
        shown_at=lambda at: BEGINNING + at + ahead_s,
        allowed_at=lambda at: ALLOWED_S,
        looks=looks,
        asked_off=asked_off,
    )
    return [one.what for one in find_wrong(differences)]


class TestCompareLedger:
    def test_what_the_pool_made_agrees_to_the_second(self):
        assert wrong([METERED], [record(50.4, 450.4)]) == []
        assert "a begin 1.5 s off" in wrong([METERED], [record(51.5, 450.0)])[0]
        assert "an end 1.5 s off" in wrong([METERED], [record(50.0, 451.5)])[0]

    def test_what_it_found_agrees_within_its_looks(self):
        assert wrong([METERED], [record(149, 549, is_estimated=True)]) == []
        assert wrong([METERED], [record(152, 450, is_estimated=True)]) != []

    def test_moments_are_compared_by_the_clock_that_wrote_them(self):
        ahead = record(50 + 700, 450 + 700)

        assert wrong([METERED], [ahead], ahead_s=700) == []
        assert wrong([METERED], [ahead]) != []

    def test_an_interval_that_nobody_recorded_was_too_short_to_be_seen(self):
        assert wrong([Billed(0, ALLOWED_S - 1)], []) == []
        assert "knows nothing of it" in wrong([METERED], [])[0]

    def test_an_off_time_without_a_look_is_billed_but_not_as_exact(self):
        off_and_on = [Billed(50, 200), Billed(350, 450)]

        assert wrong(off_and_on, [record(50, 450, is_estimated=True)]) == []
        assert wrong(off_and_on, [record(50, 450)]) != []
        assert wrong(off_and_on, [record(50, 450, is_estimated=True)], looks=(300,)) != []
        assert wrong(off_and_on, [record(50, 200), record(350, 450)]) == []

    def test_an_off_time_that_the_pool_asked_for_is_not_excused(self):
        off_and_on = [Billed(50, 200), Billed(350, 450)]

        assert wrong(off_and_on, [record(50, 450, is_estimated=True)], asked_off=(199.5,)) != []

    def test_another_estimate_does_not_excuse_it(self):
        off_and_on = [Billed(50, 200), Billed(350, 450)]
        records = [record(50, 400), record(400, 450, is_estimated=True)]

        assert wrong(off_and_on, records) != []

    def test_a_record_of_nothing_is_wrong(self):
        assert "the meter does not know" in wrong([], [record(50, 450, is_estimated=True)])[0]

    def test_two_records_of_one_interval_must_adjoin(self):
        assert wrong([METERED], [record(50, 200), record(200, 450)]) == []
        assert wrong([METERED], [record(50, 200), record(210, 450)]) != []


class TestAllowance:
    @pytest.mark.parametrize(
        ("hits", "seconds"),
        [
            ([], 60),
            ([Hit(FaultName.LATE, "gpu", 30, 20)], 80),
            ([Hit(FaultName.LATE, "other", 30, 20)], 60),
            ([Hit(FaultName.HOST_CRASH, None, 70, 20)], 60),
            ([Hit(FaultName.HOST_CRASH, None, 50, 20), Hit(FaultName.LATE, None, 70, 5)], 85),
            ([Hit(FaultName.TERMINATED, None, -100, 99)], 60),
            ([Hit(FaultName.TERMINATED, None, -100, 101)], 161),
        ],
    )
    def test_adds_what_falls_into_it_or_still_lasts(self, hits: list[Hit], seconds: float):
        assert allowance(hits, "gpu", 0.0, 60.0) == seconds
