"""The boot program: ``python -m gpu_agent.boot``, once, before the agent and the switch."""

import logging
import os
import sys
import threading
from collections.abc import Mapping

from gpu_agent.boot import azure
from gpu_agent.boot.errors import BootError
from gpu_agent.boot.prepare import Patience, prepare
from gpu_agent.boot.settings import Settings
from gpu_agent.errors import SettingsError
from gpu_agent.host.logs import set_up_logs
from gpu_agent.host.machine import read_boot_clock

logger = logging.getLogger("gpu_agent.boot")


class OwnAzure:
    """Azure by its own addresses.

    Args:
        imds_url: Instance metadata service.
    """

    def __init__(self, imds_url: str) -> None:
        self._imds_url = imds_url

    def fetch_user_data(self) -> str:
        """Give the user data."""
        return azure.fetch_user_data(self._imds_url)

    def fetch_secrets(self, urls: Mapping[str, str], client_id: str | None) -> dict[str, str]:
        """Give the secrets."""
        return azure.fetch_secrets(urls, client_id)


def main() -> int:
    """Write both files; 1 when Azure did not give what belongs into them, 2 when told nonsense."""
    set_up_logs()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        logger.critical("%s", error)
        return 2
    patience = Patience(
        until=read_boot_clock() + settings.within_s,
        longest_pause_s=settings.retry_s,
        clock=read_boot_clock,
        pause=threading.Event().wait,
    )
    try:
        prepare(settings.folder, OwnAzure(settings.imds_url), patience)
    except (BootError, OSError) as error:
        logger.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
