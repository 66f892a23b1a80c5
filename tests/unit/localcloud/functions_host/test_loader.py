import json
import sys
import tomllib

import azure.durable_functions as df
import azure.functions as func
import pytest

from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.loader import index_app, load_app
from tests.worker_verdicts.record import FOLDER, HEADER

APPS = tomllib.loads((FOLDER / "apps.toml").read_text("utf-8"))
RECORDED = json.loads((FOLDER / "verdicts.json").read_text("utf-8"))["verdicts"]


@pytest.fixture
def loads_anew():
    """Forgets, after the test, what it imported."""
    path = list(sys.path)
    yield
    sys.modules.pop("function_app", None)
    sys.path[:] = path


def refuse(app, words):
    with pytest.raises(AppLoadError, match=words):
        index_app(app)


class TestIndexApp:
    def test_finds_durable_names_ignoring_case(self):
        app = df.DFApp()

        @app.orchestration_trigger(context_name="context", orchestration="RunJob")
        def run(context):
            yield

        @app.entity_trigger(context_name="context", entity_name="Pool")
        def pool(context): ...

        @app.activity_trigger(input_name="value")
        def act(value): ...

        indexed = index_app(app)

        assert set(indexed.orchestrators) == {"runjob"}
        assert set(indexed.entities) == {"pool"}
        assert set(indexed.activities) == {"act"}
        assert set(indexed.functions) == {"run", "pool", "act"}

    def test_takes_a_plain_app_with_a_durable_blueprint(self):
        blueprint = df.Blueprint()

        @blueprint.activity_trigger(input_name="value")
        def act(value): ...

        app = func.FunctionApp()
        app.register_functions(blueprint)

        assert set(index_app(app).activities) == {"act"}

    def test_refuses_another_context_name(self):
        app = df.DFApp()

        @app.orchestration_trigger(context_name="ctx")
        def run(ctx):
            yield

        refuse(app, "context_name='ctx'")

    def test_refuses_an_async_orchestrator(self):
        app = df.DFApp()

        @app.orchestration_trigger(context_name="context")
        async def run(context): ...

        refuse(app, "'run' is async")

    def test_refuses_an_async_entity(self):
        app = df.DFApp()

        @app.entity_trigger(context_name="context")
        async def pool(context): ...

        refuse(app, "'pool' is async")

    def test_refuses_a_plain_function_with_a_client(self):
        app = df.DFApp()

        @app.route(route="x")
        @app.durable_client_input(client_name="client")
        def start(req: func.HttpRequest, client): ...

        refuse(app, "not 'async def'")

    def test_refuses_a_parameter_without_a_binding(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: func.HttpRequest, other): ...

        refuse(app, "without a binding: other")

    def test_refuses_a_binding_without_a_parameter(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(request: func.HttpRequest): ...

        refuse(app, "no parameter for its binding req")

    def test_refuses_an_annotation_that_the_trigger_cannot_give(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: dict): ...

        refuse(app, "annotated with dict")

    def test_refuses_an_out_parameter_on_an_input(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: func.Out[str]): ...

        refuse(app, "is func.Out but its binding is an input")

    def test_refuses_a_plain_parameter_on_an_output(self):
        app = df.DFApp()

        @app.route(route="x")
        @app.blob_output(arg_name="copy", path="box/copy", connection="Box")
        def start(req: func.HttpRequest, copy: str): ...

        refuse(app, "'copy' of 'start' must be a func.Out")

    def test_refuses_a_context_of_another_kind(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: func.HttpRequest, context: dict): ...

        refuse(app, "must be a func.Context")

    def test_takes_a_context_and_knows_which_functions_want_it(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: func.HttpRequest, context: func.Context): ...

        assert index_app(app).functions["start"].takes_context

    def test_refuses_an_annotation_that_leads_nowhere(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: "func.HttpReqest"): ...

        refuse(app, "can't be resolved")

    def test_refuses_an_orchestrator_that_looks_like_an_entity(self):
        app = df.DFApp()

        @app.orchestration_trigger(context_name="context", orchestration="@run")
        def run(context):
            yield

        refuse(app, "begins with @")

    def test_refuses_another_context_name_of_an_entity(self):
        app = df.DFApp()

        @app.entity_trigger(context_name="ctx")
        def pool(ctx): ...

        refuse(app, "context_name='ctx'")

    def test_refuses_two_functions_whose_names_differ_by_case(self):
        app = df.DFApp()

        @app.function_name("Start")
        @app.route(route="x")
        def one(req: func.HttpRequest): ...

        @app.function_name("start")
        @app.route(route="y")
        def two(req: func.HttpRequest): ...

        refuse(app, "share the function name|unique")

    def test_refuses_two_activities_of_one_name(self):
        app = df.DFApp()

        @app.activity_trigger(input_name="value", activity="Act")
        def one(value): ...

        @app.activity_trigger(input_name="value", activity="act")
        def two(value): ...

        refuse(app, "share the activity name")

    def test_refuses_names_that_azure_refuses(self):
        app = df.DFApp()

        @app.function_name("host")
        @app.route(route="x")
        def start(req: func.HttpRequest): ...

        refuse(app, "'host' is refused")


class TestWorkerVerdicts:
    """What Microsoft's worker says of small apps: see tests/worker_verdicts."""

    def test_are_there_for_every_app(self):
        assert list(RECORDED) == list(APPS)

    @pytest.mark.usefixtures("loads_anew")
    @pytest.mark.parametrize("name", APPS)
    def test_are_kept(self, tmp_path, name):
        (tmp_path / "function_app.py").write_text(HEADER + APPS[name]["source"])
        later = APPS[name].get("here")

        if RECORDED[name] is None and later is None:
            load_app(tmp_path)
        else:
            with pytest.raises(AppLoadError, match=later):
                load_app(tmp_path)

    def test_differ_only_where_an_app_fails_later(self):
        assert [name for name in APPS if "here" in APPS[name] and RECORDED[name]] == []


class TestDisabledFunctions:
    @pytest.fixture
    def app(self):
        app = df.DFApp()

        @app.route(route="x")
        @app.blob_output(arg_name="copy", path="box/copy", connection="Box")
        def Start(req: func.HttpRequest, copy: func.Out[str]): ...  # noqa: N802

        @app.orchestration_trigger(context_name="context")
        def run(context):
            yield

        @app.activity_trigger(input_name="value")
        def act(value): ...

        return app

    def test_are_in_no_table_but_their_own(self, app):
        indexed = index_app(app, lambda name: name in ("Start", "run"))

        assert list(indexed.functions) == ["act"]
        assert list(indexed.disabled) == ["start", "run"]
        assert list(indexed.orchestrators) == []

    def test_need_no_binding_that_the_host_serves(self, app):
        refuse(app, r"AzureWebJobs\.Start\.Disabled")

    def test_must_load_in_azure_all_the_same(self):
        app = df.DFApp()

        @app.route(route="x")
        def start(req: func.HttpRequest) -> dict: ...

        with pytest.raises(AppLoadError, match="annotated to return dict"):
            index_app(app, lambda _: True)


@pytest.mark.usefixtures("loads_anew")
class TestLoadApp:
    def test_takes_the_script_that_the_app_setting_names(self, tmp_path):
        (tmp_path / "other-app.py").write_text("import azure.functions as f\na = f.FunctionApp()")

        assert load_app(tmp_path, script="other-app.py").functions == {}

    @pytest.mark.parametrize("script", ["../app.py", "app", ".py", "a b.py"])
    def test_refuses_what_is_no_name_of_a_script(self, tmp_path, script):
        with pytest.raises(AppLoadError, match="PYTHON_SCRIPT_FILE_NAME"):
            load_app(tmp_path, script=script)

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("import nothing_like_this", "can't be imported: ModuleNotFoundError"),
            ("x = 1", "found: none"),
            (
                "import azure.functions as f\na = f.FunctionApp()\nb = f.FunctionApp()",
                "found: a, b",
            ),
        ],
    )
    def test_says_what_is_wrong_with_the_module(self, tmp_path, source, words):
        (tmp_path / "function_app.py").write_text(source)

        with pytest.raises(AppLoadError, match=words):
            load_app(tmp_path)

    def test_says_that_the_module_is_missing(self, tmp_path):
        with pytest.raises(AppLoadError, match="is missing"):
            load_app(tmp_path)
