"""One side in a process of its own, which runs a round whenever it is told to.

So the sides share neither interpreter nor heap, and the one that is not measured sleeps.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.engine.workloads import Round, Side, run_round
from localcloud.blueprint import ROOT

NORMAL = "coldforge"
FULL = "coldforge_full_sync"
PEER = "durabletask_in_memory"
END_WITHIN_S = 10.0


class SideProcess:
    """A side, as seen from the process that measures. Use it in a ``with`` statement."""

    def __init__(self, name: str, folder: Path) -> None:
        """Decide everything; start nothing.

        Args:
            name: One of `SIDES`.
            folder: For its files; made here.
        """
        self.name = name
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def run_round(self, workload: str, *, instances: int, in_flight: int) -> Round:
        """Let it run a round; see `workloads.run_round`.

        Raises:
            RuntimeError: It has ended; its log says why.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError(f"{self.name} was not started")
        order = {"workload": workload, "instances": instances, "in_flight": in_flight}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} has ended:\n{self._log.read_text('utf-8')[-4000:]}")
        told = json.loads(answer)
        return Round(told["seconds"], told["cpu_s"], tuple(told["latencies_s"]))

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.engine.process", self.name, self._folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None:
            return
        try:
            process.communicate(timeout=END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _open_normal(folder: Path) -> Side:
    from benchmarks.engine.coldforge_side import ColdforgeSide

    return ColdforgeSide(folder, is_power_safe=False)


def _open_full(folder: Path) -> Side:
    from benchmarks.engine.coldforge_side import ColdforgeSide

    return ColdforgeSide(folder, is_power_safe=True)


def _open_peer(_folder: Path) -> Side:
    from benchmarks.engine.in_memory_side import InMemorySide

    return InMemorySide()


SIDES: Mapping[str, Callable[[Path], Side]] = {
    NORMAL: _open_normal,
    FULL: _open_full,
    PEER: _open_peer,
}
"""Sides by name; each imports its engine only when it is opened."""


def main() -> None:
    """Serve rounds until standard input ends."""
    name, folder = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    side = SIDES[name](Path(folder))
    try:
        for text in sys.stdin:
            order = json.loads(text)
            taken = run_round(
                side,
                order["workload"],
                instances=order["instances"],
                in_flight=order["in_flight"],
            )
            print(json.dumps(asdict(taken)), flush=True)
    finally:
        side.close()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Pools of either engine may keep a thread that waits; everything is told by now.
    os._exit(0)
