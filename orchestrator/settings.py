"""The environment, read once. Every setting that is absent or wrong is named in one message."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.domain.pool.policy import DAYS, Candidate, PoolPolicy, WarmWindow

T = TypeVar("T")

_UNRESOLVED = "@Microsoft.KeyVault("
"""Begins what a setting holds if Azure may not read the secret that it refers to: no token."""


class SettingsError(Exception):
    """The app cannot start: settings are absent or wrong. The message names all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the function app is told.

    Attributes:
        subscription_id: `AZURE_SUBSCRIPTION_ID`, where the GPU VMs are.
        arm_url: `ARM_URL`, Azure Resource Manager.
        blob_url: `STORAGE_BLOB_URL`, blob service of the storage account.
        table_url: `STORAGE_TABLE_URL`, table service of the storage account.
        client_id: `AZURE_CLIENT_ID` of a user-assigned identity; empty: the system-assigned one.
        agent_token: `GPU_AGENT_TOKEN`, bearer token of the agents.
        pool: Candidates from `GPU_VMS` (JSON list), durations from the settings ending in ``_S``.
        storage_access: `STORAGE_ACCESS`: ``identity_and_sas_only`` answers artifacts with a
            short-lived link, ``private`` sends the bytes through the app.
        expose_durable_urls: `EXPOSE_DURABLE_URLS`: also hand out the host's own management URLs,
            which carry a key to every instance. Only for a trusted backend.
        image_url_allowed_hosts: `IMAGE_URL_ALLOWED_HOSTS`, comma-separated ``host:port`` that an
            image URL may name although the address is private.
        max_open_jobs: `MAX_OPEN_JOBS`; above it a POST answers 429.
        max_image_mb: `MAX_IMAGE_MB`, size of an image's file in megabytes.
        max_image_megapixels: `MAX_IMAGE_MEGAPIXELS`, of an image that is decoded at full size.
        intake_memory_mb: `INTAKE_MEMORY_MB`, for the app and the processes that read images
            together; about half of the instance's memory.
    """

    subscription_id: str
    blob_url: str
    table_url: str
    agent_token: str = field(repr=False)
    pool: PoolPolicy
    arm_url: str = "https://management.azure.com"
    client_id: str = ""
    storage_access: str = "identity_and_sas_only"
    expose_durable_urls: bool = False
    image_url_allowed_hosts: frozenset[str] = frozenset()
    max_open_jobs: int = 5000
    max_image_mb: int = 40
    max_image_megapixels: int = 64
    intake_memory_mb: int = 1126
    start_within_s: float = 86400.0
    wake_poll_s: float = 10.0
    ready_poll_s: float = 2.0
    agent_unreachable_s: float = 60.0
    arm_timeout_s: float = 20.0
    artifact_link_s: float = 3600.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: Naming every setting that is absent or wrong.
        """
        reader = _Reader(environ)
        pool = PoolPolicy(
            candidates=reader.read("GPU_VMS", _candidates, ()),
            slots_per_vm=reader.read("SLOTS_PER_VM", _positive_int, 4),
            idle_window_s=reader.seconds("IDLE_WINDOW_S", 300.0),
            job_timeout_s=reader.seconds("JOB_TIMEOUT_S", 1800.0),
            starting_s=reader.seconds("START_TIMEOUT_S", 1200.0),
            unseen_s=reader.seconds("AGENT_UNREACHABLE_S", 60.0),
            look_awake_s=reader.seconds("LOOK_AWAKE_S", 60.0),
            reconciler_overdue_s=reader.seconds("RECONCILER_OVERDUE_S", 300.0),
            lease_s=reader.seconds("LEASE_S", 900.0),
            max_failures=reader.read("MAX_FAILED_WAKES", _positive_int, 3),
            warm_windows=reader.read("WARM_WINDOWS", parse_warm_windows, ()),
        )
        settings = cls(
            subscription_id=reader.text("AZURE_SUBSCRIPTION_ID"),
            blob_url=reader.text("STORAGE_BLOB_URL"),
            table_url=reader.text("STORAGE_TABLE_URL"),
            agent_token=reader.text("GPU_AGENT_TOKEN"),
            pool=pool,
            arm_url=environ.get("ARM_URL", cls_default("arm_url")),
            client_id=environ.get("AZURE_CLIENT_ID", ""),
            storage_access=reader.read(
                "STORAGE_ACCESS", _storage_access, cls_default("storage_access")
            ),
            expose_durable_urls=reader.read("EXPOSE_DURABLE_URLS", _boolean, False),
            image_url_allowed_hosts=reader.read(
                "IMAGE_URL_ALLOWED_HOSTS", _names, frozenset[str]()
            ),
            max_open_jobs=reader.read("MAX_OPEN_JOBS", _positive_int, 5000),
            max_image_mb=reader.read("MAX_IMAGE_MB", _image_mb, 40),
            max_image_megapixels=reader.read("MAX_IMAGE_MEGAPIXELS", _positive_int, 64),
            intake_memory_mb=reader.read("INTAKE_MEMORY_MB", _intake_mb, 1126),
            start_within_s=reader.seconds("START_WITHIN_S", 86400.0),
            wake_poll_s=reader.seconds("WAKE_POLL_S", 10.0),
            ready_poll_s=reader.seconds("READY_POLL_S", 2.0),
            agent_unreachable_s=pool.unseen_s,
        )
        reader.complain()
        return settings


