from pathlib import Path

from coldforge.following import Followed
from coldforge.models import JobStatus
from coldforge.submitting import describe_ending
from coldforge.targets import FileTarget


class TestDescribeEnding:
    def test_tells_the_file_the_model_and_what_is_less_than_was_asked_for(self):
        figures = {"faces": 1200, "watertight": True, "notes": ["Coarser.", "Another seed."]}
        job = Followed(
            "mug.jpg",
            "a",
            status=JobStatus("a", "succeeded", raw={"figures": figures}),
            saved={"model.glb": FileTarget(Path("mug.glb"))},
        )

        line = describe_ending(job)

        assert line == "mug.jpg: mug.glb (1,200 faces, watertight) Coarser. Another seed."

    def test_needs_no_status(self):
        assert describe_ending(Followed("mug.jpg", "a")) == "mug.jpg: done"
