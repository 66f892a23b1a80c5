import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.host_settings import (
    HostSettings,
    is_disabled,
    load_app_settings,
    parse_timespan,
    read_host_settings,
)

documents = st.dictionaries(
    st.text('abc"', min_size=1), st.text('ab/*\\"\n,]} ', max_size=12), max_size=3
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

    @pytest.mark.parametrize(
        "text",
        [
            '{"functionTimeout": "00:01:00"} // the end',
            '{/* "a" */ "functionTimeout": /* one\nminute */ "00:01:00"}',
            '{"functionTimeout": "00:01:00", "logging": {"urls": ["http://x/*", "*/,]", ], }, }',
            '\ufeff{\n// "functionTimeout": "1",\n"functionTimeout": "00:01:00"\n}',
        ],
    )
    def test_reads_over_comments_and_trailing_commas(self, tmp_path, text):
        (tmp_path / "host.json").write_text(text, "utf-8")

        assert read_host_settings(tmp_path, {}).function_timeout == timedelta(minutes=1)

    @given(documents)
    def test_leaves_texts_alone_whatever_they_hold(self, tmp_path_factory, urls):
        folder = write(tmp_path_factory.mktemp("app"), {"Values": urls}, "local.settings.json")
        environ = {}

        load_app_settings(folder, environ)

        assert environ == urls

    def test_reads_the_default_version(self, tmp_path):
        document = {"extensions": {"durableTask": {"defaultVersion": "2.0"}}}

        assert read_host_settings(write(tmp_path, document), {}).default_version == "2.0"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("versionMatchStrategy", "Strict"), ("versionFailureStrategy", "Fail")],
    )
    def test_refuses_version_rules_that_the_host_does_not_have(self, tmp_path, name, value):
        document = {"extensions": {"durableTask": {name: value}}}

        with pytest.raises(AppLoadError, match=f"{name} in host.json is '{value}'"):
            read_host_settings(write(tmp_path, document), {})

    @pytest.mark.parametrize("text", ["", "[]", "{"])
    def test_refuses_what_is_no_object(self, tmp_path, text):
        (tmp_path / "host.json").write_text(text)

        with pytest.raises(AppLoadError, match=r"host\.json"):
            read_host_settings(tmp_path, {})

    def test_asks_for_the_file(self, tmp_path):
        with pytest.raises(AppLoadError, match="is missing"):
            read_host_settings(tmp_path, {})


class TestIsDisabled:
    @pytest.mark.parametrize(
        ("environ", "is_off"),
        [
            ({}, False),
            ({"AzureWebJobs.Start.Disabled": "true"}, True),
            ({"AzureWebJobs.Start.Disabled": " True "}, True),
            ({"AzureWebJobs.Start.Disabled": "1"}, True),
            ({"AzureWebJobs_Start_Disabled": "1"}, True),
            ({"AZUREWEBJOBS.START.DISABLED": "1"}, True),
            ({"AzureWebJobs.Start.Disabled": "false"}, False),
            ({"AzureWebJobs.Start.Disabled": ""}, False),
            ({"AzureWebJobs.Other.Disabled": "true"}, False),
        ],
    )
    def test_reads_the_app_setting(self, environ, is_off):
        assert is_disabled("Start", HostSettings(), environ) is is_off

    @pytest.mark.parametrize(
        ("named", "is_off"), [(["start"], False), (["other"], True), ([], False), (None, False)]
    )
    def test_reads_which_functions_host_json_names(self, tmp_path, named, is_off):
        settings = read_host_settings(write(tmp_path, {"functions": named}), {})

        assert is_disabled("Start", settings, {}) is is_off


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
