"""The switch's program: ``python -m gpu_agent.switch``."""

import logging
import os
import signal
import sys
import threading

from gpu_agent.errors import SettingsError
from gpu_agent.host.logs import set_up_logs
from gpu_agent.switch.agent import AgentUnit, LocalAgent
from gpu_agent.switch.azure import OwnMachine
from gpu_agent.switch.errors import SwitchError
from gpu_agent.switch.settings import Settings
from gpu_agent.switch.watch import Watch

logger = logging.getLogger("gpu_agent.switch")

STEP_WITHIN_S = 300
"""A step that takes longer ends the process, in seconds: whatever runs it starts it anew."""


def main() -> int:
    """Watch until a signal ends it or the machine is gone; 2 when it can't begin."""
    set_up_logs()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        logger.critical("%s", error)
        return 2
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    machine = OwnMachine(
        arm_url=settings.arm_url, imds_url=settings.imds_url, client_id=settings.client_id
    )
    watch = Watch(
        agent=LocalAgent(
            settings.agent_url, token=settings.agent_token, answer_s=settings.answer_s
        ),
        unit=AgentUnit(settings.stop_command),
        machine=machine,
        policy=settings.policy,
        booted_at=settings.booted_at,
        poll_s=settings.poll_s,
        retry_s=settings.retry_s,
    )
    logger.info("watching %s", settings.agent_url)
    check(machine)
    while not is_over.is_set():
        is_over.wait(step(watch, otherwise_s=settings.poll_s))
    logger.info("ended")
    return 0


def check(machine: OwnMachine) -> None:
    """Say at once what would be found out too late; watch on all the same."""
    signal.alarm(STEP_WITHIN_S)
    try:
        machine.check()
    except SwitchError as error:
        logger.critical("the machine could not be deallocated from here: %s", error)
    else:
        logger.info("ready to deallocate %s", machine.read_resource_id())
    finally:
        signal.alarm(0)


def step(watch: Watch, *, otherwise_s: float) -> float:
    """Take a step, come what may: a switch that ends of a fault lets the machine run for ever.

    Returns:
        Seconds until the next one.
    """
    # SIGALRM is left to end the process: a step that hangs in a system call heeds nothing else.
    signal.alarm(STEP_WITHIN_S)
    try:
        return watch.step()
    except Exception:
        logger.exception("the step failed")
        return otherwise_s
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    sys.exit(main())
