"""Request in, workflow started, answer out."""
