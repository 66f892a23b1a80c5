"""Azure Functions Core Tools (``func``) in the place of our Functions host.

Not proved here: Core Tools is not part of the tests, which run a script in its place. When it
starts for the first time it fetches the extension bundle that ``host.json`` names. It keeps
Durable's state in Azurite. On macOS .NET does not read ``SSL_CERT_FILE``: there the local
certificate has to be trusted by hand.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from localcloud.blueprint import Blueprint
from localcloud.component import Component
from localcloud.storage import ACCOUNT

READY_TIMEOUT_S = 300.0
"""The first start downloads some hundred megabytes."""

# Published with every storage emulator, and the same for everybody: no secret.
_EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class CoreToolsError(RuntimeError):
    """Core Tools is not installed; the message says how to go on without or with it."""


def find_func(path: str | None = None) -> Path:
    """Find ``func``.

    Args:
        path: Where to look, as in ``PATH``; None: there.

    Raises:
        CoreToolsError: It is not there.
    """
    found = shutil.which("func", path=path)
    if found is None:
        raise CoreToolsError(
            "HOST=func needs Azure Functions Core Tools, and there is no 'func' on the PATH: "
            "install it (npm install -g azure-functions-core-tools@4), or leave HOST out to use "
            "the Functions host that comes with Coldforge."
        )
    return Path(found)


def build_core_tools(
    func: Path,
    *,
    app_dir: Path,
    blueprint: Blueprint,
    environ: Mapping[str, str],
    probe: Callable[[], bool],
) -> Component:
    """Return Core Tools with one app, not yet started.

    Args:
        func: The program.
        app_dir: Folder of the function app; nothing is written there.
        blueprint: The local cloud that it belongs to.
        environ: Settings of the app. Core Tools prefers them to those of local.settings.json.
        probe: Asks the app once.
    """
    urls = blueprint.urls
    storage = {
        "DefaultEndpointsProtocol": "https",
        "AccountName": ACCOUNT,
        "AccountKey": _EMULATOR_KEY,
        "BlobEndpoint": urls.blob,
        "QueueEndpoint": urls.queue,
        "TableEndpoint": urls.table,
    }
    return Component(
        name="functions_host",
        command=[str(func), "start", "--port", str(blueprint.app_port)],
        environ={
            **environ,
            "AzureWebJobsStorage": ";".join(f"{name}={value}" for name, value in storage.items()),
            "FUNCTIONS_WORKER_RUNTIME": "python",
            # Core Tools runs the first Python on the PATH.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}",
            "VIRTUAL_ENV": sys.prefix,
        },
        cwd=app_dir,
        log=blueprint.log("functions_host"),
        probe=probe,
        ready_timeout_s=READY_TIMEOUT_S,
        stop_grace_s=10.0,
    )
