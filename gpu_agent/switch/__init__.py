"""Dead-man's switch: a program of its own that deallocates its VM when nobody else does.

It shares the agent's wire, log format and boot clock, and nothing else: what hangs the agent must
not hang this.
"""
