"""`make rotate`, and whether an agent that is up could refuse the app because of it."""

import json
from pathlib import Path

import pytest

from coldforge.errors import UnreachableError
from infra.deploy import rotation
from infra.deploy.environment import Environment
from infra.deploy.errors import NotReadyError, RefusedError, ToolFailedError
from infra.deploy.vault import TOKENS
from tests.fakes.tools import FakeTools
from tests.unit.infra.test_guards import ASLEEP, BUSY
from tests.unit.infra.test_steps import OUTPUTS, SECRETS, WRITE

FIRST, OTHER = TOKENS
LIST = "az functionapp config appsettings list"
SET = "az functionapp config appsettings set"
UPTIME_S = 43200
NOW = 1_800_000_000.0
LONG_AGO = NOW - UPTIME_S - rotation.UPTIME_SLACK_S


def refer(name):
    return f"@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/{name})"


@pytest.fixture(name="world")
def _world(tmp_path):
    """A vault with both tokens, and an app that shows one of them."""
    return World(tmp_path)


class World:
    """Programs that keep what they are told.

    Attributes:
        reference: The app's setting.
        drawn: Number of the version of each token, and when it was drawn.
        pools: What the app answers, one after the other; the last one again and again.
    """

    def __init__(self, root: Path) -> None:
        (root / "infra" / "terraform" / "environments" / "dev").mkdir(parents=True)
        self.reference = refer(FIRST)
        self.drawn = {FIRST: (1, LONG_AGO), OTHER: (1, LONG_AGO)}
        self.pools = [ASLEEP]
        self.now = NOW
        self.said = []
        outputs = {**OUTPUTS, "longest_uptime_s": UPTIME_S}
        terraform = f"terraform -chdir={root}/infra/terraform/environments/dev"
        self.tools = FakeTools(
            {
                f"{terraform} output": json.dumps(outputs),
                "az account show": "sub-1",
                "az functionapp keys list": "key",
                LIST: lambda _: f"{self.reference}\n",
                SET: self._set,
                SECRETS: lambda _: self._list(),
                WRITE: self._draw,
            }
        )
        self.environment = Environment(root, "dev", self.tools, lambda url, key: self._pool())

    def rotate(self):
        rotation.rotate(
            self.environment,
            self.said.append,
            sleep=lambda _: None,
            clock=iter(range(0, 10_000, 100)).__next__,
            now=lambda: self.now,
        )

    def learn(self):
        """What an agent whose VM boots now accepts."""
        return {(name, version) for name, (version, _) in self.drawn.items()}

    def show(self):
        """What the app shows."""
        (name,) = (name for name in TOKENS if self.reference == refer(name))
        return name, self.drawn[name][0]

    def _pool(self):
        pool = self.pools[0] if len(self.pools) == 1 else self.pools.pop(0)
        if isinstance(pool, Exception):
            raise pool
        return pool

    def _list(self):
        listed = [
            {"name": name, "properties": {"attributes": {"updated": at}}}
            for name, (_, at) in self.drawn.items()
        ]
        return json.dumps({"value": listed})

    def _set(self, command):
        given = next(word for word in command if word.startswith("GPU_AGENT_TOKEN="))
        self.reference = given.removeprefix("GPU_AGENT_TOKEN=")
        return ""

    def _draw(self, command):
        url = command[command.index("--url") + 1]
        name = url.rsplit("/", 1)[-1].split("?")[0]
        self.drawn[name] = (self.drawn[name][0] + 1, self.now)
        return ""


class TestRotate:
    def test_shows_the_other_token_and_draws_the_first_one_anew(self, world):
        world.rotate()

        assert world.show() == (OTHER, 1)
        assert world.learn() == {(FIRST, 2), (OTHER, 1)}
        order = [line for line in world.tools.ran if line.startswith((SET, WRITE))]
        assert order[0].startswith(SET)
        assert f"/secrets/{FIRST}?" in order[1]

    def test_is_refused_by_no_agent_that_is_up(self, world):
        world.pools = [BUSY]

        for _ in range(4):
            learned_before = world.learn()
            world.rotate()
            assert world.show() in learned_before & world.learn()
            # By then the switch has ended whatever was up at this rotation.
            world.now += UPTIME_S + rotation.UPTIME_SLACK_S

    @pytest.mark.parametrize("pool", [BUSY, UnreachableError("gone")])
    def test_waits_for_agents_that_may_have_learned_an_older_one(self, world, pool):
        world.drawn[OTHER] = (2, LONG_AGO + 1.0)
        world.pools = [pool]

        with pytest.raises(RefusedError):
            world.rotate()

        assert world.show() == (FIRST, 1)
        assert not world.tools.was_run(WRITE)

    def test_asks_for_no_wait_while_every_vm_sleeps(self, world):
        world.drawn[OTHER] = (2, NOW)

        world.rotate()

        assert world.show() == (OTHER, 2)

    def test_draws_nothing_anew_before_the_app_is_up_with_the_other_one(self, world):
        world.pools = [UnreachableError("gone")]

        with pytest.raises(NotReadyError, match="make doctor"):
            world.rotate()

        assert world.learn() == {(FIRST, 1), (OTHER, 1)}

    def test_can_be_done_again_after_it_broke_off(self, world):
        world.tools.answers[WRITE] = ToolFailedError("no network")
        with pytest.raises(ToolFailedError):
            world.rotate()
        world.tools.answers[WRITE] = world._draw

        world.rotate()

        assert world.show() == (FIRST, 1)
        assert world.learn() == {(FIRST, 1), (OTHER, 2)}

    def test_needs_both_tokens(self, world):
        del world.drawn[OTHER]

        with pytest.raises(NotReadyError, match="make deploy ENV=dev"):
            world.rotate()

    @pytest.mark.parametrize("value", ["", "a-secret-in-the-open", refer("another")])
    def test_shows_nobody_a_setting_that_is_no_reference(self, world, value):
        world.reference = value

        with pytest.raises(RefusedError, match="Rotate keys") as caught:
            world.rotate()

        assert "in-the-open" not in str(caught.value)
        assert not world.tools.was_run(SET)
