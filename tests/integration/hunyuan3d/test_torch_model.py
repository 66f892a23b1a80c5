"""The real `from_pretrained` and the real pipelines, on tiny weights with the published names."""

import os
import tempfile
import weakref
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from benchmarks.surfaces import is_same_surface
from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.model import OutOfGpuMemoryError, ShapeRequest, ShapeSettings
from gpu_agent.engines.hunyuan3d.presets import PRESETS
from gpu_agent.engines.hunyuan3d.tiny.folder import write_tiny_weights
from gpu_agent.engines.hunyuan3d.torch_model import TorchModel
from gpu_agent.engines.hunyuan3d.weights import write_manifest
from gpu_agent.errors import EngineError
from tests.integration.hunyuan3d.pictures import BLUE, RED

pytestmark = [
    pytest.mark.engine,
    # FlashVDM indexes with a list; torch says that a later release will read it otherwise.
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),
]

BASE = ShapeSettings(
    preset="high",
    steps=4,
    guidance_scale=5.0,
    octree_resolution=32,
    num_chunks=4000,
    flash_vdm=False,
)
TURBO = replace(BASE, preset="draft")
FLASH = replace(TURBO, octree_resolution=63, flash_vdm=True)


class StopError(BaseException):
    """What a callback may raise: not even an Exception."""


def request(cutout=RED, seed=1):
    return ShapeRequest(cutout_png=cutout, seed=seed)


def shape(model, settings, *requests, on_step=lambda *_: None, on_points=lambda _: None):
    latents = model.diffuse(requests or (request(),), settings, on_step)
    return [
        model.decode(latents, index, settings, on_points) for index in range(len(requests) or 1)
    ]


class TestShapes:
    @pytest.mark.parametrize("settings", [BASE, TURBO, FLASH, replace(BASE, preset="standard")])
    def test_are_closed_and_face_outward(self, model, settings):
        (mesh,) = shape(model, settings)

        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight
        assert solid.body_count == 1
        assert 0.3 < solid.volume < 4
        assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)

    def test_hold_nothing_that_flash_vdm_has_not_decoded(self, model):
        (mesh,) = shape(model, replace(FLASH, octree_resolution=126))

        assert np.isfinite(mesh.vertices).all()
        assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight
        assert solid.body_count == 1

    def test_follow_image_seed_steps_and_guidance(self, model):
        (mesh,) = shape(model, BASE)
        others = [
            shape(model, BASE, request(BLUE)),
            shape(model, BASE, request(seed=2)),
            shape(model, replace(BASE, steps=6)),
            shape(model, replace(BASE, guidance_scale=1.0)),
            shape(model, replace(BASE, preset="standard")),
        ]

        assert not any(is_same_surface(mesh, other) for (other,) in others)
        assert is_same_surface(mesh, *shape(model, BASE))

    @pytest.mark.parametrize("settings", [BASE, TURBO])
    def test_of_a_batch_are_those_of_a_batch_of_one(self, model, settings):
        requests = (request(), request(BLUE), request(seed=7))

        together = shape(model, settings, *requests)

        for one, asked in zip(together, requests, strict=True):
            (alone,) = shape(model, settings, asked)
            assert is_same_surface(one, alone)

    def test_do_not_depend_on_what_was_decoded_before(self, model):
        (before,) = shape(model, TURBO)
        shape(model, FLASH)

        assert is_same_surface(before, *shape(model, TURBO))

    def test_leave_no_file_behind(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

        shape(model, FLASH)

        assert list(tmp_path.iterdir()) == []

    def test_say_when_a_volume_has_no_surface(self, model, capfd):
        latents = model.diffuse([request()], BASE, lambda *_: None)

        with pytest.raises(EngineError) as caught:
            model.decode(latents * float("nan"), 0, BASE, lambda _: None)

        assert (caught.value.code, caught.value.retryable) == ("no_surface", True)
        capfd.readouterr()
        assert is_same_surface(*shape(model, BASE), *shape(model, BASE))


class TestProgress:
    def test_counts_every_step(self, model):
        steps = []

        shape(model, BASE, on_step=lambda done, total: steps.append((done, total)))

        assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]

    @pytest.mark.parametrize("settings", [BASE, FLASH])
    def test_never_falls_and_ends_at_one(self, model, settings):
        shares = []

        shape(model, settings, on_points=shares.append)

        assert len(shares) > 5
        assert shares == sorted(shares)
        assert (shares[-1], shares[-2] < 1) == (1.0, True)


