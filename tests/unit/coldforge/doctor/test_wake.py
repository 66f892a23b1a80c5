import json

import requests

from coldforge.doctor.probes.app import AzureAppProbes
from tests.fakes.doctor_probes import DEPLOYMENT


class FakePool:
    """A server whose VM goes through some phases, one a question, and stays in the last one."""

    def __init__(self, *phases):
        self.phases = list(phases)
        self.now = 0.0
        self.prewarms = []

    def send(self, method, path, *, json=None):
        if method == "POST":
            self.prewarms.append((self.now, json["vms"], json["for_s"]))
            return respond({})
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        return respond({"vms": [{"name": "gpu-0", "phase": phase, "reason": None}]})

    def sleep(self, seconds):
        self.now += seconds


def respond(body):
    response = requests.Response()
    response.status_code = 200
    response._content = json.dumps(body).encode()
    return response


def wake(pool, limit_s):
    probes = AzureAppProbes(DEPLOYMENT, None, None, pool, sleep=pool.sleep, clock=lambda: pool.now)
    return probes.wake(limit_s)["gpu-0"].phase


class TestWake:
    def test_waits_until_a_vm_is_ready_and_gives_it_back_to_the_pool(self):
        pool = FakePool("deallocated", "starting", "warming", "ready")

        assert wake(pool, 600.0) == "ready"
        assert pool.prewarms == [(0.0, 1, 120.0), (6.0, 0, 1.0)]

    def test_asks_again_while_it_waits_for_never_long_at_a_time(self):
        pool = FakePool("starting")

        assert wake(pool, 200.0) == "starting"
        assert [at for at, vms, _ in pool.prewarms if vms] == [0.0, 60.0, 120.0, 180.0]
        assert max(for_s for _, _, for_s in pool.prewarms) <= 120.0
        assert pool.prewarms[-1] == (200.0, 0, 1.0)

    def test_does_not_wait_for_what_will_not_come(self):
        pool = FakePool("starting", "broken")

        assert wake(pool, 600.0) == "broken"
        assert pool.now == 2.0
