"""What never reaches Table Storage."""

import base64
from typing import Any

import pytest

from orchestrator.adapters.table_jobs import TableJobs
from orchestrator.domain.errors import InvalidRequestError


class NoService:
    """A table service that fails whatever is asked of its tables."""

    def get_table_client(self, name: str) -> Any:
        return object()


class TestListPage:
    @pytest.mark.parametrize("key", ["a" * 5250, "a", "' or 1 eq 1", "", "a" * 26 + "-\u0661"])
    def test_asks_the_table_nothing_for_a_token_that_is_none(self, key: str):
        token = base64.urlsafe_b64encode(key.encode()).decode()

        with pytest.raises(InvalidRequestError):
            TableJobs(NoService()).list_page(state=None, limit=2, token=token)
