"""Stored names of workflows and activities, and of their instances.

They live on in stored histories: renaming one strands the instances that run under the old name.
"""

from enum import StrEnum


class Workflow(StrEnum):
    """Orchestrators."""

    RUN_JOB = "run_job"
    RUN_BATCH = "run_batch"
    WAKE_VM = "wake_vm"
    RETIRE_VM = "retire_vm"
    RECONCILE_POOL = "reconcile_pool"


class Activity(StrEnum):
    """Activities."""

    APPLY_POOL_COMMAND = "apply_pool_command"
    SUBMIT_JOB = "submit_job"
    FOLLOW_JOB = "follow_job"
    STOP_JOB = "stop_job"
    RECOVER_JOB = "recover_job"
    FINISH_JOB = "finish_job"
    START_VM = "start_vm"
    CHECK_WAKE = "check_wake"
    DRAIN_VM = "drain_vm"
    DEALLOCATE_VM = "deallocate_vm"
    CHECK_DEALLOCATED = "check_deallocated"
    TICK_POOL = "tick_pool"
    PREPARE_IMAGE = "prepare_image"


def wake_instance_id(vm: str, epoch: int) -> str:
    """Name the one wake of a VM in an epoch."""
    return f"wake-{vm}-{epoch}"


def retire_instance_id(vm: str, epoch: int, drain: int) -> str:
    """Name one retirement: drains are numbered within an epoch."""
    return f"retire-{vm}-{epoch}-{drain}"


def reconciler_instance_id(generation: int) -> str:
    """Name one generation of the reconciler."""
    return f"pool-reconciler-{generation}"


def slot_event(fence: int, round_number: int) -> str:
    """Name the event that tells a job of an offer: a fresh name per attempt and per wait.

    The SDK serves a same-named event to every later wait of one run
    (azure-functions-durable-python #507), hence the round in the name.
    """
    return f"slot-{fence}-{round_number}"


LOOK_EVENT = "look"
"""Wakes the reconciler early. It carries nothing and may be lost."""
