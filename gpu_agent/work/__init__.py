"""The threads that work on jobs, and what they do with one."""
