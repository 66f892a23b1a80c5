"""What an environment costs: idle for a month, and for 1,000 jobs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.deploy.errors import DeployError
from infra.deploy.shape import PricedVm, Shape

JOBS = 1000
_ALERT_RULES = 2
_STORAGE_SERVICES = 3
_DISKS_GB = (128, 256, 512, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price and where it is from."""

    usd: float
    per: str
    source: str
    date: str
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMix:
    """What a job is taken to be; see prices.toml."""

    work_s: float
    cold_start_s: float
    per_wake: int
    megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the bill: so many times a price."""

    what: str
    count: float
    price: Price

    @property
    def usd(self) -> float:
        """What it comes to."""
        return self.count * self.price.usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Both halves of it, as lines."""

    idle: tuple[Line, ...]
    jobs: tuple[Line, ...]


def read_prices(body: Mapping[str, Any]) -> tuple[dict[str, Price], JobMix]:
    """Read prices.toml.

    Raises:
        DeployError: A price lacks its source, its date or something else.
    """
    try:
        prices = {name: Price(**fields) for name, fields in body["price"].items()}
        return prices, JobMix(**body["job"])
    except (KeyError, TypeError) as error:
        raise DeployError(f"prices.toml: {error}") from error


def draw_bill(shape: Shape, prices: Mapping[str, Price], mix: JobMix) -> Bill:
    """Return what an environment costs.

    Raises:
        DeployError: There is no price for something in it.
    """
    # The prices are those of an instance of 2 GB.
    memory = shape.instance_memory_mb / 2048
    idle = [
        *(_line(f"disk of {vm.name}, {vm.disk_gb} GB", 1, prices, _disk(vm)) for vm in shape.vms),
        _line("image copies", len(shape.regions), prices, "image_copy"),
        _line("NAT gateways", shape.has_way_out * len(shape.regions), prices, "nat_gateway"),
        _line("their addresses", shape.has_way_out * len(shape.regions), prices, "public_address"),
        _line("private endpoints", _endpoints(shape), prices, "private_endpoint"),
        _line("private DNS zones", _endpoints(shape), prices, "private_dns_zone"),
        _line(
            "instances always ready", memory * shape.always_ready, prices, "always_ready_instance"
        ),
        _line("function app at rest", 1, prices, "app_idle"),
        _line("storage at rest", 1, prices, "storage_idle"),
        _line("logs, GB", 1, prices, "logs"),
        _line("alert rules", _ALERT_RULES, prices, "alert_rule_15_minutes"),
    ]
    jobs = [
        *_vm_lines(shape, mix),
        _line("function app, jobs", memory * JOBS, prices, "app_job"),
        _line("storage, jobs", JOBS, prices, "storage_job"),
        _line("models out, GB", JOBS * mix.megabytes / 1000, prices, "egress"),
    ]
    return Bill(
        idle=tuple(line for line in idle if line.count),
        jobs=tuple(line for line in jobs if line.count),
    )


def find_odd_prices(shape: Shape, prices: Mapping[str, Price]) -> list[str]:
    """Return a warning for each VM whose price in Terraform is not that of the prices' file."""
    return [
        f"{vm.name} is {vm.price_per_hour_usd:g} USD an hour in Terraform, {vm.size} "
        f"{prices[vm.size].usd:g} in prices.toml: another region, or one of them is old."
        for vm in shape.vms
        if vm.size in prices and vm.price_per_hour_usd != prices[vm.size].usd
    ]


def _vm_lines(shape: Shape, mix: JobMix) -> Sequence[Line]:
    """The first VM does it all: what a wake costs besides work is shared by its jobs."""
    if not shape.vms:
        return []
    vm = shape.vms[0]
    price = Price(
        usd=vm.price_per_hour_usd,
        per="hour",
        source=f"price_per_hour_usd of {vm.name} in Terraform",
        date="",
        estimated=False,
    )
    wakes = JOBS / mix.per_wake
    return [
        Line(what=f"{vm.name}: {what}, h", count=seconds / 3600, price=price)
        for what, seconds in (
            ("work", JOBS * mix.work_s),
            ("cold starts", wakes * mix.cold_start_s),
            ("idle tails", wakes * shape.idle_window_s),
        )
    ]


def _line(what: str, count: float, prices: Mapping[str, Price], name: str) -> Line:
    if name not in prices:
        raise DeployError(f"prices.toml has no price {name!r}")
    return Line(what=what, count=count, price=prices[name])


def _disk(vm: PricedVm) -> str:
    """Azure bills the next larger size of a disk."""
    for size in _DISKS_GB:
        if vm.disk_gb <= size:
            return f"disk_{size}"
    raise DeployError(f"prices.toml has no disk of {vm.disk_gb} GB, as {vm.name} has")


def _endpoints(shape: Shape) -> int:
    """One for the vault always, one for each service of a private storage account."""
    return 1 + _STORAGE_SERVICES * shape.is_private
