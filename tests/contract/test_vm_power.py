"""What every `VmPower` keeps, the fake included; the adapter against the stand-in for ARM."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from localcloud.blueprint import ROOT, base_environ
from localcloud.certificate import Certificate
from localcloud.component import Component
from localcloud.https import LocalControls
from localcloud.leash import end_tagged, new_tag, tagged
from localcloud.ports import choose_free_ports
from localcloud.token_client import LocalCredential
from orchestrator.adapters.azure_vms import AzureVmPower
from orchestrator.domain.errors import ArmError
from orchestrator.domain.ports import PowerState, VmPower
from tests.fakes.vm_power import FakeVmPower
from tests.unit.orchestrator.parts import make_candidate

SUBSCRIPTION = "5ab0c1d2-0000-4000-8000-000000000001"
HEADER = "open sesame"
LIMIT_S = 15.0
VMS = ("plain", "full", "refused", "throttled", "twice", "stopped")


class Bench(NamedTuple):
    """A `VmPower` and the ways to make something go wrong behind it."""

    power: VmPower
    fail_start: Callable[[str], None]
    refuse: Callable[[str, str], None]
    kind: str


@pytest.fixture(scope="module")
def arm(
    tmp_path_factory: pytest.TempPathFactory, local_certificate: Certificate
) -> Iterator[tuple[str, str, LocalControls]]:
    """Run the stand-in for ARM; give its URL, its identity endpoint and its controls."""
    folder, tag = tmp_path_factory.mktemp("arm"), new_tag()
    port, imds_port = choose_free_ports(2)
    url = f"https://127.0.0.1:{port}"
    vms = [
        {
            "name": name,
            "resource_group": "rg",
            "size": "Standard_NC24ads_A100_v4",
            "location": "eastus",
            "zone": "1",
            "price_per_hour_usd": 3.6,
            "boot_s": 0.2,
            "deallocate_s": 0.2,
            "agent": {
                "command": [sys.executable, "-c", "import time; time.sleep(600)"],
                "stop_grace_s": 0.5,
            },
        }
        for name in VMS
    ]
    vms_file = folder / "vms.json"
    vms_file.write_text(json.dumps({"subscription_id": SUBSCRIPTION, "vms": vms}))
    controls = LocalControls(url, local_certificate.bundle)
    environ = base_environ(os.environ, local_certificate) | {"IDENTITY_HEADER": HEADER}
    process = Component(
        name="arm",
        command=[
            *(sys.executable, "-m", "localcloud.arm"),
            *("--port", str(port), "--imds-port", str(imds_port)),
            *("--data", str(folder / "arm"), "--vms", str(vms_file)),
            *("--cert", str(local_certificate.chain), "--key", str(local_certificate.key)),
        ],
        environ=tagged(environ, tag),
        cwd=ROOT,
        log=folder / "arm.log",
        probe=lambda: bool(controls.meter()),
        stop_grace_s=10.0,
    )
    try:
        process.start()
        process.wait_until_ready()
        yield url, f"http://127.0.0.1:{imds_port}/msi/token", controls
    finally:
        process.stop()
        end_tagged(tag, grace_s=0)


@pytest.fixture(params=["fake", pytest.param("azure", marks=pytest.mark.azurite)])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Give a `VmPower` of each kind over VMs that are deallocated at first."""
    if request.param == "fake":
        fake = FakeVmPower()

        def fail_start(vm: str) -> None:
            fake.failures[vm] = ("AllocationFailed", "no room")

        def refuse(vm: str, code: str) -> None:
            fake.errors = [ArmError(code, "refused", retry_after_s=5.0)]

        yield Bench(fake, fail_start, refuse, "fake")
        return
    url, identity, controls = request.getfixturevalue("arm")
    certificate: Certificate = request.getfixturevalue("local_certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.bundle))
    power = AzureVmPower(
        credential=LocalCredential(identity, HEADER),
        subscription_id=SUBSCRIPTION,
        url=url,
        timeout_s=5.0,
    )

    def break_start(vm: str) -> None:
        controls.set_fault("no_capacity", vm=vm, count=1)

    def throttle(vm: str, code: str) -> None:
        controls.set_fault("throttled", vm=vm, count=1, retry_after_s=5)

    yield Bench(power, break_start, throttle, "azure")
    controls.clear_faults()
    power._client.close()


def await_power(power: VmPower, vm: str, holds: Callable[[PowerState], Any]) -> PowerState:
    """Read until it holds."""
    pause = threading.Event()
    seen: list[PowerState] = []
    for _ in range(int(LIMIT_S / 0.02)):
        seen.append(power.read(make_candidate(vm)))
        if holds(seen[-1]):
            return seen[-1]
        pause.wait(0.02)
    raise AssertionError(f"it never came true: {seen[-1]}")


class TestVmPower:
    def test_starts_and_deallocates(self, bench: Bench):
        vm = make_candidate("plain")
        before = bench.power.read(vm)

        bench.power.start(vm)
        running = await_power(bench.power, "plain", lambda seen: seen.power == "running")
        bench.power.deallocate(vm)
        off = await_power(bench.power, "plain", lambda seen: seen.power == "deallocated")

        assert before == running._replace(power="deallocated") == off
        assert running == PowerState("running")

    def test_a_start_under_way_says_so(self, bench: Bench):
        vm = make_candidate("twice")
        bench.power.start(vm)

        seen = bench.power.read(vm)

        assert seen.power in ("starting", "running")
        await_power(bench.power, "twice", lambda seen: seen.power == "running")
        bench.power.deallocate(vm)
        await_power(bench.power, "twice", lambda seen: seen.power == "deallocated")

    def test_doing_what_is_done_changes_nothing(self, bench: Bench):
        vm = make_candidate("twice")
        bench.power.deallocate(vm)
        assert await_power(bench.power, "twice", lambda seen: seen.power == "deallocated")

        bench.power.start(vm)
        await_power(bench.power, "twice", lambda seen: seen.power == "running")
        bench.power.start(vm)

        assert bench.power.read(vm).power == "running"

    def test_a_start_that_fails_later_leaves_its_code(self, bench: Bench):
        bench.fail_start("full")

        bench.power.start(make_candidate("full"))
        seen = await_power(bench.power, "full", lambda seen: seen.failure_code)

        assert seen.failure_code == "AllocationFailed"
        assert seen.power != "running"
        assert seen.failure_message

    def test_a_failure_is_forgotten_by_the_next_start(self, bench: Bench):
        bench.fail_start("full")
        bench.power.start(make_candidate("full"))
        await_power(bench.power, "full", lambda seen: seen.failure_code)

        bench.power.start(make_candidate("full"))

        running = await_power(bench.power, "full", lambda seen: seen.power == "running")
        assert running.failure_code is None

    def test_tells_a_refusal_by_its_code_and_when_to_come_back(self, bench: Bench):
        bench.refuse("throttled", "TooManyRequests")

        with pytest.raises(ArmError) as caught:
            bench.power.start(make_candidate("throttled"))

        assert caught.value.code == "TooManyRequests"
        assert caught.value.retry_after_s == 5.0


@pytest.mark.azurite
class TestAzureVmPower:
    @pytest.fixture
    def power(
        self, arm, local_certificate: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[..., AzureVmPower]]:
        """Return a function that builds the adapter."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(local_certificate.bundle))
        built: list[AzureVmPower] = []

        def build(**more: Any) -> AzureVmPower:
            options = {
                "credential": LocalCredential(arm[1], HEADER),
                "subscription_id": SUBSCRIPTION,
                "url": arm[0],
                "timeout_s": 5.0,
            }
            built.append(AzureVmPower(**{**options, **more}))
            return built[-1]

        yield build
        arm[2].clear_faults()
        for power in built:
            power._client.close()

    def test_a_stock_out_told_at_once_has_the_same_code(self, arm, power):
        arm[2].set_fault("no_capacity", vm="refused", sync=True, count=1)

        with pytest.raises(ArmError) as caught:
            power().start(make_candidate("refused"))

        assert caught.value.code == "AllocationFailed"

    def test_a_vm_that_does_not_exist_is_named_so(self, power):
        with pytest.raises(ArmError) as caught:
            power().read(make_candidate("nobody"))

        assert caught.value.code == "ResourceNotFound"

    def test_a_guest_shutdown_is_no_deallocation(self, arm, power):
        vm = make_candidate("stopped")
        power().start(vm)
        await_power(power(), "stopped", lambda seen: seen.power == "running")

        arm[2].set_fault("guest_shutdown", vm="stopped")

        assert await_power(power(), "stopped", lambda seen: seen.power == "stopped")

    def test_silence_is_no_answer(self, arm, power):
        arm[2].set_fault("dropped", vm="refused", count=1)

        with pytest.raises(ArmError) as caught:
            power().read(make_candidate("refused"))

        assert caught.value.code == "Unreachable"

    def test_nobody_there_is_no_answer(self, power):
        (port,) = choose_free_ports(1)

        with pytest.raises(ArmError) as caught:
            power(url=f"https://127.0.0.1:{port}").read(make_candidate("plain"))

        assert caught.value.code == "Unreachable"
