"""What a run of many seeds has shown, as JSON and in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from localcloud.rehearsal.faults import FaultName
from localcloud.rehearsal.run import Outcome
from localcloud.rehearsal.timeline import to_clock

ENOUGH_SEEDS = 10
"""A run of so many seeds must also show that every fault it had was really there …"""
FEWEST = 0.25
"""… in at least such a part of them: in 5 of 20."""


AFTER_S = 5.0
"""How much of what followed a breach is shown: the judge may have seen it a moment later."""


def rare_faults(outcomes: Sequence[Outcome], names: frozenset[FaultName]) -> dict[str, int]:
    """Find the faults that fired in too few seeds for the run to mean something.

    Returns:
        Seeds in which each of them fired; empty for a run of few seeds.
    """
    if len(outcomes) < ENOUGH_SEEDS:
        return {}
    seeds = seeds_by_fault(outcomes, names)
    return {name: count for name, count in seeds.items() if count < FEWEST * len(outcomes)}


def seeds_by_fault(outcomes: Sequence[Outcome], names: frozenset[FaultName]) -> dict[str, int]:
    """Count the seeds in which each fault fired."""
    return {
        name.value: sum(outcome.fired.get(name.value, 0) > 0 for outcome in outcomes)
        for name in sorted(names)
    }


def is_good(outcomes: Sequence[Outcome], names: frozenset[FaultName]) -> bool:
    """Tell whether every rule held, and every fault was there."""
    return not any(o.breaches for o in outcomes) and not rare_faults(outcomes, names)


def make_report(
    outcomes: Sequence[Outcome], names: frozenset[FaultName], *, jobs: int, took_s: float
) -> dict[str, Any]:
    """Give the report as JSON: figures of all seeds, and what was broken in which."""
    fired = sum((Counter(outcome.fired) for outcome in outcomes), Counter[str]())
    states = sum((Counter(outcome.states) for outcome in outcomes), Counter[str]())
    return {
        "is_good": is_good(outcomes, names),
        "seeds": len(outcomes),
        "jobs_per_seed": jobs,
        "took_s": round(took_s, 1),
        "virtual_hours": round(sum(o.figures["virtual_s"] for o in outcomes) / 3600, 1),
        "jobs": dict(sorted(states.items())),
        "faults": {
            name: {"fired": fired[name], "seeds": seeds}
            for name, seeds in seeds_by_fault(outcomes, names).items()
        },
        "rare_faults": rare_faults(outcomes, names),
        "broken_seeds": [o.seed for o in outcomes if o.breaches],
        "by_seed": [{**asdict(o), "timeline": o.timeline if o.breaches else []} for o in outcomes],
    }


def tell_breaches(outcome: Outcome, *, lines: int) -> str:
    """Tell in words what went wrong in a seed: what led to it, then the rules that it broke."""
    first = min(outcome.breaches, key=lambda breach: breach.at)
    before = [line for line in outcome.timeline if line[:12] <= to_clock(first.at + AFTER_S)]
    told = [f"seed {outcome.seed}: what led to {to_clock(first.at)}, when a rule was broken", ""]
    told += before[-lines:]
    told += ["", f"seed {outcome.seed} broke {len(outcome.breaches)} rules:"]
    told += [f"  {to_clock(b.at)}  {b.rule}: {b.what}" for b in outcome.breaches[:20]]
    told += ["", f"make rehearse SEED={outcome.seed} JOBS={outcome.jobs} shows it again"]
    return "\n".join(told)
