"""A server as a process of its own: what it weighs, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from localcloud.blueprint import ROOT

UP_WITHIN_S = 300.0
END_WITHIN_S = 30.0
_LOOK_S = 0.05


class ServerProcess:
    """A Python module that serves, with folders of its own.

    Args:
        module: Run as ``python -m module``.
        arguments: Of the module.
        folder: Holds ``home``, its working directory, ``tmp`` and ``log``; made here.
        environ: Of the process, apart from the paths.
    """

    def __init__(
        self, module: str, *arguments: str, folder: Path, environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.home, self.tmp, self.log = folder / "home", folder / "tmp", folder / "log"
        for made in (self.home, self.tmp):
            made.mkdir(parents=True)
        # Nothing else of this environment: an OMP_NUM_THREADS from outside would decide the race.
        paths = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        paths["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.home,
                env={**paths, "HOME": str(self.home), "TMPDIR": str(self.tmp), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def await_up(self, is_up: Callable[[], bool]) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: It has ended; its log says why.
            TimeoutError: It does not serve within `UP_WITHIN_S`.
        """
        deadline = time.monotonic() + UP_WITHIN_S
        while not is_up():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.folder.name} has ended:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder.name} is not up:\n{self._tail()}")
            time.sleep(_LOOK_S)

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def resident_mib(self) -> float:
        """Give the resident memory of the process and all below it, in MiB."""
        return sum(_resident(one) for one in self._tree()) / 2**20

    def cpu_s(self) -> float:
        """Give the processor time of the process and all below it so far, in seconds."""
        return sum(_cpu(one) for one in self._tree())

    def files(self) -> int:
        """Count the files in its working directory and its folder for temporary files."""
        return sum(path.is_file() for top in (self.home, self.tmp) for path in top.rglob("*"))

    def end(self) -> None:
        """End it: by a signal, or by force if that does not do."""
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.NoSuchProcess:
        return 0.0
