"""Seeds 11 to 20, which `make nightly` rehearses; `make rehearse` has more of them."""

import pytest

from tests.rehearsal.seeds import check_faults, check_seed

pytestmark = pytest.mark.nightly

SEEDS = range(11, 21)


@pytest.mark.parametrize("seed", SEEDS)
def test_breaks_no_rule_and_ends_every_job(seed: int):
    check_seed(seed)


def test_every_fault_fires_in_a_quarter_of_the_seeds():
    check_faults(SEEDS)
