"""Many images, one call: fan out, fan in; one image that fails never fails the others."""

from collections.abc import Generator
from typing import Any

from orchestrator.domain.names import Workflow


def run_batch(context: Any) -> Generator[Any, Any, Any]:
    """Run every item as a sub-orchestration and gather what became of each.

    Input: ``{id, items: [{number, job_id, order} | {number, error}]}``; an item with an error was
    refused when the batch was posted. Output: ``{id, succeeded, failed, items}`` in the order of
    the input.
    """
    batch: dict[str, Any] = context.get_input()
    results: dict[int, dict[str, Any]] = {}
    running: dict[Any, dict[str, Any]] = {}
    for item in batch["items"]:
        if "error" in item:
            results[item["number"]] = {**item, "state": "failed"}
        else:
            task = context.call_sub_orchestrator(
                Workflow.RUN_JOB, item["order"], instance_id=item["job_id"]
            )
            running[task] = item
    while running:
        _show(context, batch, results)
        task = yield context.task_any(list(running))
        item = running.pop(task)
        results[item["number"]] = _result(item, task.result)
    _show(context, batch, results)
    items = [results[number] for number in sorted(results)]
    succeeded = sum(item["state"] == "succeeded" for item in items)
    return {
        "id": batch["id"],
        "succeeded": succeeded,
        "failed": len(items) - succeeded,
        "items": items,
    }


def _result(item: dict[str, Any], result: Any) -> dict[str, Any]:
    base = {"number": item["number"], "job_id": item["job_id"]}
    if isinstance(result, Exception):
        return {**base, "state": "failed"}
    return {**base, "state": result["state"], "artifacts": result.get("artifacts", [])}


def _show(context: Any, batch: dict[str, Any], results: dict[int, dict[str, Any]]) -> None:
    states = [result["state"] for result in results.values()]
    context.set_custom_status(
        {
            "state": "running" if len(results) < len(batch["items"]) else "over",
            "total": len(batch["items"]),
            "succeeded": states.count("succeeded"),
            "failed": len(states) - states.count("succeeded"),
        }
    )
