"""What one command to the pool takes, by the length of its queue."""
