"""Files are found to be writable, and new, before anything is sent."""

import os
from pathlib import Path

import pytest

from coldforge.targets import FileTarget, Stdout, prepare


class TestPrepare:
    def test_leaves_nothing_but_the_folders(self, tmp_path):
        prepare([FileTarget(tmp_path / "new" / "deep" / "a.glb"), Stdout()], [])

        assert [path.name for path in tmp_path.rglob("*")] == ["new", "deep"]

    @pytest.mark.parametrize("name", ["x" * 300 + ".glb", "字" * 85 + ".glb", "a\0b.glb"])
    def test_refuses_a_name_that_the_folder_does_not_take(self, tmp_path, name):
        with pytest.raises(OSError):
            prepare([FileTarget(tmp_path / "ok.glb"), FileTarget(tmp_path / name)], [])

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["x" * 251 + ".glb", "字" * 80 + ".glb"])
    def test_takes_the_longest_name_that_the_folder_takes(self, tmp_path, name):
        prepare([FileTarget(tmp_path / name)], [])

    def test_refuses_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "models").write_text("")

        with pytest.raises(OSError):
            prepare([FileTarget(tmp_path / "models" / "a.glb")], [])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    @pytest.mark.parametrize("replaces", [False, True])
    def test_refuses_a_folder_that_takes_no_file(self, tmp_path, replaces):
        (tmp_path / "a.glb").write_text("")
        tmp_path.chmod(0o500)

        with pytest.raises(PermissionError):
            prepare([FileTarget(tmp_path / f"{'a' if replaces else 'b'}.glb", replaces)], [])

        tmp_path.chmod(0o700)

    def test_refuses_to_write_over_a_file(self, tmp_path):
        path = tmp_path / "ball.glb"
        path.write_text("mine")

        with pytest.raises(FileExistsError, match="--force"):
            prepare([FileTarget(path)], [])

        assert path.read_text() == "mine"

    def test_refuses_a_link_that_leads_nowhere(self, tmp_path):
        (tmp_path / "ball.glb").symlink_to(tmp_path / "nowhere")

        with pytest.raises(FileExistsError):
            prepare([FileTarget(tmp_path / "ball.glb")], [])

    def test_replaces_a_file_where_that_is_wanted(self, tmp_path):
        path = tmp_path / "ball.glb"
        path.write_text("mine")

        prepare([FileTarget(path, replaces=True)], [])

        assert path.read_text() == "mine"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("path", ["/dev/null", "/tmp"])
    def test_replaces_files_only(self, path):
        with pytest.raises(FileExistsError, match="not a file"):
            prepare([FileTarget(Path(path), replaces=True)], [])

    def test_never_replaces_the_photo_itself(self, tmp_path):
        photo = tmp_path / "ball.jpg"
        photo.write_text("mine")
        (tmp_path / "same.jpg").hardlink_to(photo)

        with pytest.raises(FileExistsError, match="the photo itself"):
            prepare([FileTarget(tmp_path / "same.jpg", replaces=True)], [photo])

    @pytest.mark.parametrize("replaces", [False, True])
    def test_refuses_to_write_a_file_twice(self, tmp_path, replaces):
        target = FileTarget(tmp_path / "a.png", replaces)

        with pytest.raises(FileExistsError, match="twice"):
            prepare([target, target], [])
