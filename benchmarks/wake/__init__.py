"""How long a wake takes while every slot of ten VMs is being long-polled, and while none is."""
