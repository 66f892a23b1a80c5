"""The processes that read strangers' bytes: real ones, with limits that are met for real."""

import asyncio
import io
import json
import os
import platform
import select
import signal
import subprocess
import sys
import threading
from dataclasses import asdict

import psutil
import pytest
from PIL import Image, ImageCms

from benchmarks.hostile.inputs import broken_base64, crowded_form, huge_png, nested_json
from localcloud.blueprint import ROOT
from orchestrator.domain.errors import (
    BodyTooLargeError,
    IntakeBusyError,
    IntakeFailingError,
    InvalidRequestError,
)
from orchestrator.domain.input_errors import (
    ImageTooCostlyError,
    TooManyPixelsError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from orchestrator.intake.children import KillReason, start_template
from orchestrator.intake.images import normalise_image
from tests.unit.orchestrator.intake import heic_files

HUGE = huge_png(5000, 5000)
"""Takes more than a CPU second anywhere."""
NO_IMAGE = {
    "width": 1,
    "height": 1,
    "has_alpha": False,
    "sha256": "",
    "source_format": "PNG",
    "notes": [],
}
JSON = "application/json"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, image_format, **options)
    return buffer.getvalue()


def normalise(decoders, data: bytes):
    return asyncio.run(decoders.normalise(data))


def reasons(decoders) -> list[KillReason]:
    return [kill.reason for kill in decoders.kills]


def start_takeable(clock):
    """Start a template whose children a file can take over, as `taken_over` says."""
    return start_template(clock, ("-m", "tests.integration.intake.taken_over"))


def start_unfiltered(clock):
    """Likewise, where the kernel filters no calls."""
    return start_template(clock, ("-m", "tests.integration.intake.taken_over", "unfiltered"))


def wait_for_the_next(decoders) -> psutil.Process:
    """Give the template, once it has told the number of the child that waits for an order."""
    (template,) = decoders._idle
    assert select.select([template._control._side], [], [], 60.0)[0]
    return psutil.Process(template.pid)


def ways_out(decoders) -> dict:
    with pytest.raises(InvalidRequestError) as told:
        normalise(decoders, b"tell_ways_out\n%d" % os.getpid())
    return json.loads(str(told.value))


