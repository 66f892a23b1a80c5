"""No client of ours asks this machine through a proxy of the environment."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("benchmarks", "coldforge", "gpu_agent", "localcloud", "vm_image")
GO_OUT = {
    # Azure Resource Manager, which may well be behind a company's proxy.
    "gpu_agent/switch/azure.py": 2,
    # The weights, from the internet.
    "vm_image/scripts/fetch_weights.py": 1,
}
"""Files whose requests leave this machine, and how many of them there are."""

READS_THE_ENVIRONMENT = re.compile(
    r"\brequests\.(?:get|post|put|patch|delete|head|request)\(|\burlopen\(|trust_env=True"
)


def sources():
    for program in PROGRAMS:
        for path in sorted((ROOT / program).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")


class TestClients:
    def test_ask_through_the_environments_proxies_only_what_is_elsewhere(self):
        found = {name: len(READS_THE_ENVIRONMENT.findall(text)) for name, text in sources()}

        assert {name: count for name, count in found.items() if count} == GO_OUT

    @pytest.mark.parametrize(
        "name", [name for name, text in sources() if "requests.Session()" in text]
    )
    def test_have_sessions_that_pass_the_environment_by(self, name):
        text = (ROOT / name).read_text("utf-8")

        assert text.count("requests.Session()") == text.count("trust_env = False")

    @pytest.mark.parametrize("name", ["localcloud/storage.py", "localcloud/lone_storage.py"])
    def test_of_azures_sdk_in_the_local_cloud_do_likewise(self, name):
        """The host's run in a process whose environment exempts this machine."""
        text = (ROOT / name).read_text("utf-8")

        assert text.count("ServiceClient(") == 2
        assert text.count(", **options)") == 2
        assert '"use_env_settings": False' in text
