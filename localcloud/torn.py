"""Finds what a power cut tore, before a program fails on it in words of its own."""

import json
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from localcloud.blueprint import ROOT


class TornError(RuntimeError):
    """A file of the local cloud's state is torn; says which one and what to do."""


def check_state(folder: Path) -> None:
    """See that every file of a local cloud's state can be read. Nothing may run in the folder.

    Args:
        folder: Of the local cloud; it may be new.

    Raises:
        TornError: One can't.
    """
    for pattern, check in _CHECKS.items():
        for path in sorted(folder.glob(pattern)):
            try:
                check(path)
            except (ValueError, sqlite3.DatabaseError) as error:
                raise TornError(_describe(path, folder)) from error


def _check_json(path: Path) -> None:
    # Azurite takes an empty file for a new one, and with it goes what the other files refer to.
    json.loads(path.read_bytes())


def _check_key(path: Path) -> None:
    load_pem_private_key(path.read_bytes(), password=None)


def _check_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        ((verdict,),) = database.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise ValueError(verdict)


_CHECKS: dict[str, Callable[[Path], None]] = {
    "storage/__azurite_db_*__.json": _check_json,
    "arm/state.json": _check_json,
    "arm/token.key": _check_key,
    "functions_host/durable.sqlite": _check_database,
    "vms/*/ledger.sqlite3": _check_database,
}


def _describe(path: Path, folder: Path) -> str:
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    old, aside = shlex.quote(str(shown)), shlex.quote(f"{shown}-torn")
    return (
        f"{path.relative_to(folder)} in {shown} is torn, as a power cut leaves it: what was "
        "stored there can't be read any more. Put the folder aside and start again, which "
        f"begins with an empty cloud: mv {old} {aside}"
    )
