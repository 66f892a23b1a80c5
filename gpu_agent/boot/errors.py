"""Errors of the boot program.

Drawn as a tree::

    BootError                  this VM does not learn what it needs
    ├── UserDataError              what it is told makes no sense; trying again won't help
    ├── MetadataError              the instance metadata service does not answer
    └── VaultError                 Key Vault does not hand a secret out
"""


class BootError(Exception):
    """Any error that the boot program raises on purpose; trying again may help."""


class UserDataError(BootError):
    """The user data is absent, no JSON, or holds what it must not."""


class MetadataError(BootError):
    """The instance metadata service did not give the user data."""


class VaultError(BootError):
    """The secret is absent, or the VM's identity may not read it, or nobody answers."""
