import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from localcloud.functions_host.actions import OrchestratorAnswer, parse_answer, parse_failure
from localcloud.functions_host.decisions import (
    CallActivity,
    CallSubOrchestrator,
    Completed,
    ContinuedAsNew,
    Failed,
    SendOperation,
    StartTimer,
)
from localcloud.functions_host.events import EventType, execution_started, make
from localcloud.functions_host.replay import HTTP_ACTIVITY, replay

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HTTP_CALL = {"actionType": 8, "httpRequest": {"method": "POST", "uri": "http://x", "headers": {}}}
ENTITY_CALL = {"actionType": 7, "instanceId": "@c@k", "operation": "add", "input": "2"}


class Names:
    """A catalog of everything but what begins with 'no'."""

    def has_activity(self, name):
        return not name.startswith("no")

    has_orchestrator = has_entity = has_activity


def began(*events, parent=None):
    start = execution_started(
        NOW,
        name="o",
        version="",
        input_text=None,
        instance_id="i",
        execution_id="x",
        parent=parent,
    )
    return [make(EventType.ORCHESTRATOR_STARTED, NOW), start, *events]


def scheduled(key, name="A"):
    return make(EventType.TASK_SCHEDULED, NOW, event_id=key, Name=name, Version="", Input=None)


def completed(key, result="1"):
    return make(EventType.TASK_COMPLETED, NOW, TaskScheduledId=key, Result=result)


def failed(key):
    return make(EventType.TASK_FAILED, NOW, TaskScheduledId=key, Reason="r", Details="d")


def timer(key):
    return make(EventType.TIMER_CREATED, NOW, event_id=key, FireAt="2026-01-01T00:00:05Z")


def fired(key):
    return make(EventType.TIMER_FIRED, NOW, TimerId=key, FireAt="2026-01-01T00:00:05Z")


def raised(name, value=1):
    return make(EventType.EVENT_RAISED, NOW, Name=name, Input=json.dumps(value))


def activity(name="A"):
    return {"actionType": 0, "functionName": name, "input": "null"}


def retried(attempts, name="A"):
    return {
        "actionType": 1,
        "functionName": name,
        "input": "null",
        "retryOptions": {
            "firstRetryIntervalInMilliseconds": 5000,
            "maxNumberOfAttempts": attempts,
        },
    }


def set_timer(*, cancelled=False):
    return {"actionType": 5, "fireAt": "2026-01-01T00:00:05.000000Z", "isCanceled": cancelled}


def wait(name):
    return {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}


def every(*actions):
    return {"actionType": 12, "compoundActions": list(actions)}


def first(*actions):
    return {"actionType": 11, "compoundActions": list(actions)}


def answer(*actions, **fields):
    return OrchestratorAnswer(actions=actions, **fields)


def run(given, *events, parent=None):
    return replay(began(*events, parent=parent), given, Names())


def ids(outcome):
    return [decision.id for decision in outcome.decisions]


class TestOrder:
    def test_starts_only_the_first_action_while_it_is_pending(self):
        outcome = run(answer(activity("A"), activity("B")))

        assert outcome.decisions == (CallActivity(0, "A", "null"),)
        assert outcome.completion is None

    def test_starts_the_next_action_when_the_first_has_answered(self):
        outcome = run(answer(activity("A"), activity("B")), scheduled(0), completed(0))

        assert outcome.decisions == (CallActivity(1, "B", "null"),)

    def test_goes_on_after_a_failed_action(self):
        outcome = run(answer(activity("A"), activity("B")), scheduled(0), failed(0))

        assert ids(outcome) == [1]

    def test_goes_on_at_once_after_a_signal(self):
        signal = {"actionType": 9, "instanceId": "@e@k", "operation": "add", "input": "1"}

        outcome = run(answer(signal, activity("B")))

        assert [type(one) for one in outcome.decisions] == [SendOperation, CallActivity]
        assert ids(outcome) == [0, 1]

    def test_ignores_a_second_completion(self):
        outcome = run(
            answer(activity("A"), activity("B")), scheduled(0), completed(0), completed(0)
        )

        assert ids(outcome) == [1]

    def test_gives_equal_outcomes_for_equal_arguments(self):
        given = answer(every(activity("A"), activity("B")))

        assert run(given) == run(given)


