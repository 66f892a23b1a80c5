"""The agent's smoke job: ``python smoke.py ENGINE``, from the folder that holds ``gpu_agent``.

Starts the agent as its unit does, hands it a picture by its wire, and looks at the model that
comes back. Ends with 0 if it is one.
"""

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

LIMIT_S = 900.0
"""How long the agent may take to set up, and then for the job, in seconds."""

TOKEN = "smoke"


def main(engine: str) -> None:
    """Run one job from picture to model."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        holder.close()
        agent = start_agent(Path(folder), port, engine)
        try:
            check_job(Path(folder), f"http://127.0.0.1:{port}/v1", agent)
        finally:
            agent.terminate()
            agent.wait(60)


def start_agent(folder: Path, port: int, engine: str) -> "subprocess.Popen[bytes]":
    """Start the agent on a folder that stands for Blob Storage."""
    own = {
        "GPU_AGENT_TOKEN": TOKEN,
        "GPU_AGENT_PORT": str(port),
        "GPU_AGENT_ENGINE": engine,
        "GPU_AGENT_DATA_DIR": str(folder / "data"),
        "GPU_AGENT_STORE_DIR": str(folder / "store"),
        "GPU_AGENT_VM_NAME": "smoke",
    }
    return subprocess.Popen([sys.executable, "-m", "gpu_agent"], env={**os.environ, **own})


def check_job(folder: Path, url: str, agent: "subprocess.Popen[bytes]") -> None:
    """Hand a picture in, wait for its model, and look at it."""
    picture = folder / "store/jobs/jobs/smoke/input.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(draw_subject())
    await_ready(url, agent)
    body = {
        "epoch": 1,
        "input_path": "jobs/jobs/smoke/input.png",
        "output_prefix": "jobs/jobs/smoke/1/",
        "manifest_path": "jobs/jobs/smoke/manifest.json",
        "options": {"seed": 1},
    }
    view = call("PUT", f"{url}/jobs/smoke/1", body)
    end = time.monotonic() + LIMIT_S
    while view["state"] in ("queued", "running"):
        if time.monotonic() > end:
            sys.exit(f"smoke: the job is still {view['state']} at {view['stage']}")
        view = call("GET", f"{url}/jobs/smoke/1?after={view['seq']}&wait_s=25")
    if view["state"] != "succeeded":
        sys.exit(f"smoke: the job {view['state']}: {view['error']}")
    found = next(one for one in view["manifest"]["artifacts"] if one["name"] == "model.glb")
    mesh = trimesh.load(folder / "store" / found["path"], force="mesh")
    # A textured model holds a corner once for each place that it has in the texture.
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    if not (mesh.is_watertight and mesh.volume > 0):
        sys.exit("smoke: the model is not closed")
    sys.stdout.write(f"smoke: {len(mesh.faces)} faces, closed, {found['size_bytes']} bytes\n")


def await_ready(url: str, agent: "subprocess.Popen[bytes]") -> None:
    """Wait until the agent takes jobs."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            if call("GET", f"{url}/ready")["ready"]:
                return
        except (urllib.error.URLError, OSError):
            pass
        if agent.poll() is not None:
            sys.exit(f"smoke: the agent ended with {agent.returncode}")
        if time.monotonic() > end:
            sys.exit("smoke: the agent does not get ready")
        time.sleep(0.1)


def call(method: str, url: str, body: Any = None) -> Any:
    """Speak to the agent."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)


def draw_subject() -> bytes:
    """Draw a red disc on grey, as PNG."""
    y, x = np.mgrid[0:512, 0:512]
    image = np.full((512, 512, 3), 200, np.uint8)
    image[(x - 256) ** 2 + (y - 256) ** 2 < 160**2] = (180, 40, 30)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    main(sys.argv[1])
