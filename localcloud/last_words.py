"""What a program of the local cloud says when it fails: why, and the end of the right log."""

import traceback
from pathlib import Path

from coldforge.errors import ColdforgeError, JobFailedError, RefusedError
from localcloud.blueprint import ROOT
from localcloud.component import ComponentError, read_tail
from localcloud.core_tools import CoreToolsError
from localcloud.stack import Stack, StackError
from localcloud.storage import StorageSetupError
from localcloud.torn import TornError

EXPECTED = (
    ColdforgeError,
    ComponentError,
    CoreToolsError,
    OSError,
    StackError,
    StorageSetupError,
    TornError,
)
"""What says by itself what went wrong; anything else is a fault of this program."""


class ExplainedError(Exception):
    """A failure, told with the last lines of the log that knows most about it."""


def explain(error: Exception, stack: Stack) -> ExplainedError:
    """Say what went wrong, while the local cloud still stands.

    Args:
        error: What was noticed.
        stack: A local cloud that was up.
    """
    try:
        stack.check()
    except ComponentError as ended:
        # Whatever was noticed first, this is why; and it shows its log.
        return ExplainedError(str(ended))
    if isinstance(error, ComponentError):
        return ExplainedError(str(error))
    name = choose_log(error, vms=list(stack.agent_log))
    if name is None:
        return ExplainedError(str(error))
    log = stack.logs[name]
    return ExplainedError(
        f"{describe(error)}\nThe log of {name} ({shorten(log)}) ends:\n{read_tail(log)}"
    )


def choose_log(error: Exception, *, vms: list[str]) -> str | None:
    """Choose whose log to show: the agent's if it was at work, the function app's otherwise.

    Args:
        error: What was noticed.
        vms: Names of the VMs.

    Returns:
        A component or a VM; None if the caller's request was wrong, of which no log tells more.
    """
    if isinstance(error, RefusedError):
        return None
    is_of_agent = isinstance(error, JobFailedError) and error.stage is not None
    return vms[0] if is_of_agent and vms else "functions_host"


def describe(error: Exception) -> str:
    """Return an error's message; a fault of this program comes with its trace."""
    if isinstance(error, (*EXPECTED, ExplainedError)):
        return str(error)
    trace = "".join(traceback.format_exception(error)).rstrip()
    return f"this is a fault of the program itself:\n{trace}"


def shorten(path: Path) -> str:
    """Return a path as seen from the checkout if it lies in there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
