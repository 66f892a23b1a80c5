"""Instances that began under older code go on under this code."""

import json
from dataclasses import replace

import azure.durable_functions as df
import pytest

from localcloud.functions_host.loader import App, index_app
from orchestrator.bootstrap import build_app
from orchestrator.domain.names import Workflow
from orchestrator.settings import Settings
from orchestrator.workflows.run_job import run_job
from tests.histories.recording import FOLDER, Recording, cut, find_stranding

# The SDK says so once in a process, of its own calls.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")

PATHS = sorted(FOLDER.glob("*.json"))
VM = {
    "name": "gpu-0",
    "resource_group": "group",
    "size": "size",
    "region": "region",
    "price_per_hour_usd": 1,
    "agent_url": "http://agent",
}


@pytest.fixture(scope="module", name="app")
def _app() -> App:
    """The app as it would be deployed."""
    settings = Settings.from_environ(
        {
            "AZURE_SUBSCRIPTION_ID": "subscription",
            "GPU_AGENT_TOKEN": "token",
            "GPU_VMS": json.dumps([VM]),
            "STORAGE_BLOB_URL": "https://blob",
            "STORAGE_TABLE_URL": "https://table",
        }
    )
    return index_app(build_app(settings))


@pytest.fixture(name="woken")
def _woken() -> Recording:
    """The life of a job that had its VM woken."""
    return Recording.load(FOLDER / "run_job-woken.json")


def with_run_job(app: App, changed) -> App:
    """Give the app with another `run_job`."""
    function = replace(app.orchestrators["run_job"], call=df.Orchestrator.create(changed))
    return replace(app, orchestrators={**app.orchestrators, "run_job": function})


class TestRecordings:
    @pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
    def test_go_on_as_they_began(self, app, path):
        stranding = find_stranding(app, Recording.load(path))

        assert stranding is None, stranding

    def test_cover_every_workflow(self):
        recorded = {Recording.load(path).workflow for path in PATHS}

        assert recorded == set(Workflow)

    @pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
    def test_hold_an_answer_for_each_episode(self, path):
        recording = Recording.load(path)

        assert len(recording.answers) == len(list(cut(recording.history))) > 0


class TestFindStranding:
    def test_notices_a_step_that_was_put_in(self, app, woken):
        def changed(context):
            yield context.call_activity("look_at_the_weather", {})
            return (yield from run_job(context))

        told = find_stranding(with_run_job(app, changed), woken)

        assert told is not None
        assert told.startswith("run_job no longer does what its running instances have done.")
        assert "step 1 was 'activity apply_pool_command" in told
        assert "now is 'activity look_at_the_weather'" in told
        assert "under a new name" in told

    def test_notices_a_step_that_was_left_out(self, app, woken):
        def changed(context):
            steps = run_job(context)
            task = next(steps)
            while "finish_job" not in str(task.action_repr.to_json()):
                task = steps.send((yield task))
            return None

        told = find_stranding(with_run_job(app, changed), woken)

        assert told is not None
        assert "was 'activity finish_job" in told
        assert "now is 'ends'" in told

    def test_notices_an_event_of_another_name(self, app, woken):
        def changed(context):
            wait = context.wait_for_external_event
            context.wait_for_external_event = lambda name: wait(f"my-{name}")
            return (yield from run_job(context))

        told = find_stranding(with_run_job(app, changed), woken)

        assert told is not None
        assert "now is 'any of [event my-slot-" in told

    def test_notices_a_workflow_that_is_gone(self, app, woken):
        others = {key: f for key, f in app.orchestrators.items() if key != "run_job"}

        told = find_stranding(replace(app, orchestrators=others), woken)

        assert told is not None
        assert told.startswith("There is no workflow run_job any more.")

    def test_lets_an_input_grow(self, app, woken):
        def changed(context):
            call = context.call_activity
            context.call_activity = lambda name, order: call(name, {**order, "extra": 1})
            return (yield from run_job(context))

        assert find_stranding(with_run_job(app, changed), woken) is None
