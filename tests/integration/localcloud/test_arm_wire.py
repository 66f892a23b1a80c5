"""The stand-in for ARM and IMDS below their SDKs: what plain HTTP sees."""

import pytest

from localcloud.https import open_session
from localcloud.token_client import LocalCredential

PATH = (
    "/subscriptions/5ab0c1d2-0000-4000-8000-000000000001/resourceGroups/rg/providers"
    "/Microsoft.Compute/virtualMachines/untouched"
)
VERSION = {"api-version": "2026-04-01"}
TOKEN_QUERY = {"api-version": "2018-02-01", "resource": "https://storage.azure.com"}


@pytest.fixture(name="session")
def _session(arm):
    """A session that trusts the stand-in."""
    with open_session(arm.bundle) as session:
        yield session


@pytest.fixture(name="bearer")
def _bearer(arm):
    """Headers with a token for ARM."""
    credential = LocalCredential(f"{arm.imds_url}/msi/token", "open sesame")
    token = credential.get_token("https://management.azure.com/.default").token
    return {"Authorization": f"Bearer {token}"}


class TestArm:
    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
    def test_challenges_who_has_no_token(self, arm, session, headers):
        response = session.get(arm.url + PATH, params=VERSION, headers=headers)

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
        assert "code" in response.json()["error"]

    def test_wants_an_api_version(self, arm, session, bearer):
        response = session.get(arm.url + PATH, headers=bearer)

        assert response.status_code == 400
        assert response.json()["error"]["code"] == "MissingApiVersionParameter"

    def test_takes_each_path_by_its_own_method(self, arm, session, bearer):
        response = session.get(f"{arm.url}{PATH}/start", params=VERSION, headers=bearer)

        assert response.status_code == 405

    def test_accepts_with_two_long_urls_and_no_body(self, arm, session, bearer):
        response = session.post(f"{arm.url}{PATH}/deallocate", params=VERSION, headers=bearer)

        assert response.status_code == 202
        assert response.headers["Content-Length"] == "0"
        assert "Content-Type" not in response.headers
        assert len(response.headers["Azure-AsyncOperation"]) == 4096
        assert response.headers["Location"].endswith("&monitor=true")
        poll = session.get(response.headers["Azure-AsyncOperation"], headers=bearer)
        assert poll.json()["status"] == "Succeeded"
        assert session.get(response.headers["Location"], headers=bearer).status_code == 200

    def test_does_not_know_an_operation_of_somebody_else(self, arm, session, bearer):
        path = PATH.split("/resourceGroups")[0] + "/providers/Microsoft.Compute/locations/eastus"

        response = session.get(f"{arm.url}{path}/operations/x", params=VERSION, headers=bearer)

        assert response.status_code == 404


class TestIdentityOfVm:
    def test_gives_a_token_whose_figures_are_strings(self, arm, session):
        url = f"{arm.imds_url}/vm/untouched/metadata/identity/oauth2/token"

        response = session.get(url, params=TOKEN_QUERY, headers={"Metadata": "true"})

        body = response.json()
        assert body["resource"] == "https://storage.azure.com"
        assert body["token_type"] == "Bearer"
        assert {type(value) for value in body.values()} == {str}

    @pytest.mark.parametrize(
        ("query", "headers"),
        [
            (TOKEN_QUERY, {}),
            (TOKEN_QUERY, {"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}),
            ({"api-version": "2018-02-01"}, {"Metadata": "true"}),
            ({"resource": "https://storage.azure.com"}, {"Metadata": "true"}),
        ],
    )
    def test_refuses_what_the_real_one_refuses(self, arm, session, query, headers):
        url = f"{arm.imds_url}/vm/untouched/metadata/identity/oauth2/token"

        response = session.get(url, params=query, headers=headers)

        assert response.status_code == 400
        assert response.json()["error"] == "invalid_request"

    def test_belongs_to_a_vm_that_exists(self, arm, session):
        url = f"{arm.imds_url}/vm/other/metadata/identity/oauth2/token"

        response = session.get(url, params=TOKEN_QUERY, headers={"Metadata": "true"})

        assert response.status_code == 404

    def test_tells_a_vm_what_it_is(self, arm, session):
        url = f"{arm.imds_url}/vm/untouched/metadata/instance"

        response = session.get(
            url, params={"api-version": "2021-02-01"}, headers={"Metadata": "true"}
        )

        assert response.json()["compute"]["resourceId"] == PATH


class TestIdentityOfApp:
    @pytest.mark.parametrize("headers", [{}, {"X-IDENTITY-HEADER": "guess"}])
    def test_wants_the_secret_header(self, arm, session, headers):
        response = session.get(f"{arm.imds_url}/msi/token", params=TOKEN_QUERY, headers=headers)

        assert response.status_code == 403


class TestLocalRoutes:
    def test_take_faults_as_json_only(self, arm, session):
        response = session.post(f"{arm.url}/_local/faults", data='{"name": "throttled"}')

        assert response.status_code == 400
        assert arm.controls.list_faults() == []

    def test_tell_what_was_asked_for_and_how_it_was_answered(self, arm, session, bearer):
        before = len(arm.controls.requests())
        for act in ("deallocate", "instanceView"):
            session.post(f"{arm.url}{PATH}/{act}", params=VERSION, headers=bearer)

        taken, refused = arm.controls.requests()[before:]

        assert (taken["vm"], taken["target"], taken["status"]) == ("untouched", "deallocate", 202)
        assert (refused["target"], refused["status"]) == ("instanceView", 405)
        assert (taken["code"], refused["code"]) == (None, "MethodNotAllowed")
        assert taken["at"] <= refused["at"]
