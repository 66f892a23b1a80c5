"""rembg is used only where it and its weights already are."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gpu_agent.engines.preview.matting import find_weights, load_matting, region_from_mask


class TestFindWeights:
    def test_finds_nothing_in_an_empty_home(self, tmp_path):
        assert find_weights({"HOME": str(tmp_path)}) is None

    @pytest.mark.parametrize("place", ["u2net.onnx", "models/u2net/u2net.onnx"])
    @pytest.mark.parametrize("variable", ["U2NET_HOME", "REMBG_HOME"])
    def test_finds_weights_in_either_layout(self, tmp_path, place, variable):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")

        assert find_weights({variable: str(tmp_path)}) == "u2net"

    def test_ignores_an_empty_file(self, tmp_path):
        (tmp_path / "u2net.onnx").touch()

        assert find_weights({"U2NET_HOME": str(tmp_path)}) is None

    def test_prefers_the_better_model(self, tmp_path):
        for name in ("u2netp", "isnet-general-use"):
            (tmp_path / f"{name}.onnx").write_bytes(b"weights")

        assert find_weights({"U2NET_HOME": str(tmp_path)}) == "isnet-general-use"


class TestLoadMatting:
    def test_gives_nothing_without_weights(self, tmp_path):
        assert load_matting({"HOME": str(tmp_path)}) is None

    def test_names_the_session_and_hands_on_the_mask(self, tmp_path, monkeypatch):
        (tmp_path / "u2net.onnx").write_bytes(b"weights")
        asked = []
        fake = SimpleNamespace(
            __spec__=SimpleNamespace(name="rembg"),
            new_session=lambda name, providers: asked.append((name, providers)) or "session",
            remove=lambda image, session, only_mask: Image.new("L", image.size, 255),
        )
        monkeypatch.setitem(sys.modules, "rembg", fake)

        find = load_matting({"U2NET_HOME": str(tmp_path)})
        region = find(Image.new("RGB", (2048, 1024)))

        assert asked == [("u2net", ["CPUExecutionProvider"])]
        assert region.box == (0, 0, 2048, 1024)
        assert region.coverage.shape == (512, 1024)


def test_a_mask_becomes_a_region_of_the_whole_photo():
    mask = Image.fromarray(np.array([[0, 255], [51, 0]], np.uint8))

    region = region_from_mask(Image.new("RGB", (200, 100)), mask)

    assert region.box == (0, 0, 200, 100)
    np.testing.assert_allclose(region.coverage, [[0, 1], [0.2, 0]])
