"""What the judge is told of the control plane's questions to Azure."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from localcloud.rehearsal.host import BEGAN_AT, CALLED_FOR, POWER_READ
from localcloud.rehearsal.network import SimulatedPower
from localcloud.rehearsal.run import Plan, Rehearsal
from orchestrator.domain.pool import PoolState, Vm


@pytest.mark.parametrize(("activity", "reads"), [("tick_pool", 1), ("check_wake", 0), ("", 0)])
def test_only_the_reconcilers_own_reads_count_as_its_looks(tmp_path, activity: str, reads: int):
    """A wake and the sweep read, too; a round that was throttled knows nothing of it."""
    rehearsal = Rehearsal(Plan(seed=1, faults=frozenset()), tmp_path)
    power = SimulatedPower(rehearsal.region, rehearsal.faults, Random(1), rehearsal.loop)
    called_for, power_read = CALLED_FOR.set(activity), POWER_READ.set([])

    power.read(rehearsal.settings.pool.candidates[0])
    before = list(rehearsal.region.reads["gpu-1"])
    rehearsal.judge.see_pool(PoolState(tick_at=1.0))

    CALLED_FOR.reset(called_for)
    POWER_READ.reset(power_read)
    rehearsal.loop.close()
    assert before == []
    assert len(rehearsal.region.reads["gpu-1"]) == reads


def test_a_read_under_an_earlier_phase_is_no_look(tmp_path):
    """The pool ignores what was seen before the VM entered the phase that it is in."""
    rehearsal = Rehearsal(Plan(seed=1, faults=frozenset()), tmp_path)
    loop, judge = rehearsal.loop, rehearsal.judge
    loop.run_until_complete(asyncio.sleep(10.0))
    judge.see_pool(PoolState(vms={"gpu-1": Vm("gpu-1", phase_since=10.0)}, tick_at=1.0))
    looks = []

    for tick_at, began_at in ((2.0, 9.0), (3.0, 10.0)):
        began, power_read = BEGAN_AT.set(began_at), POWER_READ.set([("gpu-1", 10.0)])
        judge.see_pool(replace(judge.pool, tick_at=tick_at))
        looks.append(len(rehearsal.region.reads["gpu-1"]))
        BEGAN_AT.reset(began)
        POWER_READ.reset(power_read)

    loop.close()
    assert looks == [0, 1]
