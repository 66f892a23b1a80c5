"""The proof that an agent was drained, for whoever switches its VM off."""

import hashlib
import hmac


def sign_receipt(token: str, *, vm: str, boot_id: str, epoch: int, drain: int) -> str:
    """Sign that a VM's agent held nothing and has shut its door.

    Args:
        token: The agent's bearer token; who knows it can check the receipt by making it again.
        vm: Name of the VM.
        boot_id: As in `AgentStatus`: the process that gave the answer.
        epoch: Wake period that was ended.
        drain: Number of the drain within it.

    Returns:
        HMAC-SHA256 over the four, a line each, in hexadecimal.
    """
    text = f"{vm}\n{boot_id}\n{epoch}\n{drain}"
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
