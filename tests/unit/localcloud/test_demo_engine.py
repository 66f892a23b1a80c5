import pytest

from gpu_agent.engines.hunyuan3d.presets import PRESETS, TEXTURE_PARTS
from gpu_agent.engines.hunyuan3d.weights import write_manifest
from gpu_agent.errors import EngineError
from localcloud import demo_engine
from localcloud.demo_engine import prepare_engine
from localcloud.last_words import ExplainedError


def with_weights(folder, *names, texture=False):
    parts = [part for name in names for part in PRESETS[name].parts]
    for part in [*parts, *(TEXTURE_PARTS if texture else ())]:
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "config.yaml").touch()
    write_manifest(folder, {})
    return folder


@pytest.fixture(name="has_gpu", params=[True, False], ids=["gpu", "no gpu"])
def _has_gpu(request, monkeypatch):
    found = "/usr/bin/nvidia-smi" if request.param else None
    monkeypatch.setattr(demo_engine.shutil, "which", lambda _name: found)
    monkeypatch.setattr(demo_engine, "version", lambda _name: "2.13.0")
    return request.param


class TestPrepareEngine:
    def test_leaves_everything_to_the_agent_for_the_preview(self, tmp_path):
        engine = prepare_engine("preview", None, tmp_path)

        assert (engine.environ, engine.options, engine.told) == ({}, {}, "")

    def test_offers_the_presets_whose_weights_are_there(self, tmp_path, has_gpu):
        folder = with_weights(tmp_path / "w", "standard", "high", texture=True)

        engine = prepare_engine("hunyuan3d", folder, tmp_path)

        assert engine.environ["GPU_ENGINE_PRESETS"] == "standard,high"
        assert engine.environ["GPU_ENGINE_WEIGHTS_DIR"] == str(folder)
        assert engine.environ["GPU_ENGINE_DEVICE"] == ("cuda" if has_gpu else "cpu")
        assert engine.options == {"preset": "standard", "texture": True}
        assert ("no GPU" in engine.told) is not has_gpu

    def test_leaves_a_gpu_alone_that_the_torch_at_hand_does_not_know(
        self, tmp_path, monkeypatch, has_gpu
    ):
        monkeypatch.setattr(demo_engine, "version", lambda _name: "2.13.0+cpu")

        engine = prepare_engine("hunyuan3d", with_weights(tmp_path / "w", "draft"), tmp_path)

        assert engine.environ["GPU_ENGINE_DEVICE"] == "cpu"
        assert ("knows no GPU" in engine.told) is has_gpu

    def test_paints_on_a_gpu_only_with_the_weights_for_it(self, tmp_path, has_gpu):
        engine = prepare_engine("hunyuan3d", with_weights(tmp_path / "w", "draft"), tmp_path)

        assert engine.options["texture"] is not has_gpu
        assert engine.environ["GPU_ENGINE_TEXTURE"] == str(not has_gpu).lower()

    def test_names_what_it_looks_for_where_no_preset_is_whole(self, tmp_path):
        folder = with_weights(tmp_path / "w", "draft")
        bundle, vae = PRESETS["draft"].parts
        (folder / vae / "config.yaml").unlink()
        write_manifest(folder, {})

        with pytest.raises(ExplainedError, match=bundle):
            prepare_engine("hunyuan3d", folder, tmp_path)

    def test_says_that_there_is_no_manifest(self, tmp_path):
        with pytest.raises(EngineError, match=r"weights\.json is missing"):
            prepare_engine("hunyuan3d", tmp_path, tmp_path)

    @pytest.mark.engine
    def test_makes_tiny_weights_where_none_are_named(self, tmp_path):
        engine = prepare_engine("hunyuan3d", None, tmp_path)

        assert "tiny weights" in engine.told
        assert (tmp_path / "weights" / "weights.json").is_file()
        assert engine.environ["GPU_ENGINE_PRESETS"] == engine.options["preset"]
