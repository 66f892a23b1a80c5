"""Errors of the switch.

Drawn as a tree::

    SwitchError                the switch can't do what it has to; it tries again
    ├── AgentSilentError           no answer from the agent, or none that makes sense
    ├── AgentRefusalError          the agent answers, but not to this token
    ├── UnitError                  the agent's unit could not be stopped
    ├── ImdsError                  the machine does not say who it is, or gives no token
    └── ArmError                   Azure Resource Manager did not take the deallocation
"""


class SwitchError(Exception):
    """Any error that the switch raises on purpose; trying again may help."""


class AgentSilentError(SwitchError):
    """Nobody answers, or what answers is no agent in its right mind."""


class AgentRefusalError(SwitchError):
    """The agent lives and does not know this token: what it holds can't be known."""


class UnitError(SwitchError):
    """The command that stops the agent's unit failed."""


class ImdsError(SwitchError):
    """The instance metadata service did not give what was asked."""


class ArmError(SwitchError):
    """The deallocation was not accepted.

    Attributes:
        retry_after_s: Seconds that ARM asks to wait, or None.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
