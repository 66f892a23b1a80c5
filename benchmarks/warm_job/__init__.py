"""What the control plane adds to a job on a VM that is up already."""
