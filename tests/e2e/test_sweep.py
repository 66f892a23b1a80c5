"""The second reaper: with the reconciler and the agent dead, and no switch, `sweep` is enough."""

import pytest
import requests

pytestmark = pytest.mark.stack

VM = "gpu-0"


def end_reconcilers(cloud) -> None:
    """Terminate every generation of the reconciler that lives, as an operator's mistake would."""
    instances = f"{cloud.stack.urls.app}/durabletask/instances"
    alive = {"instanceIdPrefix": "pool-reconciler-", "runtimeStatus": "Pending,Running"}
    for instance in requests.get(instances, params=alive, timeout=30).json():
        url = f"{instances}/{instance['instanceId']}/terminate"
        requests.post(url, timeout=30).raise_for_status()


def sweep(cloud) -> None:
    """Have the timer function run now, as Azure's admin API can."""
    url = f"{cloud.stack.urls.app}/admin/functions/sweep"
    requests.post(url, json={}, timeout=30).raise_for_status()


class TestAgentAndReconcilerDead:
    def test_the_sweep_has_the_vm_deallocated(self, start_cloud, photo):
        """Each generation that the sweep starts is ended again: its first tick is its last."""
        cloud = start_cloud(RECONCILER_OVERDUE_S="2")
        assert cloud.wait_for_job(cloud.post(photo))["state"] == "succeeded"
        end_reconcilers(cloud)
        cloud.stack.kill_agent(VM, stays_dead=True)
        assert cloud.stack.meter()[VM]["power_state"] == "running"

        def is_gone_after_a_sweep() -> bool:
            end_reconcilers(cloud)
            sweep(cloud)
            return cloud.stack.meter()[VM]["power_state"] == "deallocated"

        cloud.wait_for(is_gone_after_a_sweep)

        assert cloud.stack.meter()[VM]["starts"] == 1
        assert cloud.wait_until_off()["phase"] == "deallocated"
