"""Control plane: which VM runs which job, and what happens next."""
