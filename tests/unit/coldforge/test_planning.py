"""What a command line means."""

from pathlib import Path

import pytest

from coldforge.planning import choose_labels, choose_paths, parse_pairs


class TestChoosePaths:
    def test_names_models_after_their_photos(self):
        photos = ["a/x.jpg", "https://h/y.png?sig=1", "-"]

        paths = choose_paths(photos, None, suffix=".glb")

        assert paths == [Path("x.glb"), Path("y.glb"), Path("photo.glb")]

    def test_takes_a_file_for_one_photo(self):
        assert choose_paths(["x.jpg"], Path("out/m.glb"), suffix=".glb") == [Path("out/m.glb")]

    def test_refuses_one_file_for_many_photos(self):
        with pytest.raises(ValueError, match="name a folder"):
            choose_paths(["x.jpg", "y.jpg"], Path("m.glb"), suffix=".glb")

    def test_never_gives_two_photos_one_file(self):
        paths = choose_paths(["a/x.jpg", "b/x.png"], Path("out"), suffix=".glb")

        assert paths == [Path("out/x.glb"), Path("out/x-2.glb")]

    @pytest.mark.parametrize("other", ["CHAIR\u0301.jpg", "chair\u0301.jpg"])
    def test_gives_no_two_names_that_a_file_system_may_take_for_one(self, other):
        """macOS and Windows fold case, and macOS the two ways to write an accent."""
        first, second = choose_paths(["chaiŕ.jpg", other], None, suffix=".glb")

        assert second.stem.endswith("-2"), (first, second)

    def test_knows_a_folder_with_a_dot(self, tmp_path):
        folder = tmp_path / "v1.0"
        folder.mkdir()

        assert choose_paths(["x.jpg"], folder, suffix=".glb") == [folder / "x.glb"]


class TestChooseLabels:
    def test_tells_photos_of_one_name_apart(self):
        assert choose_labels(["a/x.jpg", "b/x.jpg"]) == ["x.jpg", "x.jpg (2)"]

    def test_can_be_printed_whatever_the_name_is_made_of(self):
        assert choose_labels(["b\udcff.jpg", "b\udcfe.jpg"]) == ["b\ufffd.jpg", "b\ufffd.jpg (2)"]


class TestParsePairs:
    def test_reads_json_and_text(self):
        parsed = parse_pairs(["seed=7", "texture=false", "note=blue=good", "empty="])

        assert parsed == {"seed": 7, "texture": False, "note": "blue=good", "empty": ""}

    @pytest.mark.parametrize("pair", ["seed", "=7"])
    def test_refuses_what_is_no_pair(self, pair):
        with pytest.raises(ValueError, match="name=value"):
            parse_pairs([pair])
