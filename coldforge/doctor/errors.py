"""Why a probe has no fact to give.

::

    ProbeError
    ├── NotLoggedInError     no credential of this machine gave a token
    ├── DeniedError          this login may not look there
    ├── NotThereError        what was asked for does not exist
    ├── NoAnswerError        nobody answered, in time or at all
    └── WakeError            no VM became ready
"""

from coldforge.errors import ColdforgeError


class ProbeError(ColdforgeError):
    """Something could not be looked at; says what and why."""

    default_code = "probe_failed"


class NotLoggedInError(ProbeError):
    """No credential of this machine gave a token."""


class DeniedError(ProbeError):
    """This login may not look there."""


class NotThereError(ProbeError):
    """What was asked for does not exist."""


class NoAnswerError(ProbeError):
    """Nobody answered, in time or at all."""


class WakeError(ProbeError):
    """No VM became ready."""


class DeploymentError(ColdforgeError):
    """The file that describes the deployment can't be used; says what to change."""

    default_code = "deployment_unusable"
