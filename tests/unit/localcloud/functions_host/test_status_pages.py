import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from localcloud.functions_host import status_pages
from localcloud.functions_host.events import EventType, execution_started, make
from localcloud.functions_host.store import InstanceRow

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
ROW = InstanceRow("i", "x", "o", "", "Completed", '"{\\"a\\": 1}"', "[1]", None, NOW, NOW)


def show(*events, shows_input=True, shows_output=True):
    texts = [json.dumps(event) for event in events]
    return status_pages.to_history(texts, shows_input=shows_input, shows_output=shows_output)


def ordered(kind, key, **fields):
    return make(kind, NOW, event_id=key, Name="f", Version="", Input='"in"', **fields)


class TestStatus:
    def test_shows_moments_in_whole_seconds(self):
        page = status_pages.to_status(ROW, shows_input=True)

        assert page["createdTime"] == page["lastUpdatedTime"] == "2026-01-02T03:04:05Z"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [(None, None), ("[1]", [1]), ("enough", "enough"), ("", ""), ('"x"', "x")],
    )
    def test_parses_what_is_json_and_keeps_the_rest(self, text, shown):
        row = replace(ROW, output=text, custom_status=text)

        page = status_pages.to_status(row, shows_input=True)

        assert page["output"] == page["customStatus"] == shown

    def test_parses_an_input_once_only(self):
        assert status_pages.to_status(ROW, shows_input=True)["input"] == '{"a": 1}'


class TestHistory:
    def test_leaves_out_the_marks_of_episodes(self):
        marks = (EventType.ORCHESTRATOR_STARTED, EventType.ORCHESTRATOR_COMPLETED)

        assert show(*(make(kind, NOW) for kind in marks)) == []

    def test_names_the_function_of_the_start(self):
        start = execution_started(
            NOW,
            name="o",
            version="",
            input_text='"in"',
            instance_id="i",
            execution_id="x",
            parent=None,
        )

        (page,) = show(start)

        assert page["EventType"] == "ExecutionStarted"
        assert page["FunctionName"] == "o"
        assert page["Input"] == "in"
        hidden = {"Name", "OrchestrationInstance", "ParentInstance", "Version", "Tags"}
        assert not hidden & set(page)
        assert "Input" not in show(start, shows_input=False)[0]

    @pytest.mark.parametrize(
        ("order", "answer"),
        [
            (EventType.TASK_SCHEDULED, EventType.TASK_COMPLETED),
            (EventType.SUB_ORCHESTRATION_CREATED, EventType.SUB_ORCHESTRATION_COMPLETED),
        ],
    )
    def test_folds_an_order_into_its_answer(self, order, answer):
        events = (ordered(order, 0), make(answer, NOW, TaskScheduledId=0, Result="[1]"))

        (page,) = show(*events)

        assert page["FunctionName"] == "f"
        assert page["ScheduledTime"] == events[0]["Timestamp"]
        assert (page["Input"], page["Result"]) == ("in", [1])
        assert not {"TaskScheduledId", "EventId", "IsPlayed"} & set(page)
        assert not {"Input", "Result"} & set(
            show(*events, shows_input=False, shows_output=False)[0]
        )

    @pytest.mark.parametrize(
        ("order", "answer"),
        [
            (EventType.TASK_SCHEDULED, EventType.TASK_FAILED),
            (EventType.SUB_ORCHESTRATION_CREATED, EventType.SUB_ORCHESTRATION_FAILED),
        ],
    )
    def test_keeps_the_reason_of_a_failure(self, order, answer):
        failed = make(answer, NOW, TaskScheduledId=0, Reason="boom", Details="")

        (page,) = show(ordered(order, 0), failed, shows_output=False)

        assert (page["FunctionName"], page["Reason"]) == ("f", "boom")

    def test_shows_an_order_without_answer_by_itself(self):
        (page,) = show(ordered(EventType.TASK_SCHEDULED, 0))

        assert page["EventType"] == "TaskScheduled"
        assert page["Name"] == "f"
        assert "Version" not in page

    def test_leaves_out_the_number_of_a_timer(self):
        fired = make(EventType.TIMER_FIRED, NOW, TimerId=3, FireAt="2026-01-01T00:00:00Z")

        (page,) = show(fired)

        assert "TimerId" not in page
        assert page["FireAt"]

    def test_tells_an_end_in_words_and_its_result_when_asked(self):
        end = make(
            EventType.EXECUTION_COMPLETED, NOW, event_id=1, OrchestrationStatus=1, Result='"out"'
        )

        assert show(end)[0]["Result"] == "out"
        assert show(end)[0]["OrchestrationStatus"] == "Completed"
        assert "Result" not in show(end, shows_output=False)[0]
