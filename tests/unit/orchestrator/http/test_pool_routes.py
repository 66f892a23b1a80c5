"""The pool and the app's own health."""

import pytest

from orchestrator.domain.pool import Enqueue, StartFailed
from tests.unit.orchestrator.http.desk import Desk
from tests.unit.orchestrator.parts import JOB


class TestPool:
    def test_shows_vms_queue_and_money(self, desk: Desk):
        desk.parts.apply(Enqueue(job_id=JOB, fence=1))

        body = desk.ask(desk.pool.get, "pool").body

        assert [(vm["name"], vm["phase"]) for vm in body["vms"]] == [("gpu-1", "starting")]
        assert body["queue"] == [{"job_id": JOB, "position": 1, "since": desk.parts.now}]
        assert body["totals"]["cost_usd"] == 0

    def test_shows_a_pool_that_was_never_used(self, desk: Desk):
        body = desk.ask(desk.pool.get, "pool").body

        assert [vm["phase"] for vm in body["vms"]] == ["deallocated"]


class TestPrewarm:
    def test_wakes_a_vm_ahead(self, desk: Desk):
        heard = desk.ask(desk.pool.prewarm, method="POST", body=b'{"for_s": 60}')

        assert (heard.status, heard.body) == (202, {"vms": 1, "until": desk.parts.now + 60})
        assert len(desk.parts.durable.started("wake_vm")) == 1

    def test_takes_null_as_not_given_and_1_0_as_1(self, desk: Desk):
        heard = desk.ask(desk.pool.prewarm, method="POST", body=b'{"vms": 1.0, "for_s": null}')

        assert (heard.status, heard.body["vms"]) == (202, 1)

    def test_does_not_take_a_chunked_body_for_none(self, desk: Desk):
        headers = {"Transfer-Encoding": "chunked"}

        heard = desk.ask(desk.pool.prewarm, method="POST", headers=headers)

        assert (heard.status, heard.body["code"]) == (411, "length_required")
        assert desk.parts.durable.started("wake_vm") == []

    @pytest.mark.parametrize(
        "body",
        [
            *(b"{", b"[]", b"false", b'{"vms": 2}', b'{"vms": true}', b'{"vms": 0.5}'),
            *(b'{"for_s": 0}', b'{"for_s": 1e999}', b'{"x": 1}'),
            *(b'{"for_s": ' + b"9" * digits + b"}" for digits in (300, 400, 5000)),
        ],
    )
    def test_refuses_what_makes_no_sense(self, desk: Desk, body: bytes):
        assert desk.ask(desk.pool.prewarm, method="POST", body=body).status == 400


class TestReset:
    def test_lets_a_cooling_vm_be_tried_again(self, desk: Desk):
        desk.parts.apply(Enqueue(job_id=JOB, fence=1))
        epoch = desk.parts.vm().epoch
        desk.parts.apply(StartFailed(vm="gpu-1", epoch=epoch, code="x", is_configuration=True))
        before = desk.parts.vm().phase

        heard = desk.ask(desk.pool.reset, method="POST", name="gpu-1")

        assert before == "broken"
        assert heard.status == 202
        assert desk.parts.vm().phase == "starting"

    def test_is_409_for_one_that_is_neither(self, desk: Desk):
        desk.parts.apply(Enqueue(job_id=JOB, fence=1))

        assert desk.ask(desk.pool.reset, method="POST", name="gpu-1").status == 409

    def test_is_404_for_one_that_does_not_exist(self, desk: Desk):
        assert desk.ask(desk.pool.reset, method="POST", name="gpu-9").status == 404


class TestHealth:
    def test_is_200_while_storage_answers(self, desk: Desk):
        assert desk.ask(desk.pool.health, "health").body == {"status": "ok"}

    def test_is_503_when_it_does_not(self, desk: Desk):
        def fail() -> None:
            raise OSError("secret endpoint")

        desk.parts.store.read = fail

        heard = desk.ask(desk.pool.health, "health")

        assert (heard.status, heard.body["code"]) == (503, "storage_unavailable")
        assert b"secret" not in heard.data
