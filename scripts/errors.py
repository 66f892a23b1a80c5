"""The one error of the set-up, and how a failed installer's log becomes its sentence."""

from __future__ import annotations

import re
from typing import NamedTuple


class SetUpError(Exception):
    """The set-up cannot go on; the message is one sentence that says what to do."""


class TorchUnavailableError(SetUpError):
    """No index offers the CPU build of torch that the engine's lock names."""


class _Cause(NamedTuple):
    sign: str
    sentence: str


# The first that matches wins: a full disk also breaks connections, and an unreachable index also
# ends in "no matching distribution".
_CAUSES = (
    _Cause(
        r"No space left on device|ENOSPC|Errno 28\b",
        "The disk is full: free {need_mb} MB where this checkout and the temporary files are, "
        "then run the command again.",
    ),
    _Cause(
        r"DO NOT MATCH THE HASHES|EINTEGRITY",
        "A download is not the file that the lock names: look for a proxy or mirror that alters "
        "packages; the log {log} names the file.",
    ),
    _Cause(
        r"CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|unable to get local",
        "The package index shows a certificate that this machine does not trust: name your CA "
        "bundle in PIP_CERT and NODE_EXTRA_CA_CERTS, then run the command again.",
    ),
    _Cause(
        r"Failed to establish a new connection|name resolution|Name or service not known"
        r"|nodename nor servname|NewConnectionError|ConnectTimeoutError|ReadTimeoutError"
        r"|Connection (refused|reset|aborted|broken)|ProxyError|ProtocolError"
        r"|Network is unreachable|ENOTFOUND"
        r"|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH",
        "The package index cannot be reached: check the network and any proxy settings, then run "
        "the command again (log: {log}).",
    ),
    _Cause(
        r"\(from versions: none\)|No matching distribution found|ETARGET|E404|notarget",
        "The package index does not have a version that the lock names: check which index pip and "
        "npm are set to use (log: {log}).",
    ),
    _Cause(
        r"Permission denied|EACCES|EPERM",
        "A file of this checkout cannot be written: make the folder yours (chown), then run the "
        "command again (log: {log}).",
    ),
)


def explain_failure(log_text: str, *, program: str, log: str, need_mb: int) -> str:
    """Say in one sentence why an installer failed and what to do.

    Args:
        log_text: What the installer printed.
        program: Its name, for a failure with no known cause.
        log: Where the text is kept.
        need_mb: Megabytes that the set-up takes on disk.
    """
    for cause in _CAUSES:
        if re.search(cause.sign, log_text):
            return cause.sentence.format(log=log, need_mb=need_mb)
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it printed nothing"
    return f"{program} failed ({last}): the whole log is in {log}."
