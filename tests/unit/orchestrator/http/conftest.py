import pytest

from tests.unit.orchestrator.http.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """The API over fakes, with no job yet."""
    return Desk()