class TestNormalise:
    def test_gives_what_the_pipeline_gives_in_one_process(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)
        photos = [encoded("JPEG"), encoded("PNG"), encoded("WEBP")]

        images = [normalise(decoders, photo) for photo in photos]

        assert images == [normalise_image(photo) for photo in photos]
        assert len({child.template.pid for child in children}) == 1

    def test_gives_each_image_a_process_that_read_no_other(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)

        for _ in range(3):
            normalise(decoders, encoded())

        pids = {child.pid for child in children}
        assert len(pids) == 3
        assert not any(psutil.pid_exists(pid) for pid in pids)

    def test_hands_refusals_on_and_keeps_the_template(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)

        with pytest.raises(UnsupportedImageTypeError) as refused:
            normalise(decoders, b"GIF89a and more")

        assert refused.value.status == 415
        assert normalise(decoders, encoded()).width == 256
        assert len({child.template.pid for child in children}) == 1
        assert list(decoders.kills) == []

    def test_ends_one_that_uses_up_its_cpu_and_goes_on_with_another(self, make_decoders):
        decoders = make_decoders(cpu_s=0.1)

        with pytest.raises(ImageTooCostlyError) as refused:
            normalise(decoders, HUGE)

        assert "cpu" in refused.value.message
        assert reasons(decoders) == [KillReason.CPU]
        assert normalise(decoders, encoded()).width == 256

    def test_ends_one_whose_time_is_over(self, make_decoders):
        decoders = make_decoders(wall_s=0.0)

        with pytest.raises(ImageTooCostlyError):
            normalise(decoders, HUGE)

        assert reasons(decoders) == [KillReason.TIME]

    def test_ends_one_that_drips_its_answer(self, make_decoders):
        """Each byte is in time; the whole answer is not."""
        decoders = make_decoders(start=start_takeable, wall_s=0.5)

        with pytest.raises(ImageTooCostlyError):
            normalise(decoders, b"drip\n")

        assert reasons(decoders) == [KillReason.TIME]

    def test_ends_one_that_does_not_read_its_order(self, make_decoders):
        def stop(child):
            os.kill(child.pid, signal.SIGSTOP)

        decoders = make_decoders(on_fork=stop, wall_s=0.5)

        with pytest.raises(ImageTooCostlyError):
            normalise(decoders, bytes(20_000_000))

        assert reasons(decoders) == [KillReason.TIME]

    def test_ends_one_that_takes_more_memory_than_it_announced(self, make_decoders):
        """Its parent watches as well: macOS has no limit on address space."""

        def swell(child):
            child.resident_bytes = lambda: 10**12

        decoders = make_decoders(on_fork=swell)

        with pytest.raises(ImageTooCostlyError):
            normalise(decoders, HUGE)

        assert reasons(decoders) == [KillReason.MEMORY]

    def test_survives_a_process_that_crashes_over_an_image(self, make_decoders):
        decoders = make_decoders(on_fork=lambda child: os.kill(child.pid, signal.SIGSEGV))

        with pytest.raises(UnreadableImageError):
            normalise(decoders, HUGE)

        assert reasons(decoders) == [KillReason.CRASH]
        assert not decoders.is_failing

    @pytest.mark.parametrize("position", [0, 1], ids=["at the header", "at the end"])
    @pytest.mark.parametrize(
        "answer",
        [
            *({}, {"need": "many"}, {"need": None}, {"need": -(10**12)}, {"done": []}),
            {"done": {**NO_IMAGE, "notes": [{}]}},
            {"done": {**NO_IMAGE, "source_format": None}},
            *({"done": {"notes": []}}, {"refused": "no"}, {"refused": {"code": "x"}}),
            *(
                {"refused": {"class": name, "code": "x", "message": "m"}}
                for name in ("IntakeFailingError", "ApiError", "KeyError")
            ),
        ],
        ids=repr,
    )
    def test_refuses_the_image_and_ends_a_process_whose_answer_is_none(
        self, make_decoders, answer, position
    ):
        """As one that a stranger's file took over might give."""
        answers = [{"need": 1}] * position

        def lie(child):
            child.hear = lambda **limits: (answers.pop() if answers else answer, [b""])

        decoders = make_decoders(on_fork=lie)

        with pytest.raises(UnreadableImageError):
            normalise(decoders, encoded())

        assert reasons(decoders) == [KillReason.CRASH]

    def test_gives_no_memory_to_the_others_for_a_need_below_zero(self, make_decoders):
        right = asdict(normalise_image(encoded()))
        png = right.pop("png")
        answers = [({"done": right}, [png]), ({"need": -(10**12)}, [])]

        def lie(child):
            child.hear = lambda **limits: answers.pop()

        decoders = make_decoders(on_fork=lie)

        with pytest.raises(UnreadableImageError):
            normalise(decoders, encoded())

        assert reasons(decoders) == [KillReason.CRASH]

    def test_gives_nobody_what_one_that_was_taken_over_says_too_much(self, make_decoders):
        decoders = make_decoders(start=start_takeable)
        with pytest.raises(UnreadableImageError):
            normalise(decoders, b"lie_in_wait\n")

        assert normalise(decoders, encoded()) == normalise_image(encoded())

    def test_shows_a_child_no_socket_but_its_own(self, make_decoders):
        decoders = make_decoders(start=start_unfiltered)

        with pytest.raises(InvalidRequestError) as told:
            normalise(decoders, b"tell_sockets\n")

        assert str(told.value) == "1"

    def test_ends_what_one_that_was_taken_over_has_forked(self, make_decoders):
        """It has ended itself, and what it left holds the socket."""
        left = []

        def listen(child):
            hear = child.hear

            def hear_and_note(**limits):
                answer = hear(**limits)
                left.append(answer[0]["need"])
                return answer

            child.hear = hear_and_note

        decoders = make_decoders(start=start_unfiltered, on_fork=listen, wall_s=2.0)

        with pytest.raises(ImageTooCostlyError):
            normalise(decoders, b"fork\n")

        if psutil.pid_exists(left[0]):
            psutil.Process(left[0]).wait(60)

    def test_ends_one_that_goes_on_after_its_answer(self, make_decoders):
        children = []
        decoders = make_decoders(start=start_takeable, on_fork=children.append)

        image = normalise(decoders, b"linger\n" + encoded())

        assert image == normalise_image(encoded())
        if psutil.pid_exists(children[0].pid):
            psutil.Process(children[0].pid).wait(60)
        assert decoders._idle == []
        assert list(decoders.kills) == []

    def test_blames_no_image_for_a_template_that_ended_while_idle(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)
        normalise(decoders, encoded())
        template = psutil.Process(children[0].template.pid)
        template.kill()
        template.wait(30)

        assert normalise(decoders, encoded()).width == 256
        assert list(decoders.kills) == []

    def test_has_the_next_process_forked_ahead_of_its_order(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)
        normalise(decoders, encoded())
        template = wait_for_the_next(decoders)
        template.kill()
        template.wait(30)

        assert normalise(decoders, encoded()) == normalise_image(encoded())
        assert children[1].template is children[0].template

    def test_blames_no_image_for_a_process_that_ended_while_it_waited(self, make_decoders):
        decoders = make_decoders()
        normalise(decoders, encoded())
        (waiting,) = wait_for_the_next(decoders).children()
        waiting.kill()
        waiting.wait(30)

        assert normalise(decoders, encoded()).width == 256
        assert list(decoders.kills) == []

    def test_ends_one_that_goes_on_when_its_template_is_gone(self, make_decoders):
        children = []

        def bereave(child):
            children.append(child)
            template = psutil.Process(child.template.pid)
            template.kill()

        decoders = make_decoders(start=start_takeable, on_fork=bereave)

        image = normalise(decoders, b"linger\n" + encoded())

        assert image == normalise_image(encoded())
        if psutil.pid_exists(children[0].pid):
            psutil.Process(children[0].pid).wait(60)
        assert decoders._idle == []

    def test_runs_no_more_processes_than_it_may(self, make_decoders):
        children = []
        decoders = make_decoders(processes=2, on_fork=children.append)

        async def run() -> list:
            return await asyncio.gather(*(decoders.normalise(encoded()) for _ in range(20)))

        assert len(asyncio.run(run())) == 20
        assert len({child.template.pid for child in children}) <= 2

    @pytest.mark.parametrize(
        ("file", "error"),
        [
            (heic_files.announcing(heic_files.PLAIN, 8000, 8000), UnreadableImageError),
            (heic_files.announcing(heic_files.PLAIN, 100_000, 100_000), TooManyPixelsError),
            (heic_files.announcing(heic_files.PLAIN, 2**32 - 1, 2**32 - 1), UnreadableImageError),
            (heic_files.announcing(heic_files.GRID, 8000, 8000), UnreadableImageError),
            (heic_files.tiled(4, 4), UnreadableImageError),
            (heic_files.tiled(250, 250), UnreadableImageError),
            (heic_files.announcing(encoded("AVIF"), 8000, 8000), TooManyPixelsError),
            (heic_files.announcing(encoded("AVIF"), 2**31, 2**31), UnreadableImageError),
        ],
        ids=[
            *("heic 8000", "heic 100,000", "heic 2**32", "grid 8000", "16 tiles", "62,500 tiles"),
            *("avif 8000", "avif 2**31"),
        ],
    )
    def test_refuses_a_file_that_announces_more_than_it_holds(self, make_decoders, file, error):
        """By what it says: no limit of the process is needed."""
        decoders = make_decoders()

        with pytest.raises(error):
            normalise(decoders, file)

        assert list(decoders.kills) == []

    def test_tells_to_come_back_when_there_is_no_memory_for_it(self, make_decoders):
        children = []
        decoders = make_decoders(memory_bytes=1, on_fork=children.append)

        with pytest.raises(IntakeBusyError):
            normalise(decoders, encoded())
        with pytest.raises(IntakeBusyError):
            normalise(decoders, encoded())

        assert len({child.template.pid for child in children}) == 1

    def test_hears_of_a_crash_loop_and_starts_no_more_for_a_while(self, make_decoders):
        started = []

        def start(clock):
            started.append(clock())
            template = start_template(clock)
            template._process.kill()
            return template

        decoders = make_decoders(start=start)

        for _ in range(10):
            with pytest.raises(IntakeFailingError) as refused:
                normalise(decoders, encoded())

        assert len(started) < 10
        assert decoders.is_failing
        assert refused.value.retry_after_s >= 1

    @pytest.mark.parametrize("act", ["normalise", "probe"])
    def test_recovers_from_a_crash_loop(self, make_decoders, act):
        now = [0.0]
        is_broken = [True]

        def start(clock):
            if is_broken[0]:
                raise OSError
            return start_template(clock)

        decoders = make_decoders(start=start)
        decoders._clock = lambda: now[0]
        for _ in range(3):
            with pytest.raises(IntakeFailingError):
                normalise(decoders, encoded())
        is_broken[0] = False
        now[0] += 60.0

        asyncio.run(decoders.probe() if act == "probe" else decoders.normalise(encoded()))

        assert not decoders.is_failing


