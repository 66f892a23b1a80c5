"""The agent with its real engine beside hy3dgen's own server, on tiny weights and a CPU."""
