"""The whole agent put together, served, and ended."""

import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import waitress
from waitress.channel import HTTPChannel

from gpu_agent.artifacts.leftovers import find_leftovers, remove_leftovers
from gpu_agent.artifacts.store import ArtifactStore, BlobArtifactStore, FolderArtifactStore
from gpu_agent.engines import Engine
from gpu_agent.host.machine import read_boot_clock, read_boot_id
from gpu_agent.host.systemd import Pulse, Systemd, ask_phase
from gpu_agent.http.app import MAX_BODY_BYTES, create_app
from gpu_agent.http.metrics import Metrics
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.run import SetUp
from gpu_agent.jobs.vm_service import AgentIdentity
from gpu_agent.settings import Settings
from gpu_agent.work.runner import Runner

logger = logging.getLogger(__name__)

ANSWER_WITHIN_S = 2.0
"""How long the last answers may take to leave, in seconds, when the agent ends."""

THREADS_WITHIN_S = 4.0
"""How long the working threads may then take to see that they are stopped, in seconds."""

EXIT_UNFIT = 3
"""Exit status of an agent whose engine can't be used on this machine."""

EXIT_STUCK = 4
"""Exit status of an agent that ends because a thread of it hangs; systemd starts it again."""

LEFTOVERS_EVERY_S = 600.0

_SPARE_THREADS = 8
_GIB = 1024**3