class TestCancelling:
    def test_in_the_diffusion_leaves_the_model_usable(self, model):
        (before,) = shape(model, BASE)

        def stop(done, _total):
            if done == 2:
                raise StopError

        with pytest.raises(StopError):
            shape(model, BASE, on_step=stop)

        assert is_same_surface(before, *shape(model, BASE))

    @pytest.mark.parametrize("settings", [BASE, FLASH])
    def test_in_the_decoding_leaves_the_model_usable(self, model, settings):
        (before,) = shape(model, BASE)
        (same_before,) = shape(model, settings)

        def stop(share):
            if share > 0.3:
                raise StopError

        with pytest.raises(StopError):
            shape(model, settings, on_points=stop)

        assert is_same_surface(before, *shape(model, BASE))
        assert is_same_surface(same_before, *shape(model, settings))


class TestMemory:
    @pytest.mark.parametrize("step", ["diffuse", "decode"])
    def test_errors_have_a_name_and_leave_the_model_usable(self, model, step):
        (before,) = shape(model, BASE)
        pipeline = model.pipelines["high"]
        module = pipeline.model if step == "diffuse" else pipeline.vae.geo_decoder

        def run_out(*_):
            raise libraries.torch().OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        hook = module.register_forward_pre_hook(run_out)
        with pytest.raises(OutOfGpuMemoryError, match="out of memory"):
            shape(model, BASE)
        hook.remove()

        assert is_same_surface(before, *shape(model, BASE))

    @pytest.mark.parametrize("step", ["diffuse", "decode"])
    def test_errors_let_go_of_what_did_not_fit(self, model, step):
        """While the error is handled: whoever tries something smaller needs the memory."""
        torch = libraries.torch()
        pipeline = model.pipelines["high"]
        module = pipeline.model if step == "diffuse" else pipeline.vae.geo_decoder
        taken = []

        def run_out(*_):
            large = torch.zeros(8)
            taken.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        hook = module.register_forward_pre_hook(run_out)
        try:
            shape(model, BASE)
        except OutOfGpuMemoryError:
            is_held = taken[0]() is not None
        finally:
            hook.remove()

        assert not is_held


class TestLoading:
    def test_reads_the_names_that_the_weights_were_published_with(self, weights_folder):
        from safetensors import safe_open

        preset = PRESETS["high"]
        file = weights_folder / preset.repository / preset.bundle / "model.fp16.safetensors"

        with safe_open(file, "pt") as tensors:
            names = set(tensors.keys())

        layer = "conditioner.main_image_encoder.model.encoder.layer.0"
        assert f"{layer}.attention.attention.query.weight" in names
        assert f"{layer}.mlp.weights_in.weight" in names

    def test_reports_what_it_does(self, weights_folder):
        reports = []

        TorchModel(weights_folder, device="cpu", presets=["draft"], texture=False).load(
            lambda percent, detail: reports.append((percent, detail))
        )

        percents = [percent for percent, _ in reports]
        assert percents == sorted(percents)
        assert percents[-1] == 100
        assert any("draft" in detail for _, detail in reports)

    @pytest.mark.parametrize("what", ["cut", "gone", "other_names"])
    def test_says_in_one_line_what_is_wrong_with_the_weights(self, own_weights, what):
        preset = PRESETS["draft"]
        file = own_weights / preset.repository / preset.bundle / "model.fp16.safetensors"
        if what == "cut":
            file.write_bytes(file.read_bytes()[:-100])
        elif what == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes().replace(b".query.weight", b".q_proj_weigh"))
            write_manifest(own_weights, {})

        with pytest.raises(EngineError) as caught:
            TorchModel(own_weights, device="cpu", presets=["draft"], texture=False).load(
                lambda *_: None
            )

        code = "weights_missing" if what == "gone" else "weights_corrupt"
        assert (caught.value.code, caught.value.retryable) == (code, False)
        assert "\n" not in str(caught.value)

    def test_does_not_blame_the_weights_for_a_gpu_that_is_full(self):
        with (
            pytest.raises(EngineError, match="with what else is on the GPU") as caught,
            libraries.loading("The weights of draft"),
        ):
            raise libraries.torch().OutOfMemoryError("CUDA out of memory.")

        assert caught.value.code == "out_of_gpu_memory"

    def test_never_looks_on_the_network(self, weights_folder):
        assert os.environ["HF_HUB_OFFLINE"] == "1"

        with pytest.raises(EngineError) as caught:
            TorchModel(weights_folder / "nothing", device="cpu").load(lambda *_: None)

        assert caught.value.code == "weights_missing"


class TestTinyWeights:
    @pytest.mark.parametrize("preset", ["draft", "standard"])
    @pytest.mark.parametrize("seed", [2, 3, 17, 23, 37])
    def test_give_closed_shapes_whatever_the_seed(self, model, preset, seed):
        (mesh,) = shape(model, replace(FLASH, preset=preset), request(seed=seed))

        assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight

    def test_are_the_same_each_time(self, weights_folder, tmp_path):
        again = write_tiny_weights(tmp_path)

        for name in again.files:
            assert (tmp_path / name).read_bytes() == (weights_folder / name).read_bytes(), name
