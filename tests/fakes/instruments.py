"""A fake of `gpu_agent.engines.Instruments` that remembers what it was told."""

from collections import Counter


class FakeInstruments:
    """Remembers.

    Attributes:
        batches: Sizes, in order.
        steps: How often each step was timed.
        restarts: (process, cause), in order.
    """

    def __init__(self) -> None:
        self.queues: dict[str, int] = {}
        self.batches: list[int] = []
        self.steps: Counter[str] = Counter()
        self.restarts: list[tuple[str, str]] = []
        self.gpu_memory_bytes: int | None = None

    def set_queue(self, queue: str, length: int) -> None:
        self.queues[queue] = length

    def observe_batch(self, jobs: int) -> None:
        self.batches.append(jobs)

    def observe_step(self, step: str, seconds: float) -> None:
        assert seconds >= 0
        self.steps[step] += 1

    def count_restart(self, process: str, cause: str) -> None:
        self.restarts.append((process, cause))

    def set_gpu_memory(self, used_bytes: int) -> None:
        self.gpu_memory_bytes = used_bytes
