"""The planted faults: read from the TOML files of this folder, one file for each area."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


@dataclass(frozen=True)
class Mutant:
    """One planted fault.

    Attributes:
        rule: The rule that it breaks, in words.
        file: Path under the root of the repository.
        text: Stands there exactly once.
        replacement: Stands there instead.
        test: Id of the test that must fail.
    """

    rule: str
    file: str
    text: str
    replacement: str
    test: str

    def plant(self, source: str) -> str:
        """Plant the fault.

        Raises:
            ValueError: The text is not there exactly once.
        """
        count = source.count(self.text)
        if count != 1:
            raise ValueError(f"{self.file} holds the text {count} times: {self.text.strip()!r}")
        return source.replace(self.text, self.replacement)


def read_mutants(folder: Path = FOLDER) -> list[Mutant]:
    """Read every table of a folder, in the order of their names."""
    return [
        Mutant(**fields)
        for path in sorted(folder.glob("*.toml"))
        for fields in tomllib.loads(path.read_text("utf-8"))["mutant"]
    ]
