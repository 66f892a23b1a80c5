"""The environment, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpu_agent.errors import SettingsError

_PREFIX = "GPU_AGENT_"
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the agent is told from outside. Each is the variable ``GPU_AGENT_<NAME>``.

    The last two are the switch's, ``GPU_SWITCH_<NAME>``: the agent only tells them.

    Attributes:
        token: Bearer token that callers show.
        token_previous: A second one, accepted too, or None.
        host: Address to listen on.
        port: Port to listen on, 1 to 65535.
        data_dir: Folder of the job store.
        vm_name: The VM's name, as the control plane knows it.
        image_version: Version of the disk image that the VM was made from, or None.
        machine_boot_id: Identity of the machine's boot, or None to ask the machine.
        engine: Name of the engine. There is no default: a GPU VM that missed it would serve the
            models of `preview`.
        slots: Most live jobs, and the number of threads that work on them.
        threads: HTTP threads; all but a few may hang in long-polls.
        store_url: The blob service's endpoint, or None.
        store_dir: Folder that stands for the blob service, or None. Exactly one of the two.
        client_id: The managed identity's client id, or None for the machine's only one.
        stage_min_s: Shortest time that a stage takes, in seconds.
        drain_s: How long jobs may go on after SIGTERM, in seconds.
        store_patience_s: How long a store that is not there is asked again, in seconds.
        unfit_s: How long an agent whose engine can't be used says so before it ends, in seconds;
            longer than the control plane's pause between two looks.
        keep_h: Age at which what a killed agent left behind is removed, in hours.
        least_free_gib: With less free space in the data folder it is removed at any age, in GiB.
        max_uptime_s: Hard cap, in seconds from boot; None where none is set.
        booted_at: When the machine booted, in seconds on the boot clock.
    """

    token: str = field(repr=False)
    token_previous: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 8470
    data_dir: Path
    vm_name: str
    image_version: str | None = None
    machine_boot_id: str | None = None
    engine: str
    slots: int = 4
    threads: int = 64
    store_url: str | None = None
    store_dir: Path | None = None
    client_id: str | None = None
    stage_min_s: float = 0.0
    drain_s: float = 60.0
    store_patience_s: float = 120.0
    unfit_s: float = 30.0
    keep_h: float = 24.0
    least_free_gib: float = 1.0
    max_uptime_s: float | None = None
    booted_at: float = 0.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings.

        Raises:
            SettingsError: Names everything that is absent or wrong, in one message.
        """
        reader = EnvironReader(environ, _PREFIX)
        store_url, store_dir = reader.text("STORE_URL"), reader.text("STORE_DIR")
        if bool(store_url) == bool(store_dir):
            reader.complain("set exactly one of GPU_AGENT_STORE_URL and GPU_AGENT_STORE_DIR")
        if store_url and not re.fullmatch(r"https://[^\s/]+(/[^\s?#]*)?", store_url):
            reader.complain("GPU_AGENT_STORE_URL must be an https endpoint without a query")
        settings = cls(
            token=reader.required("TOKEN"),
            token_previous=reader.text("TOKEN_PREVIOUS"),
            host=reader.text("HOST") or "127.0.0.1",
            port=int(reader.number("PORT", 8470, low=1, high=65535, whole=True)),
            data_dir=Path(reader.required("DATA_DIR")),
            vm_name=reader.required("VM_NAME"),
            image_version=reader.text("IMAGE_VERSION"),
            machine_boot_id=reader.text("MACHINE_BOOT_ID"),
            engine=reader.required("ENGINE", "name the engine that makes the meshes"),
            slots=int(reader.number("SLOTS", 4, low=1, high=64, whole=True)),
            threads=int(reader.number("THREADS", 64, low=4, high=1024, whole=True)),
            store_url=store_url,
            store_dir=Path(store_dir) if store_dir else None,
            client_id=reader.text("CLIENT_ID"),
            stage_min_s=reader.number("STAGE_MIN_S", 0.0, low=0.0, high=600.0),
            drain_s=reader.number("DRAIN_S", 60.0, low=0.0, high=3600.0),
            store_patience_s=reader.number("STORE_PATIENCE_S", 120.0, low=0.0, high=3600.0),
            unfit_s=reader.number("UNFIT_S", 30.0, low=0.0, high=600.0),
            keep_h=reader.number("KEEP_H", 24.0, low=0.01, high=8760.0),
            least_free_gib=reader.number("LEAST_FREE_GIB", 1.0, low=0.0, high=1e6),
            max_uptime_s=read_max_uptime(reader),
            booted_at=read_booted_at(reader),
        )
        reader.raise_complaints()
        return settings


def read_max_uptime(reader: "EnvironReader") -> float | None:
    """Read the hard cap on uptime, in seconds from boot; None if it is absent or wrong."""
    switch = reader.under("GPU_SWITCH_")
    return switch.number("MAX_UPTIME_S", 0.0, low=1.0, high=30 * _DAY_S) or None


def read_booted_at(reader: "EnvironReader") -> float:
    """Read when the machine booted, in seconds on the boot clock."""
    return reader.under("GPU_SWITCH_").number("BOOTED_AT", 0.0, low=0.0, high=1e10)


class EnvironReader:
    """Reads variables of one prefix and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], prefix: str) -> None:
        """Read nothing yet.

        Args:
            environ: The environment.
            prefix: What every name begins with.
        """
        self._environ = environ
        self._prefix = prefix
        self._complaints: list[str] = []

    def under(self, prefix: str) -> "EnvironReader":
        """Give a reader of another prefix that adds to the same complaints."""
        other = EnvironReader(self._environ, prefix)
        other._complaints = self._complaints
        return other

    def complain(self, complaint: str) -> None:
        """Remember something that is wrong."""
        self._complaints.append(complaint)

    def text(self, name: str) -> str | None:
        """Give a text; None if it is absent or blank."""
        return self._environ.get(self._prefix + name, "").strip() or None

    def required(self, name: str, what_to_do: str = "") -> str:
        """Give a text that must be there; empty if it is not."""
        value = self.text(name)
        if value is None:
            hint = f": {what_to_do}" if what_to_do else ""
            self.complain(f"{self._prefix}{name} is not set{hint}")
        return value or ""

    def number(
        self, name: str, default: float, *, low: float, high: float, whole: bool = False
    ) -> float:
        """Give a number from `low` to `high`; the default if it is absent or wrong."""
        text = self.text(name)
        if text is None:
            return default
        kind = "a whole number" if whole else "a number"
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            self.complain(f"{self._prefix}{name} is not {kind}")
            return default
        if not low <= value <= high:
            self.complain(f"{self._prefix}{name} is not {kind} from {low:g} to {high:g}")
            return default
        return value

    def raise_complaints(self) -> None:
        """Say everything that is wrong.

        Raises:
            SettingsError: Something is.
        """
        if self._complaints:
            raise SettingsError("Settings: " + "; ".join(self._complaints) + ".")
