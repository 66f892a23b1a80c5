"""The agent as it is run, its engine the real one on tiny weights, seen over HTTP."""

import importlib.metadata
import io
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw

from benchmarks.surfaces import is_same_surface
from localcloud.ports import choose_free_ports
from tests.integration.gpu_agent.conftest import AgentProcess

pytestmark = pytest.mark.engine

SMALL = {"octree_resolution": 32, "flash_vdm": False, "face_count": 2000, "steps": 2}
WHOLE = SMALL | {"face_count": 200_000}
"""No face is given up: which ones would be is decided by the last bits of the vertices."""


def draw_photo(red: int = 150, width: int = 60) -> bytes:
    """Draw an ellipse on an even background: what the tiny background model cuts out."""
    picture = Image.new("RGB", (160, 160), (205, 205, 205))
    ImageDraw.Draw(picture).ellipse((80 - width, 30, 80 + width, 130), fill=(red, 60, 40))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


class EngineAgent(AgentProcess):
    """The agent with the real engine."""

    def __init__(self, folder: Path, port: int, weights: Path) -> None:
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        super().__init__(
            folder,
            port,
            TMPDIR=str(self.tmp),
            OMP_NUM_THREADS="1",
            GPU_AGENT_ENGINE="hunyuan3d",
            GPU_ENGINE_WEIGHTS_DIR=str(weights),
            GPU_ENGINE_DEVICE="cpu",
            GPU_ENGINE_PRESETS="draft,high",
            GPU_ENGINE_TORCH_THREADS="1",
            GPU_ENGINE_FINISHERS="1",
            GPU_ENGINE_PICTURE_PX="256",
            GPU_ENGINE_TEXTURE_EDGE_PX="128",
            GPU_ENGINE_LEAST_FREE_GIB="0",
        )

    def make(self, job_id: str, photo: bytes | None = None, **options) -> dict:
        """Make a model; give the job's last view."""
        path = self.store / f"jobs/jobs/{job_id}/photo.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo or draw_photo())
        asked = {"preset": "high", "texture": False, "seed": 1, **SMALL, **options}
        self.submit(job_id, input_path=f"jobs/jobs/{job_id}/photo.png", options=asked)
        return self.await_over(job_id)[-1]

    def temporary_files(self) -> set[Path]:
        """Give what lies in the TMPDIR of the agent and of its processes."""
        return {*self.tmp.rglob("*"), *(self.data / "work").rglob("*")}

    def read_mesh(self, view: dict) -> trimesh.Trimesh:
        assert view["state"] == "succeeded", view["error"]
        data = (self.store / view["manifest"]["artifacts"][0]["path"]).read_bytes()
        return trimesh.load(io.BytesIO(data), file_type="glb", force="mesh", process=False)


@pytest.fixture(name="real", scope="module")
def _real(tmp_path_factory, weights_folder):
    """Start the agent once: it imports torch, which takes its time."""
    agent = EngineAgent(tmp_path_factory.mktemp("agent"), choose_free_ports(1)[0], weights_folder)
    # The first import of rembg on a fresh environment compiles for minutes on a busy machine.
    agent.start(limit_s=400.0)
    yield agent
    agent.terminate()
    agent.session.close()


