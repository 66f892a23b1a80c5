"""The fault rehearsal: the real control plane in virtual time, with everything going wrong.

One thread, one event loop, one source of chance: a seed repeats exactly. The real workflows,
activities, triggers and pool run on the real Durable engine; VMs follow the ARM stand-in's own
state machine, and on each stands the real agent's core. What is simulated is only what passes
between them: time, the network, storage, and the faults.
"""