class TestSeal:
    @pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="has no filter"
    )
    def test_leaves_a_file_that_takes_a_process_over_no_way_out(self, make_decoders):
        ways = ways_out(make_decoders(start=start_takeable))

        assert ways.pop("files") == [False] * 4
        assert ways.pop("thread") is True
        assert set(ways.values()) == {False}

    def test_leaves_it_no_file_where_calls_are_not_filtered(self, make_decoders, caplog):
        ways = ways_out(make_decoders(start=start_unfiltered))

        assert ways["files"] == [False] * 4
        assert ways["socket"] is False
        assert ways["exec"] is True
        assert "filters no calls" in caplog.text

    @pytest.mark.parametrize(
        "file",
        [
            *(encoded(name, icc_profile=PROFILE) for name in ("PNG", "JPEG", "WEBP", "AVIF")),
            *(heic_files.GRID, heic_files.DEEP, heic_files.DISPLAY_P3),
        ],
        ids=["png", "jpeg", "webp", "avif", "heic grid", "deep heic", "heic of Display P3"],
    )
    def test_changes_no_image(self, make_decoders, file):
        assert normalise(make_decoders(), file) == normalise_image(file)


class TestProbe:
    def test_tries_no_more_often_than_a_caller_would(self, make_decoders):
        started = []

        def start(clock):
            started.append(clock())
            raise OSError

        decoders = make_decoders(start=start)
        decoders._clock = lambda: 0.0
        for _ in range(3):
            with pytest.raises(IntakeFailingError):
                normalise(decoders, encoded())

        for _ in range(3):
            asyncio.run(decoders.probe())

        assert len(started) == 3

    def test_starts_nothing_while_all_is_well(self, make_decoders):
        asyncio.run(make_decoders(start=pytest.fail).probe())

    def test_tries_once_for_all_that_ask_meanwhile(self, make_decoders):
        """Anybody may ask for health."""
        asked, release = [], threading.Event()
        decoders = make_decoders()
        decoders._failed_starts = 3

        def start(clock):
            asked.append(clock())
            release.wait()
            raise OSError

        decoders._start = start

        async def run():
            probes = [asyncio.create_task(decoders.probe()) for _ in range(20)]
            while not asked:
                await asyncio.sleep(0)
            release.set()
            await asyncio.gather(*probes)

        asyncio.run(run())

        assert decoders._lane.ran["Decoders._try"] == 1


