"""Eight clients that send what is costly to read: honest ones are served, and nothing breaks."""

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from benchmarks.hostile.inputs import (
    broken_base64,
    canvas_webp,
    crowded_form,
    huge_png,
    looping_png,
    nested_json,
    scanned_jpeg,
)
from tests.e2e.conftest import make_vm
from tests.fakes.hostile_server import running_hostile_server

pytestmark = pytest.mark.stack

HOSTILE_CLIENTS = 8
HOSTILE_REQUESTS = 100
HONEST_PHOTOS = 20
TRIES = 60
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def costly_requests(silent_url: str) -> list[dict]:
    """Give one request of each kind, as arguments of `requests.post`."""
    files = [looping_png(20_000), huge_png(3000, 3000), canvas_webp(), scanned_jpeg(2048)]
    return [
        *({"files": {"image": ("photo", file)}} for file in files),
        {"data": nested_json(4_000_000), "headers": JSON},
        {"data": broken_base64(8_000_000), "headers": JSON},
        {"data": crowded_form("x", 50_000), "headers": FORM},
        {"data": json.dumps({"image_url": silent_url}), "headers": JSON},
    ]


class TestHostileClients:
    def test_leave_room_for_honest_ones(self, start_cloud, photo):
        """All honest photos are taken; no 5xx but 503 with Retry-After."""
        answers: list[requests.Response] = []
        with running_hostile_server() as server:
            server.behaviours["/silent"] = lambda exchange: exchange.wait(60)
            # The VM does not come up meanwhile: this is about taking jobs, not about making them.
            vm = replace(make_vm(), boot_s=3600.0)
            cloud = start_cloud(vms=[vm], IMAGE_URL_ALLOWED_HOSTS=server.host)
            costly = costly_requests(f"{server.origin}/silent")
            numbers = iter(range(HOSTILE_REQUESTS))
            lock = threading.Lock()

            def attack() -> None:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    arguments = costly[number % len(costly)]
                    answers.append(requests.post(f"{cloud.api}/jobs", timeout=300, **arguments))

            def post_photo(_: int) -> int:
                for tries in itertools.count(1):
                    answer = requests.post(
                        f"{cloud.api}/jobs", files={"image": ("photo.jpg", photo)}, timeout=300
                    )
                    answers.append(answer)
                    if answer.status_code != 503 or tries == TRIES:
                        return answer.status_code
                    time.sleep(int(answer.headers["Retry-After"]))
                raise AssertionError

            with ThreadPoolExecutor(HOSTILE_CLIENTS + 2) as clients:
                attackers = [clients.submit(attack) for _ in range(HOSTILE_CLIENTS)]
                honest = list(clients.map(post_photo, range(HONEST_PHOTOS)))
                for attacker in attackers:
                    attacker.result()

        assert honest == [202] * HONEST_PHOTOS
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            if answer.status_code >= 400:
                assert answer.json()["code"] != "internal"
        assert requests.get(f"{cloud.api}/health", timeout=30).json() == {"status": "ok"}
