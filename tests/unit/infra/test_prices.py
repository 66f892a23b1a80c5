import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from infra.deploy.bill import draw_bill, find_odd_prices, read_prices
from infra.deploy.errors import DeployError
from infra.deploy.price_list import describe_prices, list_idle_rows
from infra.deploy.shape import PricedVm, Shape, read_shape

ROOT = Path(__file__).parents[3]
TERRAFORM = ROOT / "infra" / "terraform"
BODY = tomllib.loads((ROOT / "infra" / "prices.toml").read_text("utf-8"))
PRICES, MIX = read_prices(BODY)
VM = PricedVm(
    name="a",
    size="Standard_NC24ads_A100_v4",
    region="eastus",
    disk_gb=256,
    price_per_hour_usd=3.6,
    preference=10,
)
SHAPE = Shape(
    regions=("eastus",),
    vms=(VM,),
    has_way_out=True,
    is_private=False,
    always_ready=0,
    instance_memory_mb=2048,
    idle_window_s=300.0,
)


def counts(lines):
    return {line.what: line.count for line in lines}


class TestPrices:
    def test_have_a_source_and_a_date(self):
        for name, price in PRICES.items():
            assert price.source, name
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", price.date), name

    def test_cover_every_kind_of_resource_that_terraform_makes(self):
        used = {
            kind
            for path in (TERRAFORM / "modules").rglob("*.tf")
            for kind in re.findall(r'(?m)^resource "(\w+)"', path.read_text("utf-8"))
        }

        assert used
        assert used == BODY["resources"].keys()

    def test_that_resources_come_under_are_there(self):
        named = {
            name
            for text in BODY["resources"].values()
            for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text.replace("disk_*", "disk_256"))
        }

        assert named
        assert named <= PRICES.keys()

    def test_need_all_of_their_fields(self):
        with pytest.raises(DeployError, match="source"):
            read_prices({"price": {"x": {"usd": 1.0}}, "job": BODY["job"]})


class TestBill:
    def test_shares_what_a_wake_costs_among_its_jobs(self):
        bill = draw_bill(SHAPE, PRICES, MIX)

        hours = {line.what: line.count for line in bill.jobs if line.what.startswith("a: ")}
        assert hours == {
            "a: work, h": pytest.approx(1000 * MIX.work_s / 3600),
            "a: cold starts, h": pytest.approx(100 * 300 / 3600),
            "a: idle tails, h": pytest.approx(100 * 300 / 3600),
        }
        assert bill.jobs[0].usd == pytest.approx(1000 * MIX.work_s / 3600 * 3.6)

    def test_counts_what_every_region_needs_for_every_region(self):
        idle = counts(draw_bill(replace(SHAPE, regions=("a", "b", "c")), PRICES, MIX).idle)

        assert (idle["NAT gateways"], idle["their addresses"], idle["image copies"]) == (3, 3, 3)

    def test_needs_no_gateway_where_there_is_another_way_out(self):
        assert "NAT gateways" not in counts(
            draw_bill(replace(SHAPE, has_way_out=False), PRICES, MIX).idle
        )

    def test_counts_an_endpoint_for_each_service_of_private_storage(self):
        bill = draw_bill(replace(SHAPE, is_private=True), PRICES, MIX)

        assert counts(bill.idle)["private endpoints"] == 4

    def test_bills_an_instance_of_the_app_by_its_memory(self):
        shape = replace(SHAPE, always_ready=1, instance_memory_mb=4096)

        bill = draw_bill(shape, PRICES, MIX)

        assert counts(bill.idle)["instances always ready"] == 2
        assert counts(bill.jobs)["function app, jobs"] == 2000

    def test_bills_alert_rules_as_often_as_they_ask(self):
        text = (TERRAFORM / "modules" / "observability" / "alerts.tf").read_text("utf-8")
        asked_every = re.findall(r'evaluation_frequency += "(\w+)"', text)

        (line,) = [one for one in draw_bill(SHAPE, PRICES, MIX).idle if one.what == "alert rules"]

        assert asked_every == ["PT15M"] * int(line.count)
        assert line.price == PRICES["alert_rule_15_minutes"]

    def test_bills_the_next_larger_disk(self):
        vm = PricedVm(
            **{name: getattr(VM, name) for name in PricedVm.__slots__} | {"disk_gb": 257}
        )

        bill = draw_bill(replace(SHAPE, vms=(vm,)), PRICES, MIX)

        assert bill.idle[0].price == PRICES["disk_512"]

    def test_warns_of_two_prices_for_one_size(self):
        assert "a is 3.6 USD an hour in Terraform" in find_odd_prices(SHAPE, PRICES)[0]


