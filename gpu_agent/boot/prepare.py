"""Two files from two services, asked again until they answer."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from gpu_agent.boot.errors import BootError, UserDataError
from gpu_agent.boot.user_data import read_user_data, render_environment

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5

T = TypeVar("T")


class Azure(Protocol):
    """What a VM asks when it boots."""

    def fetch_user_data(self) -> str:
        """Give the user data in base64.

        Raises:
            MetadataError: Not now.
        """

    def fetch_secrets(self, urls: Mapping[str, str], client_id: str | None) -> dict[str, str]:
        """Give the secrets by name of variable.

        Raises:
            VaultError: Not now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try, and what a pause is.

    Attributes:
        until: Moment on the clock after which nothing is tried again.
        longest_pause_s: Pauses double up to this, in seconds.
        clock: Seconds.
        pause: Waits so many seconds.
    """

    until: float
    longest_pause_s: float
    clock: Callable[[], float]
    pause: Callable[[float], object]


def prepare(folder: Path, azure: Azure, patience: Patience) -> None:
    """Write ``settings.env`` as soon as it is known, then ``secrets.env``.

    In this order, because the switch can do without the secrets: a VM that Key Vault refuses has
    to be deallocated all the same. Safe to run twice: what was there is replaced.

    Args:
        folder: Exists, and only root can look into it.
        azure: Whom to ask.
        patience: How long.

    Raises:
        BootError: Time is up, or the user data makes no sense.
        OSError: A file can't be written.
    """
    told = read_user_data(call_with_retry(azure.fetch_user_data, patience))
    write_private(folder / "settings.env", render_environment(told.settings))
    client_id = told.settings.get("GPU_AGENT_CLIENT_ID")
    secrets = call_with_retry(lambda: azure.fetch_secrets(told.secrets, client_id), patience)
    write_private(folder / "secrets.env", render_environment(secrets))
    logger.info("ready for the agent", extra={"settings": len(told.settings)})


def call_with_retry(ask: Callable[[], T], patience: Patience) -> T:
    """Ask until there is an answer or time is up.

    Raises:
        BootError: The last refusal.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return ask()
        except UserDataError:
            raise
        except BootError as error:
            if patience.clock() + pause_s > patience.until:
                raise
            logger.warning("%s", error, extra={"next_in_s": pause_s})
        patience.pause(pause_s)
        pause_s = min(pause_s * 2, patience.longest_pause_s)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step by one that its owner alone can open."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(scratch, path)
