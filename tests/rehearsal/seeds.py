"""What CI asks of a seed: all faults at once, a hundred jobs, and no rule broken."""

from collections.abc import Sequence
from functools import cache

from localcloud.rehearsal.faults import FaultName
from localcloud.rehearsal.report import rare_faults, tell_breaches
from localcloud.rehearsal.run import Outcome, Plan, rehearse

JOBS = 100


@cache
def rehearse_seed(seed: int) -> Outcome:
    """Rehearse a seed, once in a process."""
    return rehearse(Plan(seed=seed, jobs=JOBS))


def check_seed(seed: int) -> None:
    """Check that a seed broke no rule and ended every job."""
    outcome = rehearse_seed(seed)
    assert not outcome.breaches, tell_breaches(outcome, lines=60)
    assert sum(outcome.states.values()) == JOBS


def check_faults(seeds: Sequence[int]) -> None:
    """Check that each fault fired in a quarter of the seeds at least.

    In 3 of each ten, and so in more than 5 of the twenty.
    """
    outcomes = [rehearse_seed(seed) for seed in seeds]
    assert rare_faults(outcomes, frozenset(FaultName)) == {}
