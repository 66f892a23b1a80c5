import re

import pytest


@pytest.fixture(name="text")
def _text(image):
    """The Dockerfile, each instruction on a line of its own."""
    return (image / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


class TestDockerfile:
    def test_copies_only_what_the_repository_has(self, text, image):
        copies = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
        sources = [source for sources in copies for source in sources]

        assert "requirements/vm.txt" in sources
        assert [name for name in sources if not (image.parent / name).exists()] == []

    def test_installs_from_the_locks_that_it_copied(self, text, image):
        copied = set()
        for sources, target in re.findall(r"(?m)^COPY (.+) (\S+)$", text):
            for source in sources.split():
                name = source.rpartition("/")[2] if target.endswith("/") else ""
                copied.add(target + name)

        locks = re.findall(r"/build/\S+\.txt", text)

        assert len(locks) == 2
        assert set(locks) <= copied
