"""What the judge is told of the control plane's questions to Azure."""

from random import Random

import pytest

from localcloud.rehearsal.host import CALLED_FOR
from localcloud.rehearsal.network import SimulatedPower
from localcloud.rehearsal.run import Plan, Rehearsal


@pytest.mark.parametrize(("activity", "reads"), [("tick_pool", 1), ("check_wake", 0), ("", 0)])
def test_only_the_reconcilers_own_reads_count_as_its_looks(tmp_path, activity: str, reads: int):
    """A wake and the sweep read, too; a round that was throttled knows nothing of it."""
    rehearsal = Rehearsal(Plan(seed=1, faults=frozenset()), tmp_path)
    power = SimulatedPower(rehearsal.region, rehearsal.faults, Random(1), rehearsal.loop)
    token = CALLED_FOR.set(activity)

    power.read(rehearsal.settings.pool.candidates[0])

    CALLED_FOR.reset(token)
    rehearsal.loop.close()
    assert len(rehearsal.region.reads["gpu-1"]) == reads