class TestCancel:
    def test_holds_the_place_until_the_thread_is_free(self, make_decoders):
        """Whoever is cancelled gives no place back while the work goes on."""
        forked = []
        decoders = make_decoders(start=start_takeable, on_fork=forked.append, wall_s=20.0)
        alive_at_end = []

        async def run():
            task = asyncio.create_task(decoders.normalise(b"stall\n"))
            while not forked:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            alive_at_end.append(psutil.pid_exists(forked[0].template.pid))

        asyncio.run(run())

        assert alive_at_end == [False]
        assert list(decoders.kills) == []

    def test_takes_what_waits_out_of_the_queue(self, make_decoders):
        forked = []
        decoders = make_decoders(start=start_takeable, on_fork=forked.append, processes=1)

        async def run():
            first = asyncio.create_task(decoders.normalise(b"stall\n"))
            while not forked:
                await asyncio.sleep(0)
            second = asyncio.create_task(decoders.normalise(encoded()))
            await asyncio.sleep(0)
            for task in (second, first):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(run())

        assert len(forked) == 1

    def test_leaves_no_trace_when_the_loop_is_closed_over_it(self, make_decoders):
        forked = []
        decoders = make_decoders(
            start=start_takeable, on_fork=forked.append, processes=1, wall_s=20.0
        )
        loop = asyncio.new_event_loop()
        task = loop.create_task(decoders.normalise(b"stall\n"))
        while not forked:
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()

        assert normalise(decoders, encoded()).width == 256
        assert list(decoders.kills) == []
        task._log_destroy_pending = False


