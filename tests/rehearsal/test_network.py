"""What the judge is told of the control plane's questions to Azure."""

from random import Random

import pytest

from localcloud.rehearsal.host import CALLED_FOR, POWER_READ
from localcloud.rehearsal.network import SimulatedPower
from localcloud.rehearsal.run import Plan, Rehearsal
from orchestrator.domain.pool import PoolState


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
