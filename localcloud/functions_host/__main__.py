"""``python -m localcloud.functions_host APP_DIR --port 7071 --data DIR``."""

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO

from localcloud.clock import SystemClock
from localcloud.functions_host.blob_triggers import POLL_INTERVAL
from localcloud.functions_host.delays import LATE_UP_TO, SLOW_UP_TO, Delays, Pause
from localcloud.functions_host.errors import Codes, DataFolderError, HostError
from localcloud.functions_host.host_settings import (
    SCRIPT_SETTING,
    is_disabled,
    load_app_settings,
    read_host_settings,
)
from localcloud.functions_host.loader import load_app
from localcloud.functions_host.server import FunctionsHost
from localcloud.functions_host.store import Store

logger = logging.getLogger("localcloud.functions_host")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve an app until a signal ends the process.

    Args:
        arguments: Command line; None for the process's own.

    Returns:
        The exit status: 0 after a signal, 1 if the app or the folder can't be used.
    """
    options = _parse(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for noisy in ("azure", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Threads that compute hand over sooner, so that requests are not kept waiting behind a replay.
    sys.setswitchinterval(0.0005)
    try:
        with _lock(options.data):
            asyncio.run(_serve(options))
    except (HostError, OSError) as error:
        sys.stderr.write(f"functions host: {error}\n")
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    app_dir: Path = options.app_dir.resolve()
    data_dir: Path = options.data.resolve()
    load_app_settings(app_dir, os.environ)
    settings = read_host_settings(app_dir, os.environ)
    os.chdir(app_dir)
    app = load_app(
        app_dir,
        script=os.environ.get(SCRIPT_SETTING) or "function_app.py",
        is_disabled=partial(is_disabled, settings=settings, environ=os.environ),
    )
    clock = SystemClock()
    store = Store(
        data_dir / "durable.sqlite",
        lease=uuid.uuid4().hex,
        is_power_safe=options.power_safe,
        pause=None
        if options.slow_storage is None
        else Pause(Delays(options.slow_storage, SLOW_UP_TO), clock),
    )
    host = FunctionsHost(
        app,
        app_dir,
        store,
        clock,
        settings,
        environ=os.environ,
        is_strict=options.strict,
        delivers_twice=options.duplicate_delivery,
        blob_poll_interval=timedelta(seconds=options.blob_poll_s),
        codes=options.management_codes,
        lateness=None
        if options.late_messages is None
        else Delays(options.late_messages, LATE_UP_TO),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    url = await host.start(options.host, options.port)
    for methods, path in host.routes:
        logger.info("%-8s %s%s", methods, url, path)
    logger.info("%d functions of %s", len(app.functions), app_dir)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    await ended.wait()
    await host.stop()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m localcloud.functions_host",
        description="Run an Azure Functions app (Python v2 model) with Durable Functions.",
    )
    parser.add_argument("app_dir", type=Path, help="folder with function_app.py and host.json")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7071, help="port; 0 for a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the state")
    parser.add_argument(
        "--duplicate-delivery",
        action="store_true",
        help="deliver each activity and each result twice",
    )
    parser.add_argument(
        "--blob-poll-s",
        type=float,
        default=POLL_INTERVAL.total_seconds(),
        help="seconds between two looks of a blob trigger (%(default)s)",
    )
    parser.add_argument(
        "--late-messages",
        type=int,
        metavar="SEED",
        help=f"deliver each message and activity up to {LATE_UP_TO.total_seconds()} s late",
    )
    parser.add_argument(
        "--slow-storage",
        type=int,
        metavar="SEED",
        help=f"let each read and commit take up to {SLOW_UP_TO.total_seconds()} s more",
    )
    parser.add_argument(
        "--management-codes",
        type=Codes,
        choices=list(Codes),
        default=Codes.NEWEST,
        help="status codes of the Durable extension of 2024 (2.13.7) or of the newest",
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail where Azure would go astray in silence"
    )
    parser.add_argument(
        "--power-safe", action="store_true", help="sync every step to the disk (slower)"
    )
    parser.add_argument("--verbose", action="store_true", help="log every step")
    return parser.parse_args(arguments)


def _lock(data_dir: Path) -> IO[str]:
    """Take the data folder for this process; the lock goes with the process, however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise DataFolderError(f"{data_dir} is in use by another functions host") from error
    return file


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Functions that block would hold up the interpreter's end; everything is stored by now.
    os._exit(status)
