import json

import pytest

from infra.deploy import steps
from infra.deploy.environment import Environment
from infra.deploy.errors import NotReadyError
from infra.deploy.roles import find_missing
from tests.fakes.tools import FakeTools

GROUP = "/subscriptions/s/resourceGroups/vms"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/gpu-1"
OPERATES = {
    "principal_id": "app",
    "role": "Coldforge pool operator",
    "scope": GROUP,
    "symptom": "Jobs wait for a VM.",
}
SWITCHES = {
    "principal_id": "vm",
    "role": "Coldforge dead-man's switch",
    "scope": VM,
    "symptom": "The VM stays on.",
}
EXPECTED = {"app-operates-vms": OPERATES, "vm-deallocates-itself": SWITCHES}


def given(expected, **changes):
    return {
        "principalId": expected["principal_id"].upper(),
        "roleDefinitionName": expected["role"],
        "scope": expected["scope"],
        **changes,
    }


class TestFindMissing:
    def test_finds_nothing_where_all_is_there(self):
        assert find_missing(EXPECTED, [given(OPERATES), given(SWITCHES)]) == []

    def test_takes_a_role_that_was_given_above(self):
        above = given(SWITCHES, scope="/subscriptions/s")

        assert find_missing({"switch": SWITCHES}, [above]) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"principalId": "somebody"},
            {"roleDefinitionName": "Reader"},
            {"scope": f"{VM}/extensions/x"},
            {"scope": VM[:-1]},
        ],
        ids=["another identity", "another role", "below the scope", "a VM of a similar name"],
    )
    def test_names_the_symptom_where_it_is_another_one(self, other):
        missing = find_missing(EXPECTED, [given(OPERATES), given(SWITCHES, **other)])

        assert [one.partition(":")[0] for one in missing] == ["vm-deallocates-itself"]
        assert "The VM stays on." in missing[0]


class TestVerifyRoles:
    @pytest.fixture(name="verify")
    def _verify(self, tmp_path):
        """Verifies an environment over what Terraform and Azure answer."""
        folder = tmp_path / "infra" / "terraform" / "environments" / "dev"
        folder.mkdir(parents=True)
        roots = {"output": folder, "privileged": tmp_path / "infra" / "terraform" / "roles"}

        def verify(assignments, held, *, privileged=None):
            answers = {
                f"terraform -chdir={roots['output']} output": json.dumps(
                    {"role_assignments": assignments}
                ),
                f"terraform -chdir={roots['privileged']} output": (
                    1 if privileged is None else json.dumps(privileged)
                ),
                "az role assignment list": json.dumps(held),
            }
            said = []
            environment = Environment(tmp_path, "dev", FakeTools(answers), lambda *_: {})
            steps.verify_roles(environment, said.append)
            return said

        return verify

    def test_says_that_all_are_there(self, verify):
        assert verify(EXPECTED, [given(OPERATES), given(SWITCHES)]) == ["All 2 roles are given."]

    def test_fails_with_the_symptoms_of_what_is_missing(self, verify):
        with pytest.raises(NotReadyError, match="Jobs wait for a VM"):
            verify(EXPECTED, [given(SWITCHES)])

    def test_asks_the_privileged_root_where_the_environment_gives_none(self, verify):
        said = verify(None, [given(OPERATES)], privileged={"app-operates-vms": OPERATES})

        assert said == ["All 1 roles are given."]

    def test_says_so_where_nobody_has_given_any(self, verify):
        with pytest.raises(NotReadyError, match="privileged person"):
            verify(None, [])
