import json
from datetime import timedelta

import pytest

from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.host_settings import (
    load_app_settings,
    parse_timespan,
    read_host_settings,
)


def write(folder, document, name="host.json"):
    (folder / name).write_text(json.dumps(document))
    return folder


class TestReadHostSettings:
    def test_reads_what_is_there(self, tmp_path):
        durable = {"hubName": "%HUB%", "maxConcurrentActivityFunctions": 64}
        document = {
            "functionTimeout": "00:10:00",
            "extensions": {"http": {"routePrefix": ""}, "durableTask": durable},
        }

        settings = read_host_settings(write(tmp_path, document), {"HUB": "Blue"})

        assert settings.route_prefix == ""
        assert settings.hub_name == "Blue"
        assert settings.max_concurrent_activities == 64
        assert settings.function_timeout == timedelta(minutes=10)

    def test_reads_how_blobs_are_taken(self, tmp_path):
        blobs = {"maxDegreeOfParallelism": 3, "poisonBlobThreshold": 2}

        settings = read_host_settings(write(tmp_path, {"extensions": {"blobs": blobs}}), {})

        assert (settings.max_concurrent_blobs, settings.blob_attempts) == (3, 2)

    @pytest.mark.parametrize(
        ("states", "replaces"), [("AnyState", True), ("NonRunningStates", False), (None, False)]
    )
    def test_reads_whether_a_start_replaces_a_live_instance(self, tmp_path, states, replaces):
        durable = {} if states is None else {"overridableExistingInstanceStates": states}
        document = {"extensions": {"durableTask": durable}}

        settings = read_host_settings(write(tmp_path, document), {})

        assert settings.replaces_live_instances is replaces

    def test_the_environment_overrides_it(self, tmp_path):
        name = "AzureFunctionsJobHost__extensions__durableTask__hubName"

        assert read_host_settings(write(tmp_path, {}), {name: "Green"}).hub_name == "Green"

    @pytest.mark.parametrize("text", ["", "[]", "{"])
    def test_refuses_what_is_no_object(self, tmp_path, text):
        (tmp_path / "host.json").write_text(text)

        with pytest.raises(AppLoadError, match=r"host\.json"):
            read_host_settings(tmp_path, {})

    def test_asks_for_the_file(self, tmp_path):
        with pytest.raises(AppLoadError, match="is missing"):
            read_host_settings(tmp_path, {})


class TestLoadAppSettings:
    def test_does_not_override(self, tmp_path):
        environ = {"A": "kept"}
        write(tmp_path, {"Values": {"A": "lost", "B": 1}}, "local.settings.json")

        load_app_settings(tmp_path, environ)

        assert environ == {"A": "kept", "B": "1"}

    def test_refuses_an_encrypted_file(self, tmp_path):
        write(tmp_path, {"IsEncrypted": True}, "local.settings.json")

        with pytest.raises(AppLoadError, match="encrypted"):
            load_app_settings(tmp_path, {})


class TestParseTimespan:
    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("00:05:00", timedelta(minutes=5)),
            ("3.00:00:00.5000000", timedelta(days=3, milliseconds=500)),
            ("5 minutes", None),
        ],
    )
    def test_reads_dot_net_s_form(self, text, span):
        assert parse_timespan(text) == span
