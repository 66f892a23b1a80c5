"""A fake of `orchestrator.domain.ports.VmPower`."""

from collections import defaultdict

from orchestrator.domain.errors import ArmError
from orchestrator.domain.pool import Candidate
from orchestrator.domain.ports import PowerState

NEXT = {"starting": "running", "deallocating": "deallocated"}


class FakeVmPower:
    """Power states in a dict; each read lets an operation under way go on by one step.

    Attributes:
        powers: Power state by VM, ``deallocated`` at first.
        failures: Failure that the next start of a VM ends with, as (code, message).
        errors: Errors that the next calls raise, whatever they are.
        refusals: Errors that the next starts or deallocations raise, after those.
        calls: ``(verb, vm)`` of every start and deallocation.
    """

    def __init__(self) -> None:
        self.powers: dict[str, str | None] = defaultdict(lambda: "deallocated")
        self.failures: dict[str, tuple[str, str]] = {}
        self.errors: list[ArmError] = []
        self.refusals: list[ArmError] = []
        self.calls: list[tuple[str, str]] = []
        self._failed: dict[str, tuple[str, str]] = {}

    def start(self, vm: Candidate) -> None:
        self.calls.append(("start", vm.name))
        self._refuse()
        self._failed.pop(vm.name, None)
        if self.powers[vm.name] in ("deallocated", "stopped"):
            self.powers[vm.name] = "starting"

    def deallocate(self, vm: Candidate) -> None:
        self.calls.append(("deallocate", vm.name))
        self._refuse()
        self._failed.pop(vm.name, None)
        if self.powers[vm.name] != "deallocated":
            self.powers[vm.name] = "deallocating"

    def read(self, vm: Candidate) -> PowerState:
        self._raise()
        power = self.powers[vm.name]
        self.powers[vm.name] = NEXT.get(power or "", power)
        if power == "starting" and vm.name in self.failures:
            self._failed[vm.name] = self.failures.pop(vm.name)
            self.powers[vm.name] = "deallocated"
        if power not in NEXT and vm.name in self._failed:
            return PowerState(power, *self._failed[vm.name])
        return PowerState(power)

    def _raise(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def refuse_next(self, error: ArmError) -> None:
        """Have the next start or deallocation raise an error; a read in between is answered."""
        self.refusals.append(error)

    def _refuse(self) -> None:
        self._raise()
        if self.refusals:
            raise self.refusals.pop(0)
