import json
import struct

import pytest

from gpu_agent.engines.hunyuan3d.weights import MANIFEST, Weights, main, write_manifest
from gpu_agent.errors import EngineError

TENSORS = "owner/model/part/model.fp16.safetensors"
CONFIG = "owner/model/part/config.yaml"


def safetensors(data=b"12345678"):
    header = json.dumps({"t": {"dtype": "U8", "shape": [8], "data_offsets": [0, len(data)]}})
    return struct.pack("<Q", len(header)) + header.encode() + data


@pytest.fixture(name="folder")
def _folder(tmp_path):
    part = tmp_path / "owner" / "model" / "part"
    part.mkdir(parents=True)
    (tmp_path / TENSORS).write_bytes(safetensors())
    (tmp_path / CONFIG).write_text("a: 1\n")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "lock").touch()
    write_manifest(tmp_path, {"owner/model": "abc"})
    return tmp_path


def check(folder, part="owner/model/part"):
    Weights.open(folder).check_sizes_and_headers([part])


class TestManifest:
    def test_names_every_file_but_hidden_ones(self, folder):
        weights = Weights.open(folder)

        assert set(weights.files) == {TENSORS, CONFIG}
        assert weights.revisions == {"owner/model": "abc"}
        weights.verify()
        check(folder)

    def test_has_a_fingerprint_that_changes_with_any_byte(self, folder):
        before = Weights.open(folder).fingerprint
        (folder / CONFIG).write_text("a: 2\n")

        assert write_manifest(folder, {}).fingerprint != before

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            "[]",
            '{"format": 2}',
            '{"format": 1, "files": 3}',
            '{"files": {}, "revisions": {}}',
        ],
    )
    def test_is_refused_when_it_cannot_be_read(self, folder, text):
        (folder / MANIFEST).write_text(text)

        with pytest.raises(EngineError, match="can't be read") as caught:
            Weights.open(folder)
        assert caught.value.code == "weights_missing"

    def test_is_missed(self, tmp_path):
        with pytest.raises(EngineError, match="is missing") as caught:
            Weights.open(tmp_path)
        assert caught.value.code == "weights_missing"


class TestCheckSizesAndHeaders:
    def test_misses_a_file(self, folder):
        (folder / CONFIG).unlink()

        with pytest.raises(EngineError, match=r"config\.yaml is missing"):
            check(folder)

    @pytest.mark.parametrize("part", ["owner/model/other", "owner/model/par"])
    def test_misses_a_part(self, folder, part):
        with pytest.raises(EngineError, match="is not among the weights"):
            check(folder, part)

    def test_notices_another_size(self, folder):
        (folder / TENSORS).write_bytes(safetensors() + b"x")

        with pytest.raises(EngineError, match=r"has \d+ bytes instead of \d+") as caught:
            check(folder)
        assert caught.value.code == "weights_corrupt"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no safetensors header"),
            (b"\xff" * 50, "no safetensors header"),
            (struct.pack("<Q", 4) + b"{{{{" + b"x" * 8, "broken safetensors header"),
            (struct.pack("<Q", 2) + b"[]" + b"x" * 8, "broken safetensors header"),
            (safetensors()[:-1], "does not end where its header says"),
            (safetensors() + b"x", "does not end where its header says"),
        ],
    )
    def test_notices_a_broken_header(self, folder, content, message):
        (folder / TENSORS).write_bytes(content)
        write_manifest(folder, {})

        with pytest.raises(EngineError, match=message):
            check(folder)

    def test_leaves_other_parts_alone(self, folder):
        (folder / TENSORS).unlink()

        check(folder, CONFIG)


class TestVerify:
    def test_notices_one_changed_byte(self, folder):
        content = bytearray((folder / TENSORS).read_bytes())
        content[-1] ^= 1
        (folder / TENSORS).write_bytes(content)

        check(folder)
        with pytest.raises(EngineError, match="is not the file that the manifest names"):
            Weights.open(folder).verify()


class TestMain:
    def test_writes_and_verifies(self, folder, capsys):
        assert main(["write", "--revision", "owner/model=def", str(folder)]) == 0
        assert main(["verify", str(folder)]) == 0

        assert Weights.open(folder).revisions == {"owner/model": "def"}
        assert "2 files" in capsys.readouterr().out

    def test_says_in_one_line_what_is_wrong(self, folder, capsys):
        (folder / CONFIG).write_text("a: 3\n")

        assert main(["verify", str(folder)]) == 1

        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("weights: ")
        assert "config.yaml" in line

    @pytest.mark.parametrize("revision", ["owner/model", "=abc", "owner/model="])
    def test_refuses_a_revision_that_is_none(self, folder, revision):
        with pytest.raises(SystemExit):
            main(["write", "--revision", revision, str(folder)])
