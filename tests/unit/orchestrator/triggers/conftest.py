import pytest

from tests.unit.orchestrator.triggers.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """The API over fakes, with no job yet."""
    return Desk()
