"""Azure on one machine. The product never imports this package; only settings point at it."""
