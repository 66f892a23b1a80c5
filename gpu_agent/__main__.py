"""The agent's program: ``python -m gpu_agent``."""

import logging
import os
import sys

from gpu_agent.engines.loading import load_engine
from gpu_agent.errors import AgentError
from gpu_agent.logs import set_up_logs
from gpu_agent.service import Service
from gpu_agent.settings import Settings
from gpu_agent.systemd import Systemd

logger = logging.getLogger("gpu_agent")


def main() -> int:
    """Run the agent until a signal ends it; 2 when it can't begin."""
    set_up_logs()
    try:
        settings = Settings.from_environ(os.environ)
        systemd = Systemd.from_environ(os.environ)
        service = Service(settings, load_engine(settings.engine), systemd)
    except (AgentError, OSError) as error:
        logger.critical("%s", error)
        return 2
    service.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
