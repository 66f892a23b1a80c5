"""A batch as it is stored, of this version and of older ones."""

from orchestrator.domain.batch import Batch, BatchSource
from orchestrator.domain.job import JobRow

BATCH = "01hf000000000000000000000b"
URL = "https://images.invalid/cup.jpg?sig=secret"
REFUSAL = {"code": "image_empty", "message": "…", "retryable": False, "stage": "intake"}


def row(number: int) -> JobRow:
    return JobRow(job_id=f"{BATCH}-{number}", created_at=1.0, awaits_image=True)


class TestBatch:
    def test_comes_back_as_it_was_stored(self):
        batch = Batch(
            batch_id=BATCH,
            rows=(row(1), row(2)),
            sources=(
                BatchSource(number=1, name="a.png", path="jobs/a/source-1", size_bytes=3),
                BatchSource(number=2, url=URL),
            ),
            asked={"options": {}, "priority": 0},
        )

        assert Batch.from_json(batch.to_json()) == batch

    def test_lists_its_items_with_their_names(self):
        batch = Batch(
            batch_id=BATCH,
            rows=(row(1), row(2)),
            sources=(BatchSource(number=1, name="a.png"), BatchSource(number=2, url=URL)),
        )

        assert batch.items() == [
            {"number": 1, "name": "a.png", "job_id": f"{BATCH}-1"},
            {"number": 2, "name": None, "job_id": f"{BATCH}-2"},
        ]

    def test_reads_what_an_older_version_stored(self):
        """Its images were normalised before it was stored, or refused without a job."""
        old_row = {"job_id": f"{BATCH}-2", "created_at": 1.0, "state": "queued"}
        refused = {"number": 1, "name": None, "error": REFUSAL}

        batch = Batch.from_json({"id": BATCH, "rows": [old_row], "refused": [refused]})

        assert batch.source(2) is None
        assert not batch.rows[0].awaits_image
        assert batch.items() == [
            refused,
            {"number": 2, "name": None, "job_id": f"{BATCH}-2"},
        ]


class TestBatchSource:
    def test_shows_no_url_to_a_log(self):
        assert "secret" not in repr(BatchSource(number=1, url=URL))