class TestCompounds:
    def test_starts_all_children_at_once(self):
        assert ids(run(answer(every(activity("A"), activity("B"))))) == [0, 1]

    def test_task_all_waits_for_every_child_after_a_failure(self):
        given = answer(every(activity("A"), activity("B")), activity("C"))

        outcome = run(given, scheduled(0), scheduled(1, "B"), failed(0))

        assert outcome.decisions == ()

    def test_task_all_goes_on_when_the_last_child_has_answered(self):
        given = answer(every(activity("A"), activity("B")), activity("C"))

        outcome = run(given, scheduled(0), scheduled(1, "B"), failed(0), completed(1))

        assert ids(outcome) == [2]

    def test_task_any_goes_on_with_the_first_child(self):
        given = answer(first(activity("A"), activity("B")), activity("C"))

        outcome = run(given, scheduled(0), scheduled(1, "B"), completed(1))

        assert ids(outcome) == [2]

    @pytest.mark.parametrize("compound", [every, first])
    def test_an_empty_one_completes_at_once(self, compound):
        assert ids(run(answer(compound(), activity()))) == [0]

    def test_nests(self):
        given = answer(every(activity("A"), first(activity("B"), activity("C"))), activity("D"))

        outcome = run(
            given, scheduled(0), scheduled(1, "B"), scheduled(2, "C"), completed(2), completed(0)
        )

        assert ids(outcome) == [3]


class TestEvents:
    def test_a_wait_takes_no_id(self):
        assert ids(run(answer(wait("e"), activity()), raised("e"))) == [0]

    def test_an_early_event_is_kept_for_the_wait(self):
        given = answer(activity("A"), wait("e"), activity("B"))

        outcome = run(given, raised("e"), scheduled(0), completed(0))

        assert ids(outcome) == [1]

    def test_an_event_goes_to_the_newest_waiter(self):
        given = answer(first(wait("e"), activity("A")), wait("e"), activity("B"))

        outcome = run(given, scheduled(0), completed(0), raised("e"))

        assert ids(outcome) == [1]

    def test_names_match_ignoring_case(self):
        outcome = run(answer(wait("Go"), activity()), raised("gO"))

        assert ids(outcome) == [0]

    def test_a_name_in_another_case_is_an_anomaly(self):
        outcome = run(answer(wait("Go")), raised("gO"))

        assert "ignoring case" in outcome.anomalies[0]

    def test_two_different_events_before_the_first_wait_are_an_anomaly(self):
        given = answer(activity(), wait("e"))

        outcome = run(given, raised("e", 1), raised("e", 2), scheduled(0), completed(0))

        assert "came before the first wait" in outcome.anomalies[0]

    def test_an_unawaited_event_harms_nothing(self):
        outcome = run(answer(is_done=True, output=1), raised("e"))

        assert outcome.completion == Completed("1")
        assert outcome.anomalies == ()


class TestRetries:
    def test_takes_ids_for_each_attempt_and_timer(self):
        given = answer(every(retried(3)), activity("B"))
        history = [scheduled(0), failed(0), timer(1), fired(1), scheduled(2), completed(2)]

        outcome = run(given, *history)

        assert outcome.decisions == (CallActivity(3, "B", "null"),)

    def test_sets_a_timer_after_a_failure(self):
        outcome = run(answer(every(retried(3))), scheduled(0), failed(0))

        assert outcome.decisions == (StartTimer(1, NOW + timedelta(seconds=5)),)

    def test_sets_one_more_timer_after_the_last_failure_that_fires_at_once(self):
        history = [scheduled(0), failed(0), timer(1), fired(1), scheduled(2), failed(2)]

        outcome = run(answer(every(retried(2))), *history)

        assert outcome.decisions == (StartTimer(3, NOW),)

    def test_the_next_action_comes_after_that_timer(self):
        history = [scheduled(0), failed(0), timer(1), fired(1), scheduled(2), failed(2), timer(3)]
        given = answer(every(retried(2)), activity("B"))

        assert run(given, *history).decisions == ()
        assert ids(run(given, *history, fired(3))) == [4]

    def test_retries_of_a_fan_out_go_on_independently(self):
        given = answer(every(retried(2, "A"), retried(2, "B")))

        outcome = run(given, scheduled(0), scheduled(1, "B"), failed(1), failed(0))

        assert ids(outcome) == [2, 3]

    def test_retries_children_too(self):
        child = {**retried(2), "actionType": 3, "instanceId": None}

        outcome = run(answer(every(child)))

        assert outcome.decisions == (CallSubOrchestrator(0, "A", "null", "x:0", ""),)


