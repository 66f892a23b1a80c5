"""One effect each, safe to run twice. What they need is asked for as a Protocol."""
