"""Seeds 1 to 10 of the twenty that CI rehearses; `make rehearse` has more of them."""

import pytest

from tests.rehearsal.seeds import check_faults, check_seed

SEEDS = range(1, 11)


@pytest.mark.parametrize("seed", SEEDS)
def test_breaks_no_rule_and_ends_every_job(seed: int):
    check_seed(seed)


def test_every_fault_fires_in_a_quarter_of_the_seeds():
    check_faults(SEEDS)
