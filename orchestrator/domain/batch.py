"""A batch as it is stored: ``request.json`` under its id."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from orchestrator.domain.job import JobRow, number_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSource:
    """Where one image of a batch comes from.

    Attributes:
        number: Within the batch, from 1.
        name: Of the file, if it came with one.
        url: To fetch; it may carry a secret. None for an image that came with the request.
        path: Of the bytes as they were sent, until they are normalised. None for a URL.
        size_bytes: Of the file under `path`.
    """

    number: int
    name: str | None = None
    url: str | None = field(default=None, repr=False)
    path: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was asked for in one call.

    Attributes:
        rows: Of its jobs, as they were at first.
        sources: One for each row. Batches of older versions have none: their images were
            normalised before the batch was stored.
        refused: Images that older versions refused without giving them a job:
            ``{number, name, error}``.
        asked: Fields of the request beside its images, equal for all jobs.
    """

    batch_id: str
    rows: tuple[JobRow, ...]
    sources: tuple[BatchSource, ...] = ()
    refused: tuple[dict[str, Any], ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)

    def source(self, number: int) -> BatchSource | None:
        """Give the source of an image; None for a batch of an older version."""
        return next((source for source in self.sources if source.number == number), None)

    def items(self) -> list[dict[str, Any]]:
        """List what was asked for, in order: ``{number, name, job_id}``, or what was refused."""
        names = {source.number: source.name for source in self.sources}
        jobs = [
            {"number": number, "name": names.get(number), "job_id": row.job_id}
            for row in self.rows
            for number in (number_of(row.job_id),)
        ]
        return sorted([*jobs, *self.refused], key=lambda item: item["number"])

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object."""
        return {
            "id": self.batch_id,
            "rows": [row.to_json() for row in self.rows],
            "sources": [asdict(source) for source in self.sources],
            "refused": list(self.refused),
            "asked": self.asked,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build from the JSON object; fields that a newer app added are ignored.

        Raises:
            KeyError: It is the request of a single job.
        """
        fields = BatchSource.__slots__
        return cls(
            rows=tuple(JobRow.from_json(row) for row in data["rows"]),
            batch_id=data["id"],
            sources=tuple(
                BatchSource(**{name: source[name] for name in fields if name in source})
                for source in data.get("sources", ())
            ),
            refused=tuple(data.get("refused", ())),
            asked=dict(data.get("asked", {})),
        )
