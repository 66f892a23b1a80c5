"""Two short seeds on Azurite, through the product's own storage adapters."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from localcloud.certificate import prepare_certificate
from localcloud.lone_storage import LoneStorage, run_lone_storage
from localcloud.rehearsal.azurite import on_azurite
from localcloud.rehearsal.run import Plan, rehearse


@pytest.fixture(scope="module", name="azurite")
def _azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneStorage]:
    folder = tmp_path_factory.mktemp("azurite")
    certificate = prepare_certificate(folder, now=datetime.now(UTC))
    with run_lone_storage(folder, certificate) as storage:
        yield storage


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_a_seed_takes_the_same_course_as_in_memory(azurite: LoneStorage, seed: int):
    plan = Plan(seed=seed, jobs=5)

    outcome = rehearse(plan, on_azurite(azurite))

    assert outcome.breaches == []
    assert outcome.digest == rehearse(plan).digest
