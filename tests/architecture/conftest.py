import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="root")
def _root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(name="tracked", scope="session")
def _tracked() -> list[Path]:
    """The files of the repository, relative to its root."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    return [Path(name) for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(name="targets", scope="session")
def _targets() -> dict[str, str | None]:
    """The targets of the Makefile, each with the description behind its ``##``."""
    targets: dict[str, str | None] = {}
    for line in (ROOT / "Makefile").read_text("utf-8").splitlines():
        rule, _, description = line.partition(" ## ")
        name, colon, rest = rule.partition(":")
        is_rule = colon and not line.startswith(("\t", "#", ".", "$")) and not rest.startswith("=")
        if is_rule and "=" not in name:
            targets[name.strip()] = description.strip() or None
    return targets
