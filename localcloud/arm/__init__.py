"""Microsoft.Compute/virtualMachines and the VMs' identity service, on one machine.

A VM is a local process: starting it starts the agent's program, deallocating it ends that. The
rules are pure (`machine`, `faults`, `rendering`: equal input gives equal output); `region` keeps
their state on disk and acts on it; the `*_routes` modules speak HTTP.
"""
