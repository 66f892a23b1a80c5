"""A pytest plugin for the SDK's own tests: plays each history that they fabricate on our engine.

The tests hand their history and their orchestrator to one function, which runs the SDK on it. Here
our engine gets both as well, and must come to the same ids, the same rows and the same end. Loaded
with ``-p`` into a process of its own, because the SDK's tests are a package called ``tests``, too.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from localcloud.functions_host.actions import FAILURE_MARK
from tests.sdk_fixtures.comparison import compare_entity_batch, compare_rows
from tests.sdk_fixtures.playback import Playback

ORCHESTRATIONS = "get_orchestration_state_result"
ENTITIES = "get_entity_state_result"
LEFT_OUT = {
    "test_utc_time_updates_correctly": "its output is the fixture's own clock",
    "test_new_guid_orchestrator": "its output is made from the fixture's clock and instance id",
    "test_call_activity_with_none_return": "its history names another activity than its code",
}
_counts: Counter[str] = Counter()
_item: list[pytest.Function] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    assert isinstance(item, pytest.Function)
    _item[:] = [item]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for module in {item.module for item in items if isinstance(item, pytest.Function)}:
        for name, wrap in ((ORCHESTRATIONS, _wrap_orchestration), (ENTITIES, _wrap_entity)):
            if hasattr(module, name):
                setattr(module, name, wrap(getattr(module, name)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for module, count in sorted(_counts.items()):
        terminalreporter.write_line(f"compared {count} of {module}")


def _wrap_orchestration(original: Any) -> Any:
    def run(builder: Any, user_code: Any, uses_pystein: bool = False) -> Any:
        history = _read_history(builder)
        handle = user_code._function._func if uses_pystein else df.Orchestrator.create(user_code)
        if _item[0].name in LEFT_OUT:
            return original(builder, user_code, uses_pystein)
        try:
            result = original(builder, user_code, uses_pystein)
        except Exception as error:
            _compare(history, handle, {"isDone": False, "error": str(error)})
            raise
        _compare(history, handle, result)
        return result

    return run


def _read_history(builder: Any) -> list[dict[str, Any]]:
    """Read the events; the builder writes every field of any event, most of them null."""
    history = json.loads(builder.to_json_string())["history"]
    return [{k: v for k, v in event.items() if v is not None} for event in history]


def _wrap_entity(original: Any) -> Any:
    def run(builder: Any, user_code: Any, uses_pystein: bool = False) -> Any:
        compare_entity_batch(json.loads(builder.to_json_string()))
        _counts[_item[0].path.name] += 1
        return original(builder, user_code, uses_pystein)

    return run


def _compare(history: list[dict[str, Any]], handle: Any, result: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        playback = Playback(Path(folder), handle)
        try:
            played = history[: playback.play(history)]
            if playback.has_begun_anew:
                _compare_new_generation(playback, result)
            else:
                if result["isDone"] or "error" in result:
                    playback.end_siblings()
                compare_rows(played, playback.read_rows())
                _compare_ends(playback, result)
        finally:
            playback.close()
    _counts[_item[0].path.name] += 1


def _compare_new_generation(playback: Playback, result: dict[str, Any]) -> None:
    """Compare the input of a generation that has just begun; the rows of the old one are gone."""
    action = result["actions"][-1][-1]
    assert action["actionType"] == 4, action
    row = playback.read_instance()
    assert json.loads(row.input or "null") == action["input"]
    assert [event["EventType"] for event in playback.read_rows()[:2]] == [12, 0]


def _compare_ends(playback: Playback, result: dict[str, Any]) -> None:
    row = playback.read_instance()
    if "error" in result:
        assert row.status == "Failed", row
        assert (row.output or "").startswith("Orchestrator function 'fixture' failed: ")
        # A child's failure reaches its parent in the host's words, around the child's own.
        words = result["error"].partition(FAILURE_MARK)[0].partition(" \n")[0].strip()
        assert words in (row.output or "")
    elif result["isDone"]:
        assert row.status == "Completed", row
        assert json.loads(row.output or "null") == result.get("output")
    else:
        assert not row.is_over, row
