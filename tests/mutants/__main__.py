"""Plants each fault in a copy of the repository and runs the test that must notice.

``python -m tests.mutants [WORD]`` runs all of them, or those that hold the word. Fails if one
survives, if a test fails without a fault, or if a text is not found.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.table import ROOT, Mutant, read_mutants

COPIED = (
    *("localcloud", "orchestrator", "gpu_agent", "coldforge", "scripts", "vm_image", "tests"),
    *("docs", "infra", "benchmarks"),
)
COPIED_FILES = (
    *("pyproject.toml", "function_app.py", "host.json", "Makefile"),
    *("requirements-vm.txt", "requirements-vm-build.txt", "requirements-hy3dgen.txt"),
)
AT_ONCE = 2
LIMIT_S = 120
"""For the test of one mutant."""
SOUND_LIMIT_S = 600
"""For all those tests together, before anything is planted."""
TESTS_FAILED = 1
"""What pytest ends with if tests were run and some failed; 2 and above is no verdict."""


def main(words: Sequence[str]) -> int:
    """Run the mutants; returns the exit status."""
    began = time.monotonic()
    asked = [one for one in read_mutants() if all(word in str(one) for word in words)]
    if not asked:
        # Without a name, pytest would run every test there is.
        write(f"No mutant holds {' and '.join(words)}.")
        return 1
    mutants = [one for one in asked if one.is_testable]
    for mutant in asked:
        if not mutant.is_testable:
            write(f"not tried   {mutant.rule}: there is no {mutant.needs}")
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            copies.put(copy_repository(Path(folder) / f"copy-{number}"))
        with borrow(copies) as copy:
            sound = run_tests(
                copy, sorted({mutant.test for mutant in mutants}), limit_s=SOUND_LIMIT_S
            )
        if sound.returncode != 0:
            write(f"{sound.stdout}\nThese tests fail without any fault.")
            return 1
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = list(pool.map(lambda one: judge(one, copies), mutants))
    survivors = [verdict for verdict in verdicts if verdict]
    for verdict in survivors:
        write(verdict)
    took_s = time.monotonic() - began
    write(f"{len(mutants)} mutants in {took_s:.0f} s, {len(survivors)} not caught")
    return 1 if survivors else 0


def judge(mutant: Mutant, copies: "SimpleQueue[Path]") -> str:
    """Run one mutant; returns what is wrong, or nothing if it was caught."""
    with borrow(copies) as copy:
        path = copy / mutant.file
        source = path.read_text("utf-8")
        try:
            path.write_text(mutant.plant(source), "utf-8")
            done = run_tests(copy, [mutant.test])
        except (ValueError, subprocess.TimeoutExpired) as error:
            return f"NO VERDICT  {mutant.rule}: {error}"
        finally:
            path.write_text(source, "utf-8")
    if done.returncode == TESTS_FAILED:
        write(f"caught      {mutant.rule}")
        return ""
    if done.returncode == 0:
        return f"SURVIVED    {mutant.rule}: {mutant.test} passes without it"
    return f"NO VERDICT  {mutant.rule}:\n{done.stdout[-2000:]}"


def run_tests(
    copy: Path, tests: Sequence[str], *, limit_s: float = LIMIT_S
) -> "subprocess.CompletedProcess[str]":
    """Run some tests in a copy, compiling nothing to disk: two sources may share a second."""
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )


def copy_repository(target: Path) -> Path:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, target / name)
    (target / "node_modules").symlink_to(ROOT / "node_modules")
    return target


@contextmanager
def borrow(copies: "SimpleQueue[Path]") -> Iterator[Path]:
    """Take a copy that nobody else uses."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
