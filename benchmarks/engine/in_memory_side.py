"""Microsoft's in-memory backend with its worker, over gRPC on the loopback as it is meant to be.

The backend serves gRPC with ten threads, and a client that waits for an instance over gRPC holds
one of them until the end: with twenty callers nothing would be left for the worker. So the callers
here call the backend's methods directly; only the worker speaks gRPC. That favours this side.
"""

import json
import logging
import uuid
from typing import Any

from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker

from benchmarks.engine.workloads import CHAIN_STEPS, FAN_OUT_WIDTH
from localcloud.ports import choose_free_ports

LIMIT_S = 120.0


class Patience:
    """The part of a gRPC context that waiting for an instance reads."""

    def time_remaining(self) -> float:
        """Tell how many seconds the caller waits."""
        return LIMIT_S


def add_one(_: task.ActivityContext, number: int) -> int:
    """Add one."""
    return number + 1


def chain_of_10(context: task.OrchestrationContext, _: Any) -> Any:
    """Call the activity again and again."""
    number = 0
    for _step in range(CHAIN_STEPS):
        number = yield context.call_activity("add_one", input=number)
    return number


def fan_out_of_100(context: task.OrchestrationContext, _: Any) -> Any:
    """Call the activity many times at once."""
    tasks: list[task.Task[int]] = [
        context.call_activity("add_one", input=n) for n in range(FAN_OUT_WIDTH)
    ]
    return sum((yield task.when_all(tasks)))


class InMemorySide:
    """The backend and one worker, with their own defaults."""

    def __init__(self) -> None:
        """Begin to work."""
        for name in ("durabletask", "durabletask.testing.in_memory_backend"):
            logging.getLogger(name).setLevel(logging.WARNING)
        port = choose_free_ports(1)[0]
        self._backend = create_test_backend(port=port)
        quiet = logging.getLogger("durabletask.worker")
        self._worker = TaskHubGrpcWorker(host_address=f"localhost:{port}", logger=quiet)
        self._worker.add_activity(add_one)
        # Known by the names of the functions, which are those of the workloads.
        self._worker.add_orchestrator(chain_of_10)
        self._worker.add_orchestrator(fan_out_of_100)
        self._worker.start()  # type: ignore[no-untyped-call]

    def run_instance(self, workload: str) -> Any:
        """Start one instance and wait for its end."""
        key = uuid.uuid4().hex
        self._backend.StartInstance(
            pb.CreateInstanceRequest(instanceId=key, name=workload), Patience()
        )
        answer = self._backend.WaitForInstanceCompletion(
            pb.GetInstanceRequest(instanceId=key, getInputsAndOutputs=True), Patience()
        )
        state = answer.orchestrationState
        if state.orchestrationStatus != pb.ORCHESTRATION_STATUS_COMPLETED:
            raise RuntimeError(f"{workload} did not complete: {answer}")
        return json.loads(state.output.value)

    def close(self) -> None:
        """End the worker, then the backend."""
        self._worker.stop()  # type: ignore[no-untyped-call]
        self._backend.stop()
