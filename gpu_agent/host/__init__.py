"""What the agent knows of its machine, and what it tells it: boot clock, systemd, log lines."""