class TestTimers:
    def test_is_recorded_though_cancelled_and_holds_nothing(self):
        given = answer(first(wait("e"), set_timer(cancelled=True)), is_done=True)

        outcome = run(given, raised("e"))

        assert ids(outcome) == [0]
        assert outcome.completion == Completed(None)

    def test_a_late_firing_of_a_cancelled_timer_changes_nothing(self):
        given = answer(first(wait("e"), set_timer(cancelled=True)), activity())

        outcome = run(given, timer(0), raised("e"), fired(0))

        assert ids(outcome) == [1]


class TestCompletion:
    def test_is_held_back_by_an_open_activity(self):
        given = answer(first(activity("A"), activity("B")), is_done=True, output=1)
        history = [scheduled(0), scheduled(1, "B"), completed(0)]

        assert run(given, *history).completion is None
        assert run(given, *history, completed(1)).completion == Completed("1")

    def test_a_failure_is_held_back_until_the_last_sibling_ends(self):
        given = answer(every(activity("A"), activity("B")), error="boom")
        history = [scheduled(0), scheduled(1, "B"), failed(0)]

        assert run(given, *history).completion is None
        assert run(given, *history).anomalies == ()
        assert run(given, *history, completed(1)).completion == Failed("boom")

    def test_is_held_back_by_a_live_timer_which_is_an_anomaly(self):
        given = answer(first(activity("A"), set_timer()), is_done=True)

        outcome = run(given, scheduled(0), timer(1), completed(0))

        assert outcome.completion is None
        assert "never cancelled" in outcome.anomalies[0]

    def test_is_not_held_back_by_an_open_wait(self):
        given = answer(first(activity("A"), wait("e")), is_done=True)

        assert run(given, scheduled(0), completed(0)).completion == Completed(None)

    def test_carries_over_only_events_that_come_after_the_switch(self):
        given = answer(activity("A"), {"actionType": 4, "input": "5"}, is_done=True)

        outcome = run(
            given, raised("lost"), scheduled(0), completed(0), raised("kept"), raised("too")
        )

        assert isinstance(outcome.completion, ContinuedAsNew)
        assert outcome.completion.input_text == '"5"'
        assert [event["Name"] for event in outcome.completion.carried] == ["kept", "too"]

    def test_a_custom_status_that_is_too_long_fails(self):
        outcome = run(answer(custom_status="x" * 9000))

        assert isinstance(outcome.completion, Failed)
        assert "UTF-16" in outcome.completion.reason

    def test_a_failure_without_state_ends_at_once(self):
        outcome = run(parse_failure("out of luck"), scheduled(0))

        assert outcome.completion == Failed("out of luck")
        assert outcome.is_fatal


class TestDeterminism:
    def test_another_name_at_the_same_place_fails(self):
        outcome = run(answer(activity("B")), scheduled(0, "A"))

        assert isinstance(outcome.completion, Failed)
        assert "Non-Deterministic" in outcome.completion.reason

    def test_an_action_that_is_gone_fails(self):
        outcome = run(answer(is_done=True), scheduled(0, "A"))

        assert outcome.is_fatal

    def test_another_kind_at_the_same_place_fails(self):
        assert run(answer(set_timer()), scheduled(0, "A")).is_fatal

    def test_names_match_ignoring_case(self):
        assert not run(answer(activity("a")), scheduled(0, "A")).is_fatal