def cls_default(name: str) -> Any:
    """Give a field's default; a slotted class has a descriptor in its place."""
    return Settings.__dataclass_fields__[name].default


class _Reader:
    """Reads values and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._missing: list[str] = []
        self._wrong: list[str] = []

    def text(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            self._missing.append(name)
        elif value.startswith(_UNRESOLVED):
            self._wrong.append(f"{name} (Azure did not resolve its reference to Key Vault)")
        return value

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        value = self._environ.get(name, "")
        if not value:
            if name == "GPU_VMS":
                self._missing.append(name)
            return default
        try:
            return parse(value)
        except (ValueError, TypeError, KeyError) as error:
            self._wrong.append(f"{name} ({error})")
            return default

    def seconds(self, name: str, default: float) -> float:
        return self.read(name, _positive_float, default)

    def complain(self) -> None:
        parts = []
        if self._missing:
            parts.append(f"missing settings: {', '.join(self._missing)}")
        if self._wrong:
            parts.append(f"wrong settings: {'; '.join(self._wrong)}")
        if parts:
            raise SettingsError("; ".join(parts))


def _candidates(text: str) -> tuple[Candidate, ...]:
    items = json.loads(text)
    if not isinstance(items, list) or not items:
        raise ValueError("expected a JSON list of at least one VM")
    candidates = tuple(
        Candidate(
            name=str(item["name"]),
            resource_group=str(item["resource_group"]),
            size=str(item["size"]),
            region=str(item["region"]),
            zone=str(item["zone"]) if item.get("zone") else None,
            price_per_hour_usd=float(item["price_per_hour_usd"]),
            agent_url=str(item["agent_url"]).rstrip("/"),
        )
        for item in items
    )
    if len({c.name for c in candidates}) < len(candidates):
        raise ValueError("two VMs have one name")
    return candidates


def parse_warm_windows(text: str) -> tuple[WarmWindow, ...]:
    """Read `WARM_WINDOWS`.

    A JSON list of ``{"days": "mon-fri", "from": "08:00", "to": "18:00",
    "time_zone": "America/New_York", "vms": 1}``; ``to`` may be earlier than ``from``, then the
    window ends on the next day.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    items = json.loads(text)
    if not isinstance(items, list):
        raise ValueError("expected a JSON list")  # noqa: TRY004 - the reader collects these
    return tuple(_warm_window(item) for item in items)


def _warm_window(item: dict[str, Any]) -> WarmWindow:
    begins, ends = time.fromisoformat(item["from"]), time.fromisoformat(item["to"])
    minutes = (ends.hour - begins.hour) * 60 + ends.minute - begins.minute
    try:
        zone = ZoneInfo(item["time_zone"])
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"unknown time zone {item['time_zone']!r}") from error
    return WarmWindow(
        days=_days(item.get("days", "mon-sun")),
        begins=begins,
        lasts=timedelta(minutes=minutes if minutes > 0 else minutes + 24 * 60),
        zone=zone,
        vms=_positive_int(str(item.get("vms", 1))),
    )


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise ValueError(f"unknown day in {text!r}: days are {', '.join(DAYS)}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def _positive_float(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError("must be above 0")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be 1 or more")
    return value


def _image_mb(text: str) -> int:
    value = _positive_int(text)
    # The host takes 100 MB in one request, and base64 makes four bytes of three.
    if value > 70:
        raise ValueError("must be 70 or less")
    return value


def _intake_mb(text: str) -> int:
    value = _positive_int(text)
    if value < 700:
        raise ValueError("must be 700 or more: the app and idle processes take 400")
    return value


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _storage_access(text: str) -> str:
    if text not in ("identity_and_sas_only", "private"):
        raise ValueError("must be identity_and_sas_only or private")
    return text


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())