class TestReadShape:
    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_agrees_with_terraform_about_our_environments(self, environment):
        shape = read_shape(TERRAFORM / "environments" / environment, TERRAFORM / "modules")

        assert shape.vms
        assert {vm.region for vm in shape.vms} <= set(shape.regions)
        assert all(vm.size in PRICES and vm.disk_gb == 256 for vm in shape.vms)
        assert find_odd_prices(shape, PRICES) == []
        assert shape.idle_window_s == 300.0

    def test_takes_what_an_environment_says_before_what_modules_say(self, tmp_path):
        (tmp_path / "main.tf").write_text(
            """
            module "coldforge" {
              source         = "../../modules/coldforge"
              storage_access = "private"
              way_out        = "existing"
              pool           = { idle_window_s = 600 }
              app            = { always_ready_instances = 2, instance_memory_mb = 4096 }
              regions = {
                westus3 = {
                  address_space = "10.0.0.0/16"
                  vms = {
                    late  = { host_number = 1, price_per_hour_usd = 3, image_version = "1.0.0" }
                    first = {
                      host_number = 2, price_per_hour_usd = 4, image_version = "1.0.0"
                      preference  = 1, os_disk_gb = 512
                    }
                  }
                }
              }
            }
            """
        )

        shape = read_shape(tmp_path, TERRAFORM / "modules")

        assert [(vm.name, vm.disk_gb) for vm in shape.vms] == [("first", 512), ("late", 256)]
        assert (shape.always_ready, shape.instance_memory_mb) == (2, 4096)
        assert shape.is_private
        assert not shape.has_way_out
        assert shape.idle_window_s == 600.0

    def test_says_what_it_can_not_read(self, tmp_path):
        (tmp_path / "main.tf").write_text('module "coldforge" {\n source = "x/coldforge"\n}\n')

        with pytest.raises(DeployError, match="regions"):
            read_shape(tmp_path, TERRAFORM / "modules")


class TestDescribePrices:
    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_adds_up_and_marks_what_is_estimated(self, environment):
        text = describe_prices(ROOT, environment)

        halves = text.split("1,000 jobs more")
        for half in halves:
            rows = [
                float(match[1])
                for match in re.finditer(r"(?m) x .*? a \w+ +e? +(\d+\.\d\d)   ", half)
            ]
            total = float(re.search(r"together +(\d+\.\d\d)", half)[1])
            assert rows
            assert total == pytest.approx(sum(rows), abs=0.01 * len(rows))
        assert re.search(r"NAT gateways .* e +\d", text)
        assert re.search(r"disk of a100-1, .* a month +38\.00", text)
        assert not re.search(r"work, h.* e ", text)


class TestReadmesBreakEven:
    """ "When it pays" is arithmetic; this does it again, from the prices and the defaults."""

    HOSTED_USD = 0.16

    @pytest.fixture(name="text")
    def _text(self):
        return (ROOT / "README.md").read_text("utf-8").split("## When it pays")[1].split("##")[0]

    @pytest.fixture(name="usd_a_second")
    def _usd_a_second(self):
        return PRICES["Standard_NC24ads_A100_v4"].usd / 3600

    @pytest.fixture(name="burst_usd")
    def _burst_usd(self, usd_a_second):
        shape = read_shape(TERRAFORM / "environments" / "dev", TERRAFORM / "modules")
        return (MIX.cold_start_s + shape.idle_window_s) * usd_a_second

    def test_counts_the_cold_start_and_idle_window_that_there_are(self, text, burst_usd):
        assert f"a fixed cost of {burst_usd:.2f} USD" in text

    def test_is_the_first_burst_that_is_cheaper(self, text, usd_a_second, burst_usd):
        claimed = re.search(
            r"from (\d+) jobs .* at 30 s .* (\d+) at 60 s, and (\d+) at 143 s", text
        )

        for jobs, work_s in zip(map(int, claimed.groups()), (30, 60, 143), strict=True):
            saved = self.HOSTED_USD - work_s * usd_a_second
            assert (jobs - 1) * saved < burst_usd < jobs * saved

    def test_does_not_leave_out_what_the_environment_costs_asleep(
        self, text, usd_a_second, burst_usd
    ):
        idle = float(list_idle_rows(ROOT, "dev")[-1].split("|")[2])
        asleep, jobs = re.search(r"about (\d+) USD a month.* about ([\d,]+) jobs", text).groups()

        saved = self.HOSTED_USD - 60 * usd_a_second - burst_usd / 50
        assert int(asleep) == round(idle)
        assert int(jobs.replace(",", "")) == pytest.approx(idle / saved, rel=0.01)


class TestListIdleRows:
    def test_are_the_table_of_the_documents(self):
        text = (ROOT / "docs" / "deploy.md").read_text("utf-8")

        rows = list_idle_rows(ROOT, "dev")

        assert "\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in text
