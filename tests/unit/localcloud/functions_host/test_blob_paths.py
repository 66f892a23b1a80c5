import pytest

from localcloud.functions_host.blob_paths import BlobPath
from localcloud.functions_host.errors import AppLoadError


class TestBlobPath:
    @pytest.mark.parametrize(
        ("path", "name", "tokens"),
        [
            ("inbox/{name}", "a.png", {"name": "a.png"}),
            ("inbox/{name}", "deep/er/a.png", {"name": "deep/er/a.png"}),
            ("inbox/{name}.{ext}", "a.b.png", {"name": "a.b", "ext": "png"}),
            ("inbox/{batch}/{name}.png", "7/a.png", {"batch": "7", "name": "a"}),
            ("inbox/original-{name}", "original-a.png", {"name": "a.png"}),
            ("inbox/{{20140101}}-{name}", "{20140101}-sound", {"name": "sound"}),
            ("inbox/fixed.txt", "fixed.txt", {}),
            ("inbox", "any/thing", {}),
        ],
    )
    def test_reads_the_tokens_of_what_fits(self, path, name, tokens):
        assert BlobPath(path).match(name) == tokens

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("inbox/{name}.png", "a.jpg"),
            ("inbox/{name}.png", "a.PNG"),
            ("inbox/{name}.png", "a_png"),
            ("inbox/original-{name}", "a-original-b"),
            ("inbox/fixed.txt", "fixed.txt.bak"),
        ],
    )
    def test_knows_what_does_not_fit(self, path, name):
        assert BlobPath(path).match(name) is None

    @pytest.mark.parametrize(
        ("path", "container", "prefix"),
        [
            ("inbox/a/b-{name}.png", "inbox", "a/b-"),
            ("inbox/{{x}}{name}-z", "inbox", "{x}"),
            ("inbox", "inbox", ""),
        ],
    )
    def test_knows_what_all_names_begin_with(self, path, container, prefix):
        read = BlobPath(path)

        assert (read.container, read.prefix) == (container, prefix)

    @pytest.mark.parametrize(
        "path",
        ["", "/a", "{box}/a", "In Box/a", "inbox/{a", "inbox/a}", "inbox/{}", "inbox/{a}{a}"],
    )
    def test_refuses_the_rest(self, path):
        with pytest.raises(AppLoadError, match="blob path"):
            BlobPath(path)
