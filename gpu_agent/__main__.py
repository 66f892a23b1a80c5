"""The agent's program: ``python -m gpu_agent``."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

from gpu_agent.engines import Engine, Equipment
from gpu_agent.engines.loading import load_engine
from gpu_agent.errors import AgentError
from gpu_agent.host.logs import set_up_logs
from gpu_agent.host.systemd import Systemd
from gpu_agent.http.metrics import Metrics
from gpu_agent.service import Service
from gpu_agent.settings import Settings

logger = logging.getLogger("gpu_agent")


def main() -> int:
    """Run the agent until a signal ends it; 2 when it can't begin."""
    set_up_logs()
    return serve(os.environ, load_engine)


def serve(environ: Mapping[str, str], load: Callable[[str, Equipment], Engine]) -> int:
    """Put the agent together and serve.

    Args:
        environ: The environment.
        load: Makes the engine of a name.

    Returns:
        The exit status: 0, 2 when the agent can't begin, `EXIT_UNFIT` when its engine can't,
        `EXIT_STUCK` when a thread of it hangs.
    """
    metrics = Metrics()
    try:
        settings = Settings.from_environ(environ)
        equipment = Equipment(
            environ=environ,
            work_dir=settings.data_dir / "work",
            slots=settings.slots,
            instruments=metrics,
            give_up=lambda detail: service.give_up(detail),
        )
        engine = load(settings.engine, equipment)
        service = Service(settings, engine, metrics, Systemd.from_environ(environ))
    except (AgentError, OSError) as error:
        logger.critical("%s", error)
        return 2
    return service.run()


def leave(status: int) -> NoReturn:
    """End the process now: a thread that hangs in a library must not keep it."""
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
