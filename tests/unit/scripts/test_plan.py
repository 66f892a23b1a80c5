import json

import pytest

from scripts.plan import (
    BARE_LOCK,
    INSTALL_NODE_PACKAGES,
    INSTALL_PACKAGES,
    INSTALL_PROJECT,
    LOCKS,
    MAKE_VENV,
    NODE_INPUTS,
    Layout,
    plan_steps,
    read_done,
    read_python,
    read_wanted,
)

EVERYTHING = [MAKE_VENV, INSTALL_PACKAGES, INSTALL_PROJECT, INSTALL_NODE_PACKAGES]
WANTED = {"demo": "d1", "dev": "v1", "engine": "e1", "project": "p1", "node": "n1"}
REST = {"project": "p1", "node": "n1"}
COMPLETE = {"dev": "v1", **REST}


def plan(profile, done=COMPLETE, *, python=(3, 11), insisted=None):
    return plan_steps(profile, WANTED, done, python=python, insisted=insisted)


class TestPlanSteps:
    @pytest.mark.parametrize("profile", ["demo", "dev"])
    def test_has_nothing_to_do_when_all_is_there(self, profile):
        assert plan(profile) == []

    def test_does_everything_on_a_fresh_clone(self):
        assert plan("demo", {}, python=None) == EVERYTHING

    def test_only_adds_packages_from_demo_to_dev(self):
        demo = {"demo": "d1", **REST}

        assert plan("demo", demo) == []
        assert plan("dev", demo) == [INSTALL_PACKAGES]

    @pytest.mark.parametrize("profile", ["demo", "dev", "engine"])
    def test_lets_an_environment_with_the_engine_serve_all(self, profile):
        assert plan(profile, {"engine": "e1", **REST}) == []

    def test_only_adds_packages_from_dev_to_engine(self):
        assert plan("engine") == [INSTALL_PACKAGES]

    def test_makes_the_environment_of_the_engine_anew_with_the_python_of_its_lock(self):
        assert plan("dev", python=(3, 12)) == []
        assert plan("engine", python=(3, 12)) == EVERYTHING[:3]

    @pytest.mark.parametrize(
        ("change", "step"),
        [
            ({"dev": "v0"}, INSTALL_PACKAGES),
            ({"project": "p0"}, INSTALL_PROJECT),
            ({"node": "n0"}, INSTALL_NODE_PACKAGES),
            ({"node": None}, INSTALL_NODE_PACKAGES),
        ],
    )
    def test_does_again_what_has_changed_and_nothing_else(self, change, step):
        assert plan("dev", {**COMPLETE, **change}) == [step]

    def test_makes_the_environment_anew_for_another_python(self):
        assert plan("dev", insisted=(3, 12)) == EVERYTHING[:3]

    def test_keeps_the_environment_of_the_python_that_was_asked_for(self):
        assert plan("dev", insisted=(3, 11)) == []

    def test_makes_the_environment_anew_where_its_python_is_not_supported(self):
        assert plan("dev", python=(3, 13)) == EVERYTHING[:3]


@pytest.fixture(name="checkout")
def _checkout(tmp_path):
    """A checkout that has been set up completely, as far as the stamps tell."""
    for folder in ("requirements", "localcloud/azurite"):
        (tmp_path / folder).mkdir(parents=True)
    for name in (*NODE_INPUTS, *LOCKS.values(), BARE_LOCK):
        (tmp_path / name).write_text(name)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.ruff]\nline = 1\n')
    wanted = read_wanted(tmp_path)
    layout = Layout(tmp_path)
    pip = layout.venv / "lib" / "python3.11" / "site-packages" / "pip" / "__main__.py"
    for path in (layout.python, pip, layout.node_stamp):
        path.parent.mkdir(parents=True)
        path.touch()
    (layout.venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    layout.stamp.write_text(json.dumps(wanted))
    layout.node_stamp.write_text(wanted["node"])
    return tmp_path


def steps_in(checkout):
    layout = Layout(checkout)
    wanted, done = read_wanted(checkout), read_done(layout)
    return plan_steps("dev", wanted, done, python=read_python(layout))


class TestReadDone:
    def test_finds_a_complete_checkout_complete(self, checkout):
        assert steps_in(checkout) == []

    def test_adopts_an_environment_that_someone_else_made(self, checkout):
        Layout(checkout).stamp.unlink()

        assert steps_in(checkout) == [INSTALL_PACKAGES, INSTALL_PROJECT]

    @pytest.mark.parametrize("broken", ["", "[]", '{"locks": '])
    def test_trusts_no_broken_stamp(self, checkout, broken):
        Layout(checkout).stamp.write_text(broken)

        assert steps_in(checkout) == [INSTALL_PACKAGES, INSTALL_PROJECT]

    def test_notices_that_node_modules_are_gone(self, checkout):
        Layout(checkout).node_stamp.unlink()

        assert steps_in(checkout) == [INSTALL_NODE_PACKAGES]


class TestReadPython:
    def test_takes_an_unfinished_environment_for_none(self, checkout):
        Layout(checkout).unfinished.touch()

        assert steps_in(checkout) == EVERYTHING[:3]

    def test_takes_an_environment_without_its_python_for_none(self, checkout):
        python = Layout(checkout).python
        python.unlink()
        python.symlink_to(checkout / "gone")

        assert steps_in(checkout) == EVERYTHING[:3]

    def test_takes_an_environment_without_pip_for_none(self, checkout):
        next(Layout(checkout).venv.glob("lib/python*/site-packages/pip/__main__.py")).unlink()

        assert steps_in(checkout) == EVERYTHING[:3]


class TestReadWanted:
    def test_notices_a_new_lock(self, checkout):
        (checkout / "requirements/dev.txt").write_text("another")

        assert steps_in(checkout) == [INSTALL_PACKAGES]

    def test_notices_a_new_lock_of_what_the_engine_installs_bare(self, checkout):
        before = read_wanted(checkout)

        (checkout / BARE_LOCK).write_text("another")

        after = read_wanted(checkout)
        assert after["engine"] != before["engine"]
        assert after["dev"] == before["dev"]

    def test_notices_a_change_of_the_project(self, checkout):
        (checkout / "pyproject.toml").write_text('[project]\nname = "y"\n')

        assert steps_in(checkout) == [INSTALL_PROJECT]

    def test_does_not_mind_the_settings_of_a_tool(self, checkout):
        (checkout / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.ruff]\nq = 2\n')

        assert steps_in(checkout) == []
