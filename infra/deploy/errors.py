"""What can stop a deployment.

::

    DeployError
    ├── ToolMissingError   a program is not installed
    ├── ToolFailedError    a program ended with an error
    ├── RefusedError       a guard says no: what it saves is more than what was asked for
    └── NotReadyError      something that should be there by now is not
"""


class DeployError(Exception):
    """Base of all; the message says what to do."""


class ToolMissingError(DeployError):
    """A program is not installed."""


class ToolFailedError(DeployError):
    """A program ended with an error, of which the message has the end."""


class RefusedError(DeployError):
    """A guard says no."""


class NotReadyError(DeployError):
    """Something that should be there by now is not."""
