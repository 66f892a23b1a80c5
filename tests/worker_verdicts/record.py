"""Ask Microsoft's worker about every app of apps.toml and write verdicts.json beside it.

The worker's library, azure-functions-runtime, needs Python 3.13 and so can't be in the lock. In an
environment of its own::

    python3.13 -m venv ENV
    ENV/bin/pip install azure-functions-runtime azure-functions-durable
    ENV/bin/python tests/worker_verdicts/record.py

Record again when apps are added or Azure has a new worker; never to make the loader agree.
"""

import asyncio
import json
import os
import sys
import tempfile
import tomllib
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(__file__).parent
LIBRARIES = ("azure-functions-runtime", "azure-functions", "azure-functions-durable")
HEADER = """\
import typing

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()

"""


class Message:
    """Stands in for any message of the worker's protocol: keeps what it is made from."""

    def __init__(self, *values, **fields):
        self.values = values
        self.__dict__.update(fields)


class BindingInfo(Message):
    """Has the numbers of the protocol's directions and data types."""

    Direction = IntEnum("Direction", ["in", "out", "inout"], start=0)
    out, inout = 1, 2
    undefined = 0


class StatusResult(Message):
    Failure, Success = 0, 1


class Protos:
    """The messages of the worker's protocol, which its own host generates."""

    BindingInfo = BindingInfo
    StatusResult = StatusResult

    def __getattr__(self, name):
        return Message


def main():
    apps = tomllib.loads((FOLDER / "apps.toml").read_text("utf-8"))
    document = {
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: version(name) for name in LIBRARIES},
        "verdicts": {name: ask(app["source"]) for name, app in apps.items()},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (FOLDER / "verdicts.json").write_text(text + "\n", "utf-8")
    sys.stdout.write(f"{len(apps)} apps\n")


def ask(source):
    """Let the worker index one app; returns its complaint, or None if it takes the app."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "function_app.py").write_text(HEADER + source, "utf-8")
        sys.path.insert(0, folder)
        try:
            reply = asyncio.run(index(folder))
        finally:
            sys.path.remove(folder)
            sys.modules.pop("function_app", None)
    if reply.result.status == StatusResult.Success:
        return None
    return reply.result.exception.message.replace(folder, "")


def index(folder):
    from azure_functions_runtime import worker_init_request

    asked = SimpleNamespace(capabilities={}, function_app_directory=folder)
    return worker_init_request(
        SimpleNamespace(
            request=SimpleNamespace(worker_init_request=asked),
            properties={"host": "", "protos": Protos()},
        )
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    main()
