"""What the SDK's own client sends to the host, through ours."""

import asyncio
import json
from typing import Any

import pytest
from azure.durable_functions import DurableOrchestrationClient
from yarl import URL

from orchestrator.adapters.durable_client import DurableClient
from orchestrator.domain.errors import InstanceOverError, InstanceStateError, UnknownJobError
from tests.unit.orchestrator.parts import JOB

BASE = "http://127.0.0.1:1/durabletask/"


class Host:
    """Answers the SDK's calls in place of HTTP.

    Attributes:
        urls: What was asked, as the SDK's HTTP library puts it on the wire.
        answers: ``(status, body)`` of the calls but those for a status, in order.
        runtime_status: Of every instance; None if there is none.
    """

    def __init__(self, *answers: tuple[int, Any], runtime_status: str | None = "Running") -> None:
        self.urls: list[URL] = []
        self.answers = list(answers)
        self.runtime_status = runtime_status
        bindings = {
            "taskHubName": "hub",
            "creationUrls": {},
            "managementUrls": {"id": "INSTANCEID", "statusQueryGetUri": f"{BASE}INSTANCEID"},
            "rpcBaseUrl": BASE,
        }
        sdk = DurableOrchestrationClient(json.dumps(bindings))
        sdk._post_async_request = self._answer
        sdk._delete_async_request = self._answer
        sdk._get_async_request = self._tell
        self.client = DurableClient(sdk)

    async def _answer(self, url: str, *_: Any, **__: Any) -> list[Any]:
        self.urls.append(URL(url))
        return list(self.answers.pop(0))

    async def _tell(self, url: str) -> list[Any]:
        self.urls.append(URL(url))
        if self.runtime_status is None:
            return [404, {}]
        moments = dict.fromkeys(("createdTime", "lastUpdatedTime"), "2026-01-02T03:04:05Z")
        return [200, {"instanceId": JOB, "runtimeStatus": self.runtime_status, **moments}]


def do(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


HOSTILE = ["x?taskHub=Other&connection=Else", "a/b", "a b#c", "100%", "\u00e9\U0001f600"]


class TestEscaping:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_an_events_name_stays_one_part_of_the_path(self, name: str):
        host = Host((202, None))

        do(host.client.raise_event(JOB, name, None))

        (url,) = host.urls
        assert url.raw_path.split("/")[2:-1] == ["instances", JOB, "raiseEvent"]
        assert URL(url.raw_path, encoded=True).parts[-1] == name
        assert not url.query

    @pytest.mark.parametrize("method", ["suspend", "resume", "terminate"])
    @pytest.mark.parametrize("reason", HOSTILE)
    def test_a_reason_arrives_as_it_was_given(self, method: str, reason: str):
        host = Host((202, None))

        do(getattr(host.client, method)(JOB, reason))

        assert dict(host.urls[0].query) == {"reason": reason}
        assert host.urls[0].fragment == ""

    @pytest.mark.parametrize("instance_id", HOSTILE)
    @pytest.mark.parametrize(
        ("method", "arguments", "place"),
        [
            ("raise_event", ("look", None), 3),
            ("terminate", ("",), 3),
            ("suspend", ("",), 3),
            ("resume", ("",), 3),
            ("purge", (), 3),
            ("get_status", (), 3),
        ],
    )
    def test_an_instances_id_stays_one_part_of_the_path(
        self, instance_id: str, method: str, arguments: tuple, place: int
    ):
        host = Host((202 if method != "purge" else 404, None))

        do(getattr(host.client, method)(instance_id, *arguments))

        assert URL(host.urls[0].raw_path, encoded=True).parts[place] == instance_id

    @pytest.mark.parametrize("instance_id", HOSTILE)
    def test_the_id_of_a_new_instance_stays_one_part_of_the_path(self, instance_id: str):
        host = Host((202, {"id": "new"}))

        do(host.client.start_new("run_job", instance_id, {}))

        assert URL(host.urls[0].raw_path, encoded=True).parts[-1] == instance_id

    def test_an_id_in_the_hosts_own_urls_is_escaped(self):
        urls = Host().client.create_http_management_payload("a?b")

        assert urls["statusQueryGetUri"] == f"{BASE}a%3Fb"


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "runtime_status", "code"),
        [
            ("suspend", "Suspended", "instance_suspended"),
            ("resume", "Running", "instance_not_suspended"),
            ("resume", "Pending", "instance_not_suspended"),
        ],
    )
    def test_tells_of_the_wrong_state(self, method: str, runtime_status: str, code: str):
        host = Host((500, {}), runtime_status=runtime_status)

        with pytest.raises(InstanceStateError) as caught:
            do(getattr(host.client, method)(JOB, ""))
        assert caught.value.code == code

    @pytest.mark.parametrize("method", ["suspend", "resume", "terminate", "raise_event"])
    @pytest.mark.parametrize(
        ("status", "runtime_status", "error"),
        [(404, None, UnknownJobError), (500, "Completed", InstanceOverError)],
    )
    def test_tells_of_an_instance_that_is_gone_or_over(
        self, method: str, status: int, runtime_status: str | None, error: type
    ):
        host = Host((status, {}), runtime_status=runtime_status)
        arguments = ("look", None) if method == "raise_event" else ("",)

        with pytest.raises(error):
            do(getattr(host.client, method)(JOB, *arguments))

    def test_an_event_for_one_that_is_over_is_told_apart(self):
        host = Host((410, {}), runtime_status="Completed")

        with pytest.raises(InstanceOverError):
            do(host.client.raise_event(JOB, "look", None))

    @pytest.mark.parametrize("method", ["suspend", "terminate", "raise_event"])
    def test_lets_pass_what_it_cannot_explain(self, method: str):
        host = Host((503, {}))
        arguments = ("look", None) if method == "raise_event" else ("",)

        with pytest.raises(Exception, match="503"):
            do(getattr(host.client, method)(JOB, *arguments))


class TestPurge:
    @pytest.mark.parametrize(
        ("answer", "deleted"),
        [((200, {"instancesDeleted": 1}), 1), ((404, None), 0), ((412, "lives"), None)],
    )
    def test_tells_how_many_were_deleted(self, answer: tuple, deleted: int | None):
        assert do(Host(answer).client.purge(JOB)) == deleted
