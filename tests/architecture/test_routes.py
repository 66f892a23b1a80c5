"""The routes that documents promise are the routes that the app has."""

import json
import re
from pathlib import Path

import pytest

from orchestrator.bootstrap import build_app
from orchestrator.domain.names import Activity, Workflow
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
OPEN = {"health"}

SETTINGS = {
    "AZURE_SUBSCRIPTION_ID": "s",
    "STORAGE_BLOB_URL": "https://blob.invalid",
    "STORAGE_TABLE_URL": "https://table.invalid",
    "GPU_AGENT_TOKEN": "t",
    "GPU_VMS": json.dumps(
        [
            {
                "name": "gpu-0",
                "resource_group": "r",
                "size": "s",
                "region": "e",
                "price_per_hour_usd": 1,
                "agent_url": "http://agent.invalid",
            }
        ]
    ),
}


@pytest.fixture(scope="module", name="functions")
def _functions():
    """Every function as the host indexes it."""
    return build_app(Settings.from_environ(SETTINGS)).get_functions()


def binding(function, kind: str) -> dict:
    return next(b.get_dict_repr() for b in function.get_bindings() if b.type == kind)


def names(functions, kind: str) -> set[str]:
    return {f.get_function_name() for f in functions if f.get_trigger().type == kind}


def test_every_stored_name_is_registered_and_no_other(functions):
    """An unregistered activity would hang its workflow for ever."""
    assert names(functions, "orchestrationTrigger") == set(Workflow)
    assert names(functions, "activityTrigger") == set(Activity)


def test_every_route_but_health_asks_for_a_key(functions):
    """Nothing is open that need not be."""
    routes = [f for f in functions if f.get_trigger().type == "httpTrigger"]
    is_open = {
        f.get_function_name()
        for f in routes
        if binding(f, "httpTrigger")["authLevel"].name == "ANONYMOUS"
    }

    assert len(routes) > 10
    assert is_open == OPEN


def test_every_route_that_the_documents_name_exists(functions):
    """The table of words and routes is true."""
    served = {
        (
            binding(f, "httpTrigger")["methods"][0].name,
            "/api/" + binding(f, "httpTrigger")["route"],
        )
        for f in functions
        if f.get_trigger().type == "httpTrigger"
    }
    named = set(
        re.findall(
            r"`(GET|POST|PUT|DELETE) (/api/[^`\s]*)`", (ROOT / "docs" / "routes.md").read_text()
        )
    )

    assert len(named) > 6
    assert named <= served