class Service:
    """Everything that one process of the agent is made of.

    Args:
        settings: From the environment.
        engine: Makes the models; closed when the service ends.
        metrics: Where the engine leaves its figures, or None if it has none.
        systemd: What runs the process, if systemd does.

    Raises:
        JobStoreError: Another agent has the data folder, or the disk refuses.
        OSError: The port can't be had.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        metrics: Metrics | None = None,
        systemd: Systemd | None = None,
    ) -> None:
        machine_boot = settings.machine_boot_id or read_boot_id()
        info = engine.info
        self._settings = settings
        self._engine = engine
        self.core = AgentCore(
            store=JobStore(settings.data_dir / "ledger.sqlite3", machine_boot=machine_boot),
            identity=AgentIdentity(
                vm_name=settings.vm_name,
                token=settings.token,
                engine={
                    "name": info.name,
                    "version": info.version,
                    "description": info.description,
                },
                image_version=settings.image_version or "",
                machine_boot=machine_boot,
                max_uptime_s=settings.max_uptime_s,
                booted_at=settings.booted_at,
            ),
            slots=settings.slots,
        )
        metrics = metrics or Metrics()
        self._runner = Runner(
            core=self.core,
            engine=engine,
            store=open_store(settings),
            gauge=metrics,
            stage_min_s=settings.stage_min_s,
            store_patience_s=settings.store_patience_s,
            give_up=self.give_up,
            start_over=self._start_over,
        )
        app = create_app(
            core=self.core,
            metrics=metrics,
            tokens=[token for token in (settings.token, settings.token_previous) if token],
            max_polls=max(1, settings.threads - _SPARE_THREADS),
        )
        self._sockets: dict[int, Any] = {}
        self._server = waitress.create_server(
            app,
            map=self._sockets,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            connection_limit=4 * settings.threads,
            # The app says it as a problem; this is the wall behind it.
            max_request_body_size=8 * MAX_BODY_BYTES,
            ident="gpu-agent",
        )
        self._metrics = metrics
        self._is_leaving = False
        self._is_over = False
        self._is_hurried = threading.Event()
        self._has_answered = threading.Event()
        self._systemd = systemd or Systemd()
        self._pulse = Pulse(
            self._systemd, lambda: ask_phase(settings.host, settings.port, settings.token)
        )
        self._exit_status = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the engine is given up. From the main thread.

        Then no new job is taken, and those held may go on for `Settings.drain_s`; a second signal
        ends that wait. Within about ten seconds more what is left becomes interrupted, hanging
        long-polls are answered, and the threads and the engine's processes end.

        Returns:
            The exit status: 0, `EXIT_UNFIT` or `EXIT_STUCK`.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear_signal)
        self._runner.start()
        threading.Thread(target=self._remove_leftovers, name="leftovers", daemon=True).start()
        logger.info("serving")
        # The port listens since the server was made: whoever comes now waits for the loop below.
        self._systemd.tell_ready()
        self._pulse.start()
        try:
            self._server.run()
        finally:
            self._pulse.stop()
            self.core.lifecycle.end()
            if not self._runner.join(THREADS_WITHIN_S):
                logger.warning("an engine still works; left behind")
            self._engine.close()
            self.core.lifecycle.close()
            logger.info("ended")
        return self._exit_status

    def give_up(self, detail: str) -> None:
        """End the agent because its engine can make no model: say so for a while, then leave.

        An agent that stays up and says ``failed`` for ever keeps its VM billed for nothing; one
        that leaves at once takes the reason with it. So the reason is told on ``/v1/ready`` for
        longer than the control plane's pause between two looks.
        """
        logger.critical("%s", detail)
        self._exit_status = EXIT_UNFIT
        self.core.lifecycle.report_set_up(SetUp(phase="failed", percent=0, detail=detail))
        pause = threading.Timer(self._settings.unfit_s, _signal_end)
        pause.daemon = True
        pause.start()

    def _start_over(self, detail: str) -> None:
        """End when no job is held: the next process has no hang.

        Otherwise each hang would take a worker for good, until an agent that says "ready" makes
        nothing any more. Until then the other workers go on.
        """
        logger.critical("%s Starting over when no job is held.", detail)
        self._metrics.count_stuck()
        if self._exit_status == 0:
            self._exit_status = EXIT_STUCK
            threading.Thread(target=self._leave_when_idle, name="idle", daemon=True).start()

    def _leave_when_idle(self) -> None:
        self.core.lifecycle.wind_up_when_idle(lambda: self._is_leaving)
        if not self._is_leaving:
            _signal_end()

    def _hear_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._has_answered.is_set():
            if self._is_over:
                return
            self._is_over = True
            raise SystemExit(0)
        if self._is_leaving:
            self._is_hurried.set()
            return
        self._is_leaving = True
        threading.Thread(target=self._leave, name="ending", daemon=True).start()

    def _leave(self) -> None:
        """Let the held jobs go on for a while, then the server's own loop send the last answers.

        Last of all the signal stops that loop.
        """
        self._systemd.tell_stopping()
        self.core.lifecycle.wind_up(self._settings.drain_s, self._is_hurried.is_set)
        self.core.lifecycle.end()
        end = read_boot_clock() + ANSWER_WITHIN_S
        pause = threading.Event()
        while self._is_answering() and read_boot_clock() < end:
            pause.wait(0.02)
        self._has_answered.set()
        _signal_end()

    def _remove_leftovers(self) -> None:
        pause = threading.Event()
        while not self.core.lifecycle.is_ending:
            remove_leftovers(
                find_leftovers(self._settings.data_dir, self._settings.store_dir),
                max_age_s=3600 * self._settings.keep_h,
                least_free_bytes=int(_GIB * self._settings.least_free_gib),
                now=time.time(),
            )
            pause.wait(LEFTOVERS_EVERY_S)

    def _is_answering(self) -> bool:
        channels = [c for c in list(self._sockets.values()) if isinstance(c, HTTPChannel)]
        return any(channel.requests or channel.total_outbufs_len for channel in channels)


def _signal_end() -> None:
    """End as at a signal from outside, so that the main thread alone decides who leaves when."""
    os.kill(os.getpid(), signal.SIGTERM)


def open_store(settings: Settings) -> ArtifactStore:
    """Open the store that the settings name."""
    if settings.store_dir is not None:
        return FolderArtifactStore(settings.store_dir)
    assert settings.store_url is not None  # noqa: S101 - the settings hold exactly one of the two
    return BlobArtifactStore.with_managed_identity(settings.store_url, settings.client_id)
