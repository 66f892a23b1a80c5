import pytest


@pytest.fixture
def host(make_host):
    host = make_host()
    values = {
        "SAMPLE_GREETING": "",
        "AzureWebJobs.echo.Disabled": "true",
        "AzureWebJobs.chain.Disabled": "1",
        "AzureWebJobs.nightly.Disabled": "true",
    }
    host.write_app_file("local.settings.json", {"Values": values})
    durable = {"hubName": "SampleHub", "defaultVersion": "2.0"}
    host.write_app_file("host.json", {"version": "2.0", "extensions": {"durableTask": durable}})
    host.start()
    return host


class TestSettings:
    def test_turn_functions_off_and_give_orchestrations_a_version(self, host):
        refused = host.post("/durabletask/orchestrators/chain", {})
        versioned = host.run("tells_version")

        assert host.get("/api/echo").status_code == 404
        assert refused.status_code == 400
        assert "is disabled" in refused.json()["ExceptionMessage"]
        assert versioned["output"] == "2.0"
        assert host.count("nightly") == 0
        listed = {one["name"]: one["isDisabled"] for one in host.get("/admin/functions").json()}
        assert [name for name, is_off in listed.items() if is_off] == ["echo", "nightly", "chain"]
        assert "the function chain is disabled" in host.log