class TestClose:
    def test_refuses_what_waits_and_ends_what_is_in_work(self, make_decoders):
        started, forked = [], []

        def start(clock):
            started.append(clock())
            return start_takeable(clock)

        decoders = make_decoders(start=start, on_fork=forked.append, processes=1)

        async def run():
            tasks = [asyncio.create_task(decoders.normalise(b"stall\n")) for _ in range(20)]
            while not forked:
                await asyncio.sleep(0)
            decoders.close()
            return await asyncio.gather(*tasks, return_exceptions=True)

        refused = asyncio.run(run())

        assert {type(error) for error in refused} == {IntakeFailingError}
        assert len(started) == len(forked) == 1
        assert list(decoders.kills) == []

    def test_comes_by_itself_when_the_app_ends(self):
        """The loop is left as it is, with one order in work and others that wait for it."""
        program = (
            "import asyncio\n"
            "from tests.integration.intake.test_decoders import start_takeable\n"
            "from orchestrator.intake.decoders import Decoders, DecoderLimits\n"
            "limits = DecoderLimits(processes=1, wall_s=500, memory_bytes=10**12)\n"
            "decoders = Decoders(None, limits, start=start_takeable)\n"
            "loop = asyncio.new_event_loop()\n"
            "tasks = [loop.create_task(decoders.normalise(b'stall\\n')) for _ in range(5)]\n"
            "loop.run_until_complete(asyncio.sleep(0))\n"
        )

        subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, cwd=ROOT)