class TestShape:
    def test_is_closed_and_differs_by_image_and_by_seed(self, real):
        first, again, other_image, other_seed = (
            real.read_mesh(real.make(job_id, photo, seed=seed, **WHOLE))
            for job_id, photo, seed in (
                ("first", draw_photo(), 1),
                ("again", draw_photo(), 1),
                ("image", draw_photo(40, 30), 1),
                ("seed", draw_photo(), 2),
            )
        )

        for mesh in (first, other_image, other_seed):
            closed = mesh.copy()
            closed.merge_vertices(merge_norm=True, merge_tex=True)
            assert closed.is_watertight
        assert is_same_surface(first, again)
        assert not is_same_surface(first, other_image)
        assert not is_same_surface(first, other_seed)

    def test_has_a_manifest_that_tells_the_weights_and_the_licence(self, real):
        manifest = real.make("told")["manifest"]

        result = manifest["result"]
        assert manifest["engine"]["version"] == f"1.0+{result['weights']}"
        assert result["revisions"]["tencent/Hunyuan3D-2"] == "tiny"
        assert (result["device"], result["hy3dgen"]) == ("cpu", "2.0.2")
        assert result["torch"] == importlib.metadata.version("torch")
        assert "stand-in" in result["texture_notice"]
        # More points at once than fit a CPU's caches make it slower, not faster.
        assert result["num_chunks"] == 8000
        assert manifest["mesh"]["watertight"] is True
        assert manifest["mesh"]["faces"] <= 2000
        assert "Tencent Hunyuan 3D 2.0 Community License" in manifest["notice"]
        picture = real.store / manifest["artifacts"][1]["path"]
        with Image.open(picture) as image:
            assert image.size == (256, 192)

    def test_leaves_no_file_behind(self, real):
        """Guard (e): hy3dgen's own post-processing leaves seven files a job in TMPDIR."""
        before = real.temporary_files()

        for texture in (False, True):
            view = real.make(f"tidy-{texture}", texture=texture)
            assert view["state"] == "succeeded"

        assert real.temporary_files() == before
        assert not any(path.is_file() for path in real.tmp.rglob("*"))
        assert not any((real.data / "work").rglob("*.*"))

    def test_says_that_there_is_no_subject(self, real):
        blank = io.BytesIO()
        Image.new("RGB", (96, 96), (205, 205, 205)).save(blank, "PNG")

        error = real.make("blank", blank.getvalue())["error"]

        assert (error["code"], error["stage"]) == ("no_subject_found", "background")
        assert error["retryable"] is False

    def test_refuses_an_option_that_it_does_not_know(self, real):
        error = real.make("typo", octre_resolution=64)["error"]

        assert (error["code"], error["retryable"]) == ("invalid_options", False)


class TestTexture:
    def test_is_painted_and_is_the_subjects(self, real):
        view = real.make("painted", draw_photo(red=220), texture=True, texture_size=256)

        mesh = real.read_mesh(view)
        texture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"), np.float32)
        assert view["manifest"]["mesh"]["textured"] is True
        assert texture.std() > 2
        assert {"diffuse", "decode", "paint"} == view["manifest"]["result"]["gpu_seconds"].keys()
        assert "texture" in view["stage_seconds"]


class TestCrowd:
    def test_gets_what_each_asked_for_from_one_batch(self, real):
        """The peer gives wrong meshes under concurrency, with no error."""
        alone = {
            seed: real.read_mesh(real.make(f"alone-{seed}", seed=seed, **WHOLE))
            for seed in (5, 6, 7)
        }
        for seed in alone:
            path = real.store / f"jobs/jobs/crowd-{seed}/photo.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw_photo())
        for seed in alone:
            options = {"preset": "high", "texture": False, "seed": seed, **WHOLE}
            path = f"jobs/jobs/crowd-{seed}/photo.png"
            real.submit(f"crowd-{seed}", input_path=path, options=options)
        views = {seed: real.await_over(f"crowd-{seed}")[-1] for seed in alone}

        for seed, mesh in alone.items():
            found = real.read_mesh(views[seed])
            assert is_same_surface(found, mesh)
            assert not any(
                is_same_surface(found, alone[other]) for other in alone if other != seed
            )


class TestLog:
    def test_holds_json_lines_only(self, real):
        real.make("logged")

        assert all(
            isinstance(json.loads(line), dict) for line in real.log.read_text().splitlines()
        )


class TestWeights:
    def test_that_are_not_whole_end_the_agent_with_the_reason(self, tmp_path, own_weights):
        bundle = next(own_weights.rglob("hunyuan3d-dit-v2-0/*.safetensors"))
        bundle.write_bytes(bundle.read_bytes()[:-100])
        agent = EngineAgent(tmp_path, choose_free_ports(1)[0], own_weights)
        agent.start(awaited_status=503, limit_s=120.0, GPU_AGENT_UNFIT_S="1")

        told = agent.call("GET", "/ready").json()
        status = agent.process.wait(30)
        agent.session.close()

        assert told["phase"] == "failed"
        assert "copy it again" in told["detail"]
        assert status == 3
