"""The processes that stand for what runs inside the VMs; `vm` names a VM or a unit of one."""

import logging
import os
import subprocess
import time

import psutil

from localcloud.arm.settings import AgentSpec
from localcloud.arm.vm import Agent
from localcloud.leash import end_tagged, find_tagged, is_alive, tagged

logger = logging.getLogger(__name__)

_SAME_START_S = 1.0


class AgentProcesses:
    """Starts agents, watches them and ends them, with everything that they started."""

    def __init__(self, tag: str) -> None:
        """Watch over the processes of one region.

        Args:
            tag: Leash of the region; each VM gets one of its own in addition.
        """
        self._tag = tag
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._kill_at: dict[str, float] = {}

    def spawn(self, vm: str, spec: AgentSpec, environ: dict[str, str]) -> Agent:
        """Start a unit of a VM.

        Args:
            vm: The unit's name, which is the VM's for its agent (see `localcloud.arm.units`).
            spec: Its program; its own `environ` is not looked at.
            environ: Added to this process's environment.

        Raises:
            OSError: The program can't be started.
        """
        # A VM has its own identity service; App Service's must not get in its way.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")
        }
        environ = tagged(inherited, self._tag) | environ
        environ = tagged(environ, self._vm_tag(vm))
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        self._kill_at.pop(vm, None)
        with spec.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - the command of the list of VMs
                spec.command,
                cwd=spec.cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children[vm] = child
        try:
            created_at = psutil.Process(child.pid).create_time()
        except psutil.Error:
            # It is over already; the next look at it will find that out.
            created_at = 0.0
        logger.info("%s: started as process %d", vm, child.pid)
        return Agent(pid=child.pid, created_at=created_at)

    def is_alive(self, vm: str, agent: Agent) -> bool:
        """Tell whether a VM's agent lives, also one that an earlier region started."""
        child = self._children.get(vm)
        if child is not None and child.pid == agent.pid:
            return child.poll() is None
        try:
            process = psutil.Process(agent.pid)
            # The time is computed from the system's clock, which may have been set meanwhile.
            is_same = abs(process.create_time() - (agent.created_at or 0.0)) < _SAME_START_S
        except psutil.Error:
            return False
        return is_same and is_alive(process)

    def end(self, vm: str, spec: AgentSpec) -> None:
        """Ask a VM's processes to end; asked again after their grace, kill them."""
        now = time.monotonic()
        if vm not in self._kill_at:
            self._kill_at[vm] = now + spec.stop_grace_s
            for process in find_tagged(self._vm_tag(vm)):
                try:
                    process.terminate()
                except psutil.Error:
                    continue
        elif now >= self._kill_at[vm]:
            self.kill(vm)

    def kill(self, vm: str) -> None:
        """Kill all of a VM's processes, at once."""
        end_tagged(self._vm_tag(vm), grace_s=0)
        self.bury(vm)

    def bury(self, vm: str) -> None:
        """Kill what a VM's dead agent left behind, and forget it."""
        end_tagged(self._vm_tag(vm), grace_s=0)
        self._kill_at.pop(vm, None)
        if child := self._children.pop(vm, None):
            child.wait()

    def end_all(self, *, grace_s: float) -> None:
        """End every process of the region."""
        end_tagged(self._tag, grace_s=grace_s)
        for child in self._children.values():
            child.wait()
        self._children.clear()

    def kill_strays(self, known: set[str]) -> None:
        """Kill the region's processes that belong to none of some VMs."""
        kept = {process.pid for vm in known for process in find_tagged(self._vm_tag(vm))}
        for process in find_tagged(self._tag):
            if process.pid not in kept:
                try:
                    process.kill()
                except psutil.Error:
                    continue

    def _vm_tag(self, vm: str) -> str:
        return f"{self._tag}:{vm}"
