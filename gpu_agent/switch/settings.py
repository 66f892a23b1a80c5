"""The environment, read once."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_agent.settings import EnvironReader, read_booted_at, read_max_uptime
from gpu_agent.switch.decision import Policy

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the switch is told from outside.

    Attributes:
        agent_token: Bearer token of the agent on this machine.
        agent_url: The agent, without a path.
        client_id: The managed identity's client id, or None for the machine's only one.
        arm_url: Azure Resource Manager.
        imds_url: Instance metadata service.
        stop_command: Program and arguments that stop the agent's unit for good.
        policy: How patient the switch is.
        poll_s: Seconds between two looks at the agent.
        answer_s: Seconds within which the agent has to answer.
        retry_s: Seconds between the first failed deallocation and the second; doubles from there.
        booted_at: When the machine booted, in seconds on the boot clock.
    """

    agent_token: str = field(repr=False)
    agent_url: str
    client_id: str | None
    arm_url: str
    imds_url: str
    stop_command: tuple[str, ...]
    policy: Policy
    poll_s: float
    answer_s: float
    retry_s: float
    booted_at: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; those of the agent's own that it shares are read by their name.

        Raises:
            SettingsError: Names everything that is absent or wrong, in one message.
        """
        reader = EnvironReader(environ, "")
        own = Policy()
        settings = cls(
            agent_token=reader.required("GPU_AGENT_TOKEN"),
            agent_url=_read_url(reader, "GPU_SWITCH_AGENT_URL", "http://127.0.0.1:8470"),
            client_id=reader.text("GPU_AGENT_CLIENT_ID"),
            arm_url=_read_url(reader, "GPU_SWITCH_ARM_URL", "https://management.azure.com"),
            # The name by which azure-identity, in the agent, knows it.
            imds_url=_read_url(
                reader, "AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254"
            ),
            stop_command=_read_command(
                reader, "GPU_SWITCH_STOP_COMMAND", "systemctl stop gpu-agent"
            ),
            policy=Policy(
                max_uptime_s=read_max_uptime(reader) or own.max_uptime_s,
                warning_s=reader.number(
                    "GPU_SWITCH_WARNING_S", own.warning_s, low=0.0, high=_DAY_S
                ),
                boot_grace_s=reader.number(
                    "GPU_SWITCH_BOOT_GRACE_S", own.boot_grace_s, low=0.0, high=_DAY_S
                ),
            ),
            poll_s=reader.number("GPU_SWITCH_POLL_S", 15.0, low=0.1, high=300.0),
            answer_s=reader.number("GPU_SWITCH_ANSWER_S", 5.0, low=0.1, high=60.0),
            retry_s=reader.number("GPU_SWITCH_RETRY_S", 5.0, low=0.1, high=60.0),
            booted_at=read_booted_at(reader),
        )
        if not settings.arm_url.startswith("https://"):
            reader.complain("GPU_SWITCH_ARM_URL must be https: a token is sent there")
        reader.raise_complaints()
        return settings


def _read_url(reader: EnvironReader, name: str, default: str) -> str:
    url = (reader.text(name) or default).rstrip("/")
    if not re.fullmatch(r"https?://[^\s?#]+", url):
        reader.complain(f"{name} must be an http or https address without a query")
    return url


def _read_command(reader: EnvironReader, name: str, default: str) -> tuple[str, ...]:
    try:
        command = shlex.split(reader.text(name) or default)
    except ValueError as error:
        reader.complain(f"{name} is no command line: {error}")
        return ()
    return tuple(command)
