"""Before the agent: what Azure tells this VM, laid out for the units of systemd.

``settings.env`` comes from the VM's user data, ``secrets.env`` from Key Vault; only root, which
reads them for the units, can open either.
"""
