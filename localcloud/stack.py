"""The whole local cloud: brought up, broken on purpose, and taken down whatever happens."""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localcloud import blueprint as plan
from localcloud.blueprint import LocalVm, StackUrls
from localcloud.certificate import prepare_certificate
from localcloud.component import Component
from localcloud.core_tools import build_core_tools
from localcloud.https import LocalControls, answers
from localcloud.keeper import Keeper
from localcloud.leash import Lock, Watchdog, new_tag, tagged
from localcloud.storage import build_storage, create_storage
from localcloud.token_client import LocalCredential
from localcloud.torn import check_state


class StackError(RuntimeError):
    """The local cloud can't be started where it was asked to."""


class Stack:
    """Azurite, the stand-in for ARM and IMDS, and the Functions host with one app.

    Use it in a ``with`` statement: all is up inside, all is gone after it. Should this process be
    killed, a watchdog ends everything that it started. Should Azurite end by itself, it is
    started again if it keeps what is stored. Not for use by several threads.
    """

    def __init__(
        self,
        app_dir: Path,
        folder: Path,
        *,
        vms: Sequence[LocalVm] = (LocalVm(),),
        app_environ: Mapping[str, str] | None = None,
        app_port: int | None = None,
        host_arguments: Sequence[str] = (),
        health_path: str = "/api/health",
        keeps_storage: bool = False,
        agent_command: Sequence[str] | None = None,
        host_command: Sequence[str] | None = None,
        func: Path | None = None,
        limits_rates: bool = False,
    ) -> None:
        """Decide everything; start nothing.

        Args:
            app_dir: Folder of the function app.
            folder: Where state and logs are kept; another run may go on from there.
            vms: The GPU VMs, deallocated at first.
            app_environ: Further settings of the app.
            app_port: Port of the app; None: a free one.
            host_arguments: Further arguments of the Functions host.
            health_path: What of the app answers 200 when it is up.
            keeps_storage: Whether blobs and tables are kept in `folder`, or in memory.
            agent_command: Program and arguments of the agents; None: ours.
            host_command: Functions host to use, which must take the arguments of ours; None: ours.
            func: Azure Functions Core Tools to use instead of any such host.
            limits_rates: Whether ARM refuses too many requests, as Azure does. Tests poll faster
                than anybody should.

        Raises:
            OSError: There are no free ports.
        """
        self._blueprint = plan.draw_blueprint(
            folder,
            vms=tuple(vms),
            app_port=app_port,
            agent_command=tuple(agent_command) if agent_command else None,
        )
        self.urls: StackUrls = self._blueprint.urls
        self.folder = self._blueprint.folder
        self._tag = new_tag()
        self._lock = Lock(self.folder / "lock")
        self._watchdog: Watchdog | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        certificate = prepare_certificate(self.folder / "tls", now=datetime.now(UTC))
        self.bundle = certificate.bundle
        environ = tagged(plan.base_environ(os.environ, certificate), self._tag)
        controls = LocalControls(self.urls.arm, self.bundle)
        self._controls = controls
        self._storage = build_storage(
            ports=self._blueprint.storage_ports,
            data=self.folder / "storage" if keeps_storage else None,
            certificate=certificate,
            environ=environ,
            log=self._blueprint.log("storage"),
        )
        # Out of memory everything would be gone: better to say so than to start again empty.
        self._keeper = Keeper(self._storage) if keeps_storage else None
        self._vms_file = self.folder / "vms.json"
        self._deployment_file = self.folder / "doctor.json"
        self._doctor_environ_file = self.folder / "doctor.env"
        python = [sys.executable, "-m"]
        self._arm = Component(
            name="arm",
            command=[
                *python,
                "localcloud.arm",
                *("--port", str(self._blueprint.arm_port)),
                *("--imds-port", str(self._blueprint.imds_port)),
                *("--data", str(self.folder / "arm"), "--vms", str(self._vms_file)),
                *("--cert", str(certificate.chain), "--key", str(certificate.key)),
                *([] if limits_rates else ["--no-rate-limits"]),
            ],
            environ={**environ, "IDENTITY_HEADER": self._blueprint.identity_header},
            cwd=plan.ROOT,
            log=self._blueprint.log("arm"),
            probe=lambda: bool(controls.meter()) or not vms,
            # Its agents get 5 seconds of their own before they are killed.
            stop_grace_s=10.0,
        )
        host_environ = {**environ, **plan.app_environ(self._blueprint), **(app_environ or {})}

        def is_healthy() -> bool:
            return answers(self.urls.app + health_path, self.bundle, wanted_status=200)

        if func is not None:
            self._host = build_core_tools(
                func,
                app_dir=app_dir.absolute(),
                blueprint=self._blueprint,
                environ=host_environ,
                probe=is_healthy,
            )
            return
        self._host = Component(
            name="functions_host",
            command=[
                *(host_command or [*python, "localcloud.functions_host"]),
                str(app_dir.absolute()),
                *("--port", str(self._blueprint.app_port)),
                *("--data", str(self.folder / "functions_host")),
                *host_arguments,
            ],
            environ=host_environ,
            cwd=plan.ROOT,
            log=self._blueprint.log("functions_host"),
            probe=is_healthy,
        )

    @property
    def agent_token(self) -> str:
        """The bearer token of the agents."""
        return self._blueprint.agent_token

    @property
    def agent_log(self) -> Mapping[str, Path]:
        """The agents' log files, by VM."""
        return {vm.name: self._blueprint.log(vm.name) for vm in self._blueprint.vms}

    @property
    def switch_log(self) -> Mapping[str, Path]:
        """The log files of the VMs' switches, by VM."""
        return {vm.name: self._blueprint.switch_log(vm.name) for vm in self._blueprint.vms}

    @property
    def logs(self) -> Mapping[str, Path]:
        """All log files, by component or VM."""
        parts = [part.name for part in (self._storage, self._arm, self._host)]
        return {**{name: self._blueprint.log(name) for name in parts}, **self.agent_log}

    @property
    def doctor_environ(self) -> Mapping[str, str]:
        """What ``coldforge doctor`` needs in its environment to examine this local cloud.

        A shell finds it in the file ``doctor.env`` of the folder.
        """
        return {
            "COLDFORGE_DEPLOYMENT": str(self._deployment_file),
            "IDENTITY_ENDPOINT": self.urls.identity,
            "IDENTITY_HEADER": self._blueprint.identity_header,
            "REQUESTS_CA_BUNDLE": str(self.bundle),
        }

    @property
    def storage_restarts(self) -> int:
        """How often Azurite had ended by itself and was started again."""
        return self._keeper.restarts if self._keeper else 0

    @property
    def pids(self) -> Mapping[str, int | None]:
        """Process ids of the components, None for one that does not run."""
        return {part.name: part.pid for part in (self._storage, self._arm, self._host)}

    def credential(self) -> LocalCredential:
        """Return a credential of the function app's identity."""
        return LocalCredential(self.urls.identity, self._blueprint.identity_header)

    def start(self) -> None:
        """Bring everything up and wait until it answers; on failure, take it down again.

        Raises:
            StackError: Another local cloud uses the folder.
            TornError: What an earlier one left there can't be read.
            ComponentError: A component did not come up.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything and wait until it has ended. Once begun, Ctrl-C does not cut it short."""
        with _without_interrupts():
            if self._keeper:
                self._keeper.release()
            self._host.stop()
            self._arm.terminate()
            self._storage.terminate()
            self._arm.stop()
            self._storage.stop()
            if self._keeper:
                self._keeper.end()
            if self._watchdog:
                self._watchdog.close()
                self._watchdog = None
            self._lock.free()

    def check(self) -> None:
        """Complain if a component has ended by itself and is not started again.

        Raises:
            ComponentError: Naming it.
        """
        for part in (self._keeper or self._storage, self._arm, self._host):
            part.check()

    def start_functions_host(self) -> None:
        """Start the Functions host again, on its old port and data, and wait until it answers."""
        self._host.start()
        self._host.wait_until_ready()

    def kill_functions_host(self) -> None:
        """End the Functions host as ``kill -9`` does."""
        self._host.kill()

    def start_arm(self) -> None:
        """Start the stand-in for ARM again; it takes over the agents that still live."""
        self._arm.start()
        self._arm.wait_until_ready()

    def kill_arm(self) -> None:
        """End the stand-in for ARM as ``kill -9`` does; the agents live on."""
        self._arm.kill()

    def kill_storage(self, *, is_asked: bool = False) -> None:
        """End Azurite; if it keeps what is stored, it is started again.

        Args:
            is_asked: Whether it may write down what it knows first (SIGTERM); ``kill -9``
                otherwise, which loses what it was told in the last 5 seconds.
        """
        if pid := self._storage.pid:
            os.kill(pid, signal.SIGTERM if is_asked else signal.SIGKILL)

    def kill_agent(self, vm: str, *, stays_dead: bool = False) -> None:
        """End a VM's agent as ``kill -9`` does; the VM goes on running.

        Args:
            vm: Name of the VM.
            stays_dead: Whether it is not started again before the VM's next boot.
        """
        self.fault("agent_dies", vm=vm, stays_dead=stays_dead)

    def meter(self) -> dict[str, Any]:
        """Read what each VM has cost; see `LocalControls.meter`."""
        return self._controls.meter()

    def throttled(self) -> int:
        """Read how many requests ARM refused because there were too many."""
        return self._controls.throttled()

    def requests_to_arm(self) -> list[dict[str, Any]]:
        """Read the latest requests to ARM; see `localcloud.arm.request_log.Logged`."""
        return self._controls.requests()

    def fault(self, name: str, *, vm: str | None = None, **options: Any) -> int:
        """Make something go wrong; see `localcloud.arm.faults` for names and options."""
        return self._controls.set_fault(name, vm=vm, **options)

    def clear_faults(self) -> None:
        """Let everything go right again."""
        self._controls.clear_faults()

    def _start(self) -> None:
        if not self._lock.take():
            raise StackError(f"another local cloud runs in {self.folder}")
        check_state(self.folder)
        self._watchdog = Watchdog(self._tag)
        plan.write_private(self._vms_file, json.dumps(plan.list_vms(self._blueprint), indent=2))
        plan.write_private(self._doctor_environ_file, plan.write_environ(self.doctor_environ))
        self._deployment_file.write_text(
            json.dumps(plan.describe_deployment(self._blueprint), indent=2)
        )
        self._storage.start()
        self._arm.start()
        self._arm.wait_until_ready()
        self._storage.wait_until_ready()
        if self._keeper:
            self._keeper.begin()
        create_storage(
            blob_service=self.urls.blob,
            table_service=self.urls.table,
            containers=plan.CONTAINERS,
            tables=plan.TABLES,
            credential=self.credential(),
            bundle=self.bundle,
        )
        self.start_functions_host()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
