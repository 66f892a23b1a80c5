"""Plants each fault in a copy of the repository and runs the test that must notice.

``python -m tests.mutants [WORD]`` runs all of them, or those that hold the word. Fails if one
survives, if a test fails without a fault, if a text is not found, or if every test was skipped. A
fault whose test was skipped is not judged; the last line counts those apart.
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
from tests.mutants.verdict import PASSED, Outcome, Ran, Verdict, judge_run, read_skips, sum_up

COPIED = (
    *("localcloud", "orchestrator", "gpu_agent", "coldforge", "scripts", "vm_image", "tests"),
    *("docs", "infra", "benchmarks", "requirements", ".github"),
)
COPIED_FILES = (
    *("pyproject.toml", "function_app.py", "host.json", "Makefile", "README.md", ".funcignore"),
)
AT_ONCE = 2
LIMIT_S = 120
"""For the test of one mutant."""
SOUND_LIMIT_S = 600
"""For all those tests together, before anything is planted."""


def main(words: Sequence[str]) -> int:
    """Run the mutants; returns the exit status."""
    began = time.monotonic()
    mutants = [one for one in read_mutants() if all(word in str(one) for word in words)]
    if not mutants:
        # Without a name, pytest would run every test there is.
        write(f"No mutant holds {' and '.join(words)}.")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            copies.put(copy_repository(Path(folder) / f"copy-{number}"))
        with borrow(copies) as copy:
            sound = run_tests(
                copy, sorted({mutant.test for mutant in mutants}), limit_s=SOUND_LIMIT_S
            )
        if sound.status != PASSED:
            write(f"{sound.output}\nThese tests fail without any fault.")
            return 1
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = list(pool.map(lambda one: judge(one, copies), mutants))
    for verdict in verdicts:
        if verdict.outcome is not Outcome.CAUGHT:
            write(verdict.text())
    line, status = sum_up(verdicts, time.monotonic() - began)
    write(line)
    return status


def judge(mutant: Mutant, copies: "SimpleQueue[Path]") -> Verdict:
    """Run one mutant, and say at once if it was caught."""
    with borrow(copies) as copy:
        path = copy / mutant.file
        source = path.read_text("utf-8")
        try:
            path.write_text(mutant.plant(source), "utf-8")
            verdict = judge_run(mutant, run_tests(copy, [mutant.test]))
        except (ValueError, subprocess.TimeoutExpired) as error:
            return Verdict(Outcome.NO_VERDICT, f"{mutant.rule}: {error}")
        finally:
            path.write_text(source, "utf-8")
    if verdict.outcome is Outcome.CAUGHT:
        write(verdict.text())
    return verdict


def run_tests(copy: Path, tests: Sequence[str], *, limit_s: float = LIMIT_S) -> Ran:
    """Run some tests in a copy, compiling nothing to disk: two sources may share a second.

    Raises:
        subprocess.TimeoutExpired: They took longer than `limit_s`.
    """
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        options = ("-q", "-x", "-p", "no:cacheprovider", f"--junitxml={junit}")
        done = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", *options, *tests],
            cwd=copy,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
        # Without a report pytest did not get as far as a test.
        skips = read_skips(junit.read_text("utf-8")) if junit.exists() else ()
    return Ran(done.returncode, done.stdout, skips)


def copy_repository(target: Path) -> Path:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".*")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, target / name)
    installed = Path("localcloud", "azurite", "node_modules")
    (target / installed).symlink_to(ROOT / installed)
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