class TestParse:
    def test_reads_large_bodies_in_a_process(self, make_decoders):
        children = []
        decoders = make_decoders(on_fork=children.append)
        photo = encoded() + bytes(100_000)
        body = (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
            + photo
            + b'\r\n--x\r\nContent-Disposition: form-data; name="priority"\r\n\r\nhigh'
            + b"\r\n--x--\r\n"
        )

        form = "multipart/form-data; boundary=x"
        (source,), fields = asyncio.run(decoders.parse("job", form, body))

        assert (source.data, source.name, fields) == (photo, "a.png", {"priority": "high"})
        assert len(children) == 1

    def test_reads_small_bodies_on_the_spot(self, make_decoders):
        decoders = make_decoders(on_fork=pytest.fail)

        (source,), _ = asyncio.run(
            decoders.parse("job", JSON, b'{"image_url": "https://images.invalid/"}')
        )

        assert source.url == "https://images.invalid/"

    @pytest.mark.parametrize(
        ("content_type", "body", "error"),
        [
            (JSON, nested_json(), ImageTooCostlyError),
            (JSON, nested_json(1_000_000), BodyTooLargeError),
            (JSON, broken_base64(), InvalidRequestError),
            ("multipart/form-data; boundary=x", crowded_form("x"), BodyTooLargeError),
        ],
        ids=["many small lists", "long fields", "broken base64", "many parts"],
    )
    def test_refuses_costly_bodies(self, make_decoders, content_type, body, error):
        decoders = make_decoders()

        with pytest.raises(error):
            asyncio.run(decoders.parse("job", content_type, body))

    @pytest.mark.parametrize(
        "done",
        [
            None,
            {"sources": [{}], "fields": {}},
            {"sources": [{"url": None, "name": None, "has_data": True}], "fields": {}},
            {"sources": [{"url": 1, "name": None, "has_data": False}], "fields": {}},
            {"sources": [], "fields": 1},
        ],
        ids=repr,
    )
    def test_refuses_the_body_and_ends_a_process_whose_answer_is_none(self, make_decoders, done):
        def lie(child):
            child.hear = lambda **limits: ({"done": done}, [])

        decoders = make_decoders(on_fork=lie)

        with pytest.raises(InvalidRequestError) as refused:
            asyncio.run(decoders.parse("job", JSON, broken_base64(100_000)))

        assert refused.value.code == "body_unreadable"
        assert "image" not in str(refused.value)
        assert reasons(decoders) == [KillReason.CRASH]

    def test_tells_to_come_back_when_there_is_no_memory_for_it(self, make_decoders):
        decoders = make_decoders(memory_bytes=1)

        with pytest.raises(IntakeBusyError):
            asyncio.run(decoders.parse("job", JSON, broken_base64(100_000)))

    def test_ends_a_process_whose_body_takes_too_much_memory(self, make_decoders):
        """By the limit that the process has set itself: its parent sees nothing here."""

        def hide(child):
            child.resident_bytes = lambda: 0

        decoders = make_decoders(on_fork=hide)

        with pytest.raises(ImageTooCostlyError) as refused:
            asyncio.run(decoders.parse("job", JSON, nested_json()))

        assert "request takes more memory" in refused.value.message
        assert "photo" not in refused.value.message
        assert reasons(decoders) == [KillReason.MEMORY]


class TestStartTemplate:
    def test_hands_no_setting_of_the_app_to_the_process(self, monkeypatch):
        monkeypatch.setenv("GPU_AGENT_TOKEN", "secret")

        template = start_template(lambda: 0.0)
        try:
            template.wait_until_ready(lambda: False)
            environ = psutil.Process(template.pid).environ()
        finally:
            template.end()

        assert "PYTHONPATH" in environ
        assert "GPU_AGENT_TOKEN" not in environ

    def test_starts_a_process_that_ends_with_its_parent(self, tmp_path):
        """The parent is another program in another folder, as the Functions worker is."""
        program = (
            f"import os, sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
            "from orchestrator.intake.children import start_template\n"
            "template = start_template(time.monotonic)\n"
            "template.wait_until_ready(lambda: False)\n"
            "print(template.pid, flush=True)\n"
            "os._exit(1)\n"
        )
        parent = subprocess.run(
            [sys.executable, "-I", "-c", program],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
        pid = int(parent.stdout)

        if psutil.pid_exists(pid):
            psutil.Process(pid).wait(60)

    def test_limits_what_a_child_may_write_and_gives_way_to_the_app(self, make_decoders):
        seen = []

        def look(child):
            process = psutil.Process(child.pid)
            limits = (
                [process.rlimit(psutil.RLIMIT_FSIZE), process.rlimit(psutil.RLIMIT_CORE)]
                if sys.platform == "linux"
                else [(0, 0)]
            )
            seen.append((process.nice(), limits))

        normalise(make_decoders(on_fork=look), encoded())

        ((nice, limits),) = seen
        assert nice > psutil.Process().nice()
        assert set(limits) == {(0, 0)}
