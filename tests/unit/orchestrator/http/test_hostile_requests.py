"""Whatever a caller sends, no route answers 500, and what is refused leaves nothing behind."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.options import KNOWN_OPTIONS
from orchestrator.domain.pool import ResetVm
from tests.unit.orchestrator.http.desk import Desk, form

URL = "https://images.invalid/cup.jpg"
ROUTES = (
    *("jobs.post", "jobs.list", "jobs.get", "jobs.delete", "jobs.artifact"),
    *("instance.get", "instance.purge", "instance.terminate", "instance.suspend"),
    *("instance.resume", "instance.raise_event", "batches.post", "batches.get"),
    *("pool.get", "pool.prewarm", "pool.reset", "pool.health"),
)
QUERY = {
    "jobs.list": ("state", "limit", "page"),
    "instance.get": ("showHistory", "showInput"),
    "instance.terminate": ("reason",),
    "instance.suspend": ("reason",),
    "instance.resume": ("reason",),
}
PATH = {"jobs.artifact": ("id", "name"), "instance.raise_event": ("id", "event")} | {
    "pool.reset": ("name",)
}
HEADERS = ("Idempotency-Key", "Transfer-Encoding", "Content-Type", "Host")
JOB_FIELDS = ("image_url", "image_base64", "options", "metadata", "priority", "start_within_s")
FORM_FIELDS = ("options", "metadata", "priority", "start_within_s", "other")


def nested(depth: int) -> str:
    return '{"a":[' * (depth // 2) + "1" + "]}" * (depth // 2)


JSON_TEXTS = (
    *("null", "false", "true", "0", '""', "[]", "{}", "3.0", "-0", "NaN", "1e999", "1e-999"),
    *("9" * 299, "9" * 400, "9" * 5000, "-" + "9" * 400, "1." + "0" * 400, "1e300"),
    *(r'"\ud800"', r'{"\udfff": 1}', r'["\ud83d\ude00", "\u0000"]', '"' + "a" * 5000 + '"'),
    *(nested(30), nested(34), nested(494), nested(700), nested(950), nested(5000)),
    *('{"a": 1}', "[1, 2", '"data:;base64,AAAA"', '"data:,"', '"AAA"', '"normal"', "7"),
)
TEXTS = (
    *("", "\ud800", "\udcff", "\x00", "\n", "..", ".", "/", "%", "?a=b", "x?taskHub=Other"),
    *("9" * 400, "9" * 5000, "a" * 9000, "\u0661", "\u00b2", "\U0001f600" * 300, "-1", "nan"),
    *("chunked", "true", "3", "look", "succeeded", "multipart/form-data; boundary=\u00e9"),
)
STATUSES = ("Running", "Suspended", "Completed", None)


def as_object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields.items()) + "}"


def job_body(**fields: str) -> bytes:
    image = {} if "image_base64" in fields else {"image_url": json.dumps(URL)}
    return as_object({**image, **fields}).encode()


def batch_body(**fields: str) -> bytes:
    inside = {name: fields.pop(name) for name in ("image_url", "image_base64") if name in fields}
    return as_object({"images": f"[{job_body(**inside).decode()}]", **fields}).encode()


def form_body(**fields: str) -> dict[str, Any]:
    return form(b"photo", **fields)


def stored(desk: Desk) -> Any:
    parts = desk.parts
    instances = {name: vars(one).copy() for name, one in parts.durable.instances.items()}
    return (
        dict(parts.files.files),
        list(parts.jobs.history),
        parts.state.to_json(),
        instances,
        list(parts.durable.events),
    )


def check(
    route: str,
    *,
    path: dict[str, str] | None = None,
    runtime_status: str | None = "Running",
    **request: Any,
) -> None:
    """Ask a route of an API that holds one job, and check what it answers and leaves."""
    desk = Desk()
    job_id = desk.post_json({"image_url": URL}).body["id"]
    if runtime_status is None:
        desk.parts.durable.instances.clear()
    else:
        desk.parts.durable.instances[job_id].runtime_status = runtime_status
    # The first command writes the pool's state, whichever it is.
    desk.parts.apply(ResetVm(vm="gpu-1"))
    before = stored(desk)
    room, name = route.split(".")

    heard = desk.ask(
        getattr(getattr(desk, room), name),
        "x",
        **{"method": "POST", **request},
        **{"id": job_id, "event": "look", "name": "gpu-1", **(path or {})},
    )

    assert heard.status != 500, heard.data
    if heard.status >= 400:
        assert heard.body.get("detail") or heard.body["Message"]
        assert stored(desk) == before


class TestOneHostileValue:
    """All of a request is right but for one value."""

    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize("route", ROUTES)
    def test_none_but_the_instances_state(self, route: str, status: str | None):
        check(route, runtime_status=status)

    @pytest.mark.parametrize("route", ROUTES)
    def test_in_the_path(self, route: str):
        for name in PATH.get(route, ("id",)):
            for text in TEXTS:
                check(route, path={name: text})

    @pytest.mark.parametrize(("route", "names"), QUERY.items())
    def test_in_the_query(self, route: str, names: tuple[str, ...]):
        for name in names:
            for text in TEXTS:
                check(route, params={name: text})

    @pytest.mark.parametrize("name", HEADERS)
    @pytest.mark.parametrize(
        ("route", "body"),
        [
            ("jobs.post", job_body()),
            ("batches.post", batch_body()),
            ("instance.raise_event", b"{}"),
            ("pool.prewarm", b""),
        ],
    )
    def test_in_a_header(self, route: str, body: bytes, name: str):
        for text in TEXTS:
            check(route, headers={name: text}, body=body)

    @pytest.mark.parametrize("field", JOB_FIELDS)
    @pytest.mark.parametrize("route", ["jobs.post", "batches.post"])
    def test_in_a_field_of_json(self, route: str, field: str):
        build = job_body if route == "jobs.post" else batch_body
        for text in JSON_TEXTS:
            check(route, body=build(**{field: text}))

    @pytest.mark.parametrize("option", sorted(KNOWN_OPTIONS))
    def test_in_an_option(self, option: str):
        for text in JSON_TEXTS:
            check("jobs.post", body=job_body(options=as_object({option: text})))

    @pytest.mark.parametrize("field", FORM_FIELDS)
    def test_in_a_field_of_a_form(self, field: str):
        for text in JSON_TEXTS:
            check("jobs.post", **form_body(**{field: text}))

    @pytest.mark.parametrize("field", ["vms", "for_s", "other"])
    def test_in_a_field_of_prewarm(self, field: str):
        for text in JSON_TEXTS:
            check("pool.prewarm", body=as_object({field: text}).encode())

    @pytest.mark.parametrize("route", ROUTES)
    def test_as_the_whole_body(self, route: str):
        for text in JSON_TEXTS:
            check(route, body=text.encode())


class TestAnyRequest:
    @given(
        route=st.sampled_from(ROUTES),
        path=st.dictionaries(st.sampled_from(("id", "event", "name")), st.text(), max_size=1),
        query=st.dictionaries(
            st.sampled_from([name for names in QUERY.values() for name in names]),
            st.text(st.characters(exclude_categories=())),
            max_size=2,
        ),
        headers=st.dictionaries(
            st.sampled_from(HEADERS), st.text(st.characters(exclude_categories=())), max_size=2
        ),
        body=st.binary()
        | st.dictionaries(st.sampled_from(JOB_FIELDS), st.sampled_from(JSON_TEXTS)).map(
            lambda fields: job_body(**fields)
        ),
        runtime_status=st.sampled_from(STATUSES),
    )
    @settings(max_examples=100)
    def test_is_taken_or_refused(
        self,
        route: str,
        path: dict[str, str],
        query: dict[str, str],
        headers: dict[str, str],
        body: bytes,
        runtime_status: str | None,
    ):
        check(
            route,
            path=path,
            params=query,
            headers=headers,
            body=body,
            runtime_status=runtime_status,
        )
