"""Input made to hurt: each is refused in one form of error, and nothing is woken or kept."""

import io
import json
import struct
import zlib

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from tests.fakes.hostile_server import answer, redirect, running_hostile_server

pytestmark = pytest.mark.stack

QUICK_S = 1.0
"""Of the processor: how long that takes is up to whatever else the machine does."""
MAX_GROWTH_MB = 150
"""What the host may keep after all of it; the bomb alone would be 2.7 GB."""


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A small PNG that announces 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(4_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(buffer, "GIF")
    return buffer.getvalue()


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@pytest.fixture(name="cloud")
def _cloud(start_cloud):
    """A local cloud that may fetch from one loopback server only."""
    with running_hostile_server() as server:
        cloud = start_cloud(IMAGE_URL_ALLOWED_HOSTS=server.host)
        cloud.server = server
        yield cloud


def assert_problem(answer: requests.Response, *, status: int, code: str) -> None:
    """The answer is a problem with a stable code and a sentence."""
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert body["status"] == status
    assert len(body["detail"]) > 20


def assert_untouched(cloud) -> None:
    """Nothing was woken, nothing was stored, nothing was begun."""
    assert cloud.vm()["phase"] == "deallocated"
    assert cloud.stack.meter()["gpu-0"]["starts"] == 0
    assert cloud.blobs() == []
    assert requests.get(f"{cloud.api}/jobs", timeout=30).json()["jobs"] == []


def processor_s(host: psutil.Process) -> float:
    """The processor's time of the host and of the children that it has waited for."""
    times = host.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


class TestPost:
    def test_refuses_seven_bad_files_at_once_and_keeps_none(self, cloud, photo):
        """Each in under a second of the processor, the host's memory flat, the VM asleep."""
        cases = [
            (b"This is a text file, not a photo.\n" * 40, 415, "image_unsupported_type"),
            (b"", 400, "image_empty"),
            (photo[: len(photo) // 2], 422, "image_truncated"),
            (png_bomb(), 422, "image_too_many_pixels"),
            (gif(), 415, "image_unsupported_type"),
            (SVG, 415, "image_unsupported_type"),
            (photo + bytes(45_000_000 - len(photo)), 413, "image_too_large"),
        ]
        host = psutil.Process(cloud.stack.pids["functions_host"])
        requests.get(f"{cloud.api}/pool", timeout=30)
        before_mb = host.memory_info().rss / 1e6

        for _ in range(3):
            for data, status, code in cases:
                began_s = processor_s(host)
                answer = requests.post(
                    f"{cloud.api}/jobs", files={"image": ("photo.jpg", data)}, timeout=30
                )
                taken_s = processor_s(host) - began_s

                assert_problem(answer, status=status, code=code)
                assert taken_s < QUICK_S, (code, taken_s)

        assert host.memory_info().rss / 1e6 - before_mb < MAX_GROWTH_MB
        assert_untouched(cloud)

    def test_refuses_urls_made_to_hurt(self, cloud, photo):
        """A way to a private address, silence, and a stream without end."""
        server = cloud.server

        def endless(exchange):
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
            while not exchange.wait(0):
                exchange.send(photo[:65536])

        server.behaviours.update(
            {
                "/metadata": redirect("http://169.254.169.254/metadata/identity"),
                "/private": redirect("http://127.0.0.1:1/x.jpg"),
                "/silent": lambda exchange: exchange.wait(30),
                "/endless": endless,
            }
        )
        cases = [
            ("/metadata", 400, "image_url_forbidden"),
            ("/private", 400, "image_url_forbidden"),
            ("/silent", 422, "image_url_timeout"),
            ("/endless", 413, "image_url_too_large"),
        ]

        for path, status, code in cases:
            answer = requests.post(
                f"{cloud.api}/jobs", json={"image_url": server.origin + path}, timeout=40
            )

            assert_problem(answer, status=status, code=code)

        assert_untouched(cloud)

    def test_names_what_is_wrong_with_the_request(self, cloud, photo):
        """A wrong option, a wrong field, no image, no JSON."""

        def post(**values):
            return requests.post(f"{cloud.api}/jobs", timeout=30, **values)

        image = {"image": ("photo.jpg", photo)}

        assert_problem(
            post(files=image, data={"options": '{"seed": -1}'}), status=400, code="invalid_option"
        )
        assert_problem(
            post(files=image, data={"colour": "red"}), status=400, code="invalid_request"
        )
        assert_problem(post(json={}), status=400, code="image_missing")
        assert_problem(post(data=b"{"), status=400, code="body_unreadable")
        assert_problem(
            post(json={"image_base64": "not base64!"}), status=400, code="image_base64_invalid"
        )
        assert_problem(post(data=b""), status=400, code="body_empty")
        assert_problem(post(data=iter([b"{}"])), status=411, code="length_required")
        assert_problem(
            post(data=b'{"image_url": "https://x.invalid/\\ud800"}'),
            status=400,
            code="invalid_request",
        )
        page = requests.get(f"{cloud.api}/jobs", params={"page": "a" * 7000}, timeout=30)
        assert_problem(page, status=400, code="invalid_page")
        assert_untouched(cloud)


class TestBatch:
    def test_gives_each_url_a_job_and_fails_each_bad_one_alone(self, cloud, photo):
        """A host that has no image, a way to a private address, a text; no VM is woken."""
        server = cloud.server
        server.behaviours.update(
            {
                "/metadata?sig=secret": redirect("http://169.254.169.254/metadata/identity"),
                "/text?sig=secret": answer(b"no image, but a sentence of some length"),
            }
        )
        urls = [f"{server.origin}{path}?sig=secret" for path in ("/missing", "/metadata", "/text")]
        images = [{"image_url": url} for url in urls]

        posted = requests.post(f"{cloud.api}/batches", json={"images": images}, timeout=30)

        assert posted.status_code == 202, posted.text
        job_ids = [item["job_id"] for item in posted.json()["items"]]
        batch = cloud.wait_for(
            lambda: (
                told
                if (told := requests.get(posted.json()["status_url"], timeout=30).json())["state"]
                == "over"
                else None
            )
        )
        jobs = [cloud.job(job_id) for job_id in job_ids]
        assert [job["error"] for job in jobs] == [item["error"] for item in batch["items"]]
        assert [job["error"]["code"] for job in jobs] == [
            "image_url_bad_status",
            "image_url_forbidden",
            "image_unsupported_type",
        ]
        assert "secret" not in json.dumps(jobs)
        assert cloud.stack.meter()["gpu-0"]["starts"] == 0


class TestInstance:
    def test_keeps_events_and_states_to_one_instance(self, cloud, photo):
        """An event's name with a query in it, suspended twice, resumed twice."""
        posted = requests.post(f"{cloud.api}/jobs", files={"image": ("a.jpg", photo)}, timeout=30)
        instance = f"{cloud.api}/jobs/{posted.json()['id']}/instance"

        def post(path):
            return requests.post(f"{instance}/{path}", timeout=30)

        def status():
            return requests.get(instance, timeout=30).json()["runtimeStatus"]

        hostile = post("raiseEvent/x%3FtaskHub%3DOther%26connection%3DElse")
        assert_problem(hostile, status=400, code="event_name_invalid")
        assert post("raiseEvent/plain.name").status_code == 202
        assert post("suspend?reason=a%26b%3Fc").status_code == 202
        # Durable takes the order and carries it out a moment later.
        cloud.wait_for(lambda: status() == "Suspended")
        assert_problem(post("suspend"), status=409, code="instance_suspended")
        assert post("resume").status_code == 202
        cloud.wait_for(lambda: status() == "Running")
        assert_problem(post("resume"), status=409, code="instance_not_suspended")
