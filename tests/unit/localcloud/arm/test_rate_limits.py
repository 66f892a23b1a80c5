"""Token buckets: how many requests, and how long to wait for the next."""

import json

from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.addresses import Target
from localcloud.arm.errors import ThrottledError
from localcloud.arm.rate_limits import Admission, Buckets, admit
from localcloud.arm.throttle import Throttle, find_throttling
from orchestrator.settings import Settings

HOUR_S = 3600.0
DEFAULTS = Settings.from_environ(
    {
        "AZURE_SUBSCRIPTION_ID": "sub",
        "GPU_AGENT_TOKEN": "t",
        "GPU_VMS": json.dumps(
            [
                {
                    "name": "gpu-0",
                    "resource_group": "rg",
                    "size": "Standard_NC24ads_A100_v4",
                    "region": "eastus",
                    "zone": "1",
                    "price_per_hour_usd": 3.6,
                    "agent_url": "http://gpu-0:8470",
                }
            ]
        ),
        "STORAGE_BLOB_URL": "https://store",
        "STORAGE_TABLE_URL": "https://store",
    }
)


def ask(target: Target, moments: list[float], *, vm: str | None = "gpu-0") -> list[Admission]:
    """Ask the same again and again, with full buckets at first."""
    buckets: Buckets = {}
    admissions = []
    for moment in moments:
        admissions.append(admit(buckets, target, vm, now=moment))
        buckets = admissions[-1].buckets
    return admissions


def count_admitted(target: Target, moments: list[float], *, vm: str | None = "gpu-0") -> int:
    return sum(admission.refused_by is None for admission in ask(target, moments, vm=vm))


class TestAdmit:
    def test_takes_as_many_as_a_full_bucket_holds(self):
        at_once = [0.0] * 1_000

        assert count_admitted(Target.INSTANCE_VIEW, at_once) == 36
        assert count_admitted(Target.START, at_once) == 12
        assert count_admitted(Target.DEALLOCATE, at_once) == 12
        assert count_admitted(Target.OPERATION, at_once) == 45
        assert count_admitted(Target.VMS_OF_GROUP, at_once, vm=None) == 900

    def test_shares_a_bucket_between_requests_of_one_group(self):
        buckets: Buckets = {}
        for target in (Target.START, Target.POWER_OFF) * 6:
            buckets = admit(buckets, target, "gpu-0", now=0.0).buckets

        assert admit(buckets, Target.START, "gpu-0", now=0.0).refused_by is not None
        assert admit(buckets, Target.DEALLOCATE, "gpu-0", now=0.0).refused_by is None
        assert admit(buckets, Target.START, "gpu-1", now=0.0).refused_by is None

    def test_fills_up_by_the_minute(self):
        # The example of Microsoft's page: requests of six minutes at 4 tokens each, 12 at most.
        moments = [
            minute * 60.0 + 1
            for minute, requests in enumerate([1, 8, 0, 13, 5, 0])
            for _ in range(requests)
        ]
        refused_at = [
            int(moment // 60)
            for moment, admission in zip(moments, ask(Target.START, moments), strict=True)
            if admission.refused_by
        ]

        assert refused_at == [3, 4]

    def test_says_what_is_left_as_azure_does(self):
        first, second = ask(Target.INSTANCE_VIEW, [0.0, 1.0])

        assert first.remaining == (
            "Microsoft.Compute/LowCostGetSubscriptionMaximum;23999,"
            "Microsoft.Compute/LowCostGetResource;35"
        )
        assert second.remaining.endswith("LowCostGetResource;34")

    def test_says_after_how_many_whole_seconds_to_come_again(self):
        refused = ask(Target.START, [*([100.0] * 12), 130.4])[-1]

        assert refused.retry_after_s == 30
        assert admit(refused.buckets, Target.START, "gpu-0", now=160.4).refused_by is None

    def test_charges_nothing_for_a_refusal(self):
        refused = ask(Target.START, [0.0] * 13)[-1]

        assert refused.remaining == (
            "Microsoft.Compute/UpdateVMSubscriptionMaximum;1488,"
            "Microsoft.Compute/UpdateVMResource;0"
        )

    @given(st.lists(st.floats(min_value=0.0, max_value=HOUR_S), max_size=300).map(sorted))
    def test_admits_no_more_than_the_capacity_and_the_refills(self, moments):
        admitted = count_admitted(Target.INSTANCE_VIEW, moments)

        spent_s = moments[-1] - moments[0] if moments else 0.0
        assert admitted <= 36 + 12 * int(spent_s // 60)
        assert admitted >= min(len(moments), 36)

    def test_is_never_met_by_the_default_settings_of_the_app(self):
        """The app's wake, its reconciler and its sweep all look at one VM, for a whole day."""
        periods_s = [DEFAULTS.wake_poll_s, DEFAULTS.pool.look_awake_s, 300.0]
        moments = sorted(
            step * period_s for period_s in periods_s for step in range(int(86_400 / period_s))
        )

        admissions = ask(Target.INSTANCE_VIEW, moments)

        lowest = min(admission.touched[-1].tokens for admission in admissions)
        assert lowest > 20

    def test_is_met_by_polls_every_two_seconds_in_about_two_minutes(self):
        first_refused = next(
            index
            for index, admission in enumerate(
                ask(Target.INSTANCE_VIEW, [step * 2.0 for step in range(150)])
            )
            if admission.refused_by
        )

        assert 90 <= first_refused * 2 <= 130


class TestThrottle:
    def test_refuses_with_the_body_of_the_real_service(self):
        throttle = Throttle(lambda: 0.0, is_on=True)
        for _ in range(12):
            throttle.count(Target.START, "gpu-0")

        error = find_throttling(throttle.count(Target.START, "gpu-0"))

        assert isinstance(error, ThrottledError)
        assert error.headers == {"Retry-After": "60"}
        body = error.to_json()
        assert (body["code"], body["details"][0]["code"]) == (
            "OperationNotAllowed",
            "TooManyRequests",
        )
        assert body["details"][0]["target"] == "UpdateVMResource"
        assert json.loads(body["details"][0]["message"]) == {
            "operationGroup": "UpdateVMResource",
            "startTime": "1970-01-01T00:00:00.000000+00:00",
            "endTime": "1970-01-01T00:01:00.000000+00:00",
            "allowedRequestCount": 4,
            "measuredRequestCount": 13,
        }
        assert throttle.refused == 1

    def test_counts_nothing_when_it_is_off(self):
        throttle = Throttle(lambda: 0.0, is_on=False)

        assert [throttle.count(Target.START, "gpu-0") for _ in range(100)] == [None] * 100
        assert throttle.refused == 0
