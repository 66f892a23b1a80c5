"""``make demo`` as a person meets it: to its end, and cut off at any time."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from localcloud.blueprint import ROOT

pytestmark = pytest.mark.stack

LIMIT_S = 60
# A company's: nothing on this machine may be asked through it.
PROXIES = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
    "NO_PROXY": "",
    "no_proxy": "elsewhere.example",
}


def start_demo(*arguments: str) -> subprocess.Popen:
    """Start the demo as a shell would, in a group of its own that Ctrl-C reaches."""
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud.demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **PROXIES, "COLUMNS": "100"},
    )


def processes_of(pid: int) -> list[psutil.Process]:
    """List everything below a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def ports_of(processes: list[psutil.Process]) -> set[int]:
    """List the ports that processes listen on."""
    ports = set()
    for process in processes:
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        ports |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return ports


class TestDemo:
    def test_ends_with_a_model_and_the_vm_off(self):
        """Exit code 0, under a minute with a boot of 5 s, figures that agree."""
        began_at = time.monotonic()
        demo = start_demo()
        text, _ = demo.communicate(timeout=2 * LIMIT_S)

        assert demo.returncode == 0, text
        assert time.monotonic() - began_at < LIMIT_S
        figures = json.loads((ROOT / "out" / "demo.json").read_text())
        assert figures["vm_at_the_end"] == "deallocated"
        assert figures["watertight"]
        assert figures["faces"] > 2000
        assert figures["silhouette_iou"] >= 0.95
        assert figures["billed_seconds"] == pytest.approx(figures["metered_seconds"], abs=1.5)
        assert (ROOT / "out" / "model.glb").read_bytes()[:4] == b"glTF"
        assert (ROOT / "out" / "preview.png").read_bytes()[1:4] == b"PNG"
        assert "not a reconstruction" in text

    @pytest.mark.engine
    @pytest.mark.nightly
    def test_runs_hunyuan3d_on_tiny_weights(self):
        """From weights made on the spot to a closed, painted mesh, whatever seed is drawn."""
        demo = start_demo("--engine", "hunyuan3d")
        text, _ = demo.communicate(timeout=5 * LIMIT_S)

        assert demo.returncode == 0, text
        figures = json.loads((ROOT / "out" / "demo.json").read_text())
        assert figures["watertight"]
        assert figures["faces"] == pytest.approx(20_000, rel=0.01)
        assert figures["vm_at_the_end"] == "deallocated"
        assert "a net that knows nothing" in " ".join(text.split())

    def test_says_what_is_wrong_with_a_photo(self, tmp_path):
        """A file that is no photo is refused in one sentence."""
        notes = tmp_path / """it's[red]"写真"$HOME.txt"""
        notes.write_text("no photo")

        demo = start_demo("--image", str(notes))
        text, _ = demo.communicate(timeout=2 * LIMIT_S)

        assert demo.returncode == 1
        assert "demo: " in text
        assert """it's[red]"写真"$HOME.txt""" in text.replace("\n", "")
        assert "Traceback" not in text

    @pytest.mark.parametrize("moment", ["The local cloud is up", "VM gpu-0 ready", "idle"])
    def test_cut_off_by_ctrl_c_leaves_nothing_behind(self, moment):
        """Every process that it began has ended, every port is free."""
        demo = start_demo()
        for line in demo.stdout:
            if moment in line:
                break
        begun = processes_of(demo.pid)
        ports = ports_of(begun)
        assert begun
        assert ports

        os.killpg(demo.pid, signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)

        assert demo.returncode == 130, rest
        assert "Traceback" not in rest
        _, alive = psutil.wait_procs(begun, timeout=10)
        assert alive == []
        everyone = [p for p in psutil.process_iter() if p.pid != os.getpid()]
        assert not ports & ports_of(everyone)