class TestUnknownNames:
    @pytest.mark.parametrize(
        "action",
        [
            activity("nobody"),
            {**activity("nobody"), "actionType": 2},
            {"actionType": 7, "instanceId": "@nobody@k", "operation": "x", "input": "null"},
        ],
    )
    def test_fails_where_azure_hangs(self, action):
        outcome = run(answer(action))

        assert outcome.is_fatal
        assert isinstance(outcome.completion, Failed)
        assert "Running for ever" in outcome.completion.reason

    @pytest.mark.parametrize("child_id", ["i", "p", "@x"])
    def test_refuses_a_child_with_a_forbidden_id(self, child_id):
        parent = {
            "OrchestrationInstance": {"InstanceId": "p", "ExecutionId": "y"},
            "Name": "o",
            "Version": "",
            "TaskScheduleId": 0,
        }
        child = {**activity("O"), "actionType": 2, "instanceId": child_id}

        assert run(answer(child), parent=parent).is_fatal


class TestTwins:
    """Two children under one explicit id."""

    CHILD: ClassVar = {**activity("O"), "actionType": 2, "instanceId": "child"}

    def test_at_the_same_time_fail_the_parent(self):
        outcome = run(answer(every(self.CHILD, self.CHILD)))

        assert outcome.is_fatal
        assert "two sub-orchestrations have the instance id 'child'" in outcome.completion.reason

    def test_one_after_the_other_are_allowed(self):
        over = make(EventType.SUB_ORCHESTRATION_COMPLETED, NOW, TaskScheduledId=0, Result="1")
        created = make(
            EventType.SUB_ORCHESTRATION_CREATED, NOW, event_id=0, Name="O", InstanceId="child"
        )

        outcome = run(answer(self.CHILD, self.CHILD), created, over)

        assert [decision.id for decision in outcome.decisions] == [1]
        assert not outcome.is_fatal


class TestHttp:
    def test_is_an_activity_of_the_host(self):
        (decision,) = run(answer(HTTP_CALL)).decisions

        assert isinstance(decision, CallActivity)
        assert decision.name == HTTP_ACTIVITY

    def test_polls_a_202_with_ids_of_its_own_which_is_an_anomaly(self):
        reply = json.dumps({"statusCode": 202, "headers": {"Location": "http://y"}})

        outcome = run(answer(HTTP_CALL), scheduled(0, HTTP_ACTIVITY), completed(0, reply))

        assert outcome.decisions == (StartTimer(1, NOW + timedelta(seconds=30)),)
        assert "202" in outcome.anomalies[0]


class TestEntities:
    def test_a_call_takes_one_id_and_waits_for_its_reply(self):
        (sent,) = run(answer(ENTITY_CALL, activity())).decisions
        assert isinstance(sent, SendOperation)
        history = [
            make(EventType.EVENT_SENT, NOW, event_id=0, InstanceId="@c@k", Name="op", Input="{}"),
            raised(sent.message["id"], {"result": "2"}),
        ]

        assert ids(run(answer(ENTITY_CALL, activity()), *history)) == [1]

    def test_input_is_written_twice_as_json(self):
        (sent,) = run(answer(ENTITY_CALL)).decisions

        assert isinstance(sent, SendOperation)
        assert sent.message["input"] == '"2"'
        assert sent.message["parent"] == "i"


class TestStuck:
    def test_going_on_past_an_open_wait_is_an_anomaly(self):
        outcome = run(answer(wait("e"), activity("B")))

        assert "went on past event 'e'" in outcome.anomalies[0]

    def test_waiting_for_nothing_is_an_anomaly(self):
        outcome = run(answer(activity()), scheduled(0), completed(0))

        assert "stay Running for ever" in outcome.anomalies[0]


class TestAnswers:
    def test_reads_a_state(self):
        state = {"isDone": True, "schemaVersion": 2, "actions": [[activity()]], "output": 3}

        assert parse_answer(json.dumps(state)) == answer(activity(), is_done=True, output=3)

    def test_reads_a_failure_with_its_state(self):
        state = {"isDone": False, "actions": [[activity()]], "error": "boom"}

        read = parse_failure(f"boom\n\n$OutOfProcData$:{json.dumps(state)}")

        assert read == answer(activity(), error="boom")

    def test_keeps_the_text_of_a_failure_whose_state_is_broken(self):
        read = parse_failure("boom\n\n$OutOfProcData$:{")

        assert read == replace(answer(), error="boom", is_plain_failure=True)
