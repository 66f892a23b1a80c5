"""The answers that the README prints are those that the routes give."""

import json
import re
from dataclasses import replace
from pathlib import Path

from orchestrator.domain.job import JobState
from orchestrator.domain.pool import Enqueue
from orchestrator.domain.pool.billing.allocation import cost_of
from orchestrator.domain.pool.state import Settled
from tests.unit.orchestrator.http.desk import PNG, Desk
from tests.unit.orchestrator.parts import MANIFEST

README = Path(__file__).parents[4] / "README.md"
ASKED = re.compile(
    r"(?m)^\$ curl (?P<how>[^|\n]*) \| jq (?:-c )?'\{(?P<fields>[^}]*)\}'\n(?P<answer>[^$`]*)"
)


def read_examples():
    """Give for each example its command, the fields that it picks, and the printed answer."""
    return [
        (found["how"], found["fields"].split(", "), json.loads(found["answer"]))
        for found in ASKED.finditer(README.read_text("utf-8"))
    ]


class TestReadmesExample:
    def test_prints_the_fields_that_its_command_picks(self):
        examples = read_examples()

        assert len(examples) == 3
        for _, fields, answer in examples:
            assert list(answer) == fields

    def test_prints_what_the_routes_answer(self, desk: Desk):
        posted, waiting, over = (answer for _, _, answer in read_examples())
        form = desk.post_form(PNG).body
        job_id = form["id"]
        desk.parts.apply(Enqueue(job_id=job_id, fence=1))
        queued = desk.get(job_id).body
        cost = cost_of(Settled(5.188, 10.43, 0.044, 0.01598))
        desk.parts.jobs.change(
            job_id,
            lambda row: replace(row, state=JobState.SUCCEEDED, result=MANIFEST, cost=cost),
        )
        succeeded = desk.get(job_id).body

        assert posted["status_url"].endswith(f"/api/jobs/{posted['id']}")
        assert len(posted["id"]) == len(job_id)
        ours = {"id": job_id, "status_url": form["status_url"]}
        assert {**posted, **ours} == {name: form[name] for name in posted}
        assert waiting == {name: queued[name] for name in waiting}
        assert over == {name: succeeded[name] for name in over}
