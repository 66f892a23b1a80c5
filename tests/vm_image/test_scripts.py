import json
import re
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[2] / "vm_image"
SCRIPTS = sorted((IMAGE / "scripts").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
class TestScript:
    def test_says_what_it_is_for_and_stops_at_the_first_fault(self, script):
        lines = script.read_text("utf-8").splitlines()

        assert lines[0] == "#!/bin/bash"
        assert lines[1].startswith(f"# {script.name}")
        assert next(line for line in lines if not line.startswith("#")) == "set -euo pipefail"


class TestScripts:
    def test_are_clean(self, run, image):
        files = [path for path in (image / "root").rglob("*") if path.is_file()]
        others = [path for path in files if path.read_bytes().startswith(b"#!/bin")]
        assert others

        done = run("shellcheck", *SCRIPTS, *others)

        assert (done.returncode, done.stdout) == (0, "")

    def test_install_nothing_from_python_that_is_not_locked(self):
        text = "".join(path.read_text("utf-8") for path in SCRIPTS)

        assert not re.search(r"\b(curl|wget)\b|chmod (-R )?777", text)
        installs = re.findall(r'pip"? install [^\n]*(?:\\\n[^\n]*)?', text)
        assert len(installs) == 4
        for command in installs:
            assert "--no-deps" in command
            assert "--require-hashes" in command or "--no-index" in command

    def test_refuse_a_driver_that_canonical_has_not_signed(self):
        text = (IMAGE / "scripts" / "check-nvidia-driver.sh").read_text("utf-8")

        assert "[[ $signer == Canonical* ]] || fail" in text
        assert "apt-mark showhold | grep -qx linux-image-azure || fail" in text

    def test_leave_no_timer_that_would_change_the_kernel(self):
        install = (IMAGE / "scripts" / "install-base.sh").read_text("utf-8")
        check = (IMAGE / "scripts" / "check-base.sh").read_text("utf-8")

        masked = install.partition("systemctl mask --now")[2].partition("\n\n")[0]
        for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service"):
            assert unit in masked.split("\napt-get")[0]
            assert unit in check

    def test_fetch_no_pickle(self):
        fetch = (IMAGE / "scripts" / "fetch_weights.py").read_text("utf-8")
        check = (IMAGE / "scripts" / "check-weights.sh").read_text("utf-8")

        kinds = set(re.findall(r'"\*\.(\w+)"', fetch))
        assert kinds == {"ckpt", "bin", "pt", "pth", "pkl"}
        assert "ignore_patterns=PICKLES" in fetch
        assert kinds == set(re.findall(r"'\*\.(\w+)'", check))

    def test_fetch_the_two_pickles_that_the_texture_model_has_in_no_other_form(self):
        fetch = (IMAGE / "scripts" / "fetch_weights.py").read_text("utf-8")
        check = (IMAGE / "scripts" / "check-weights.sh").read_text("utf-8")

        needed = re.findall(r'"hunyuan3d-paint-v2-0/(\S+\.bin)"', fetch)
        assert needed == ["text_encoder/pytorch_model.bin", "unet/diffusion_pytorch_model.bin"]
        assert needed == re.findall(r'"\$paint/(\S+\.bin)"', check)


class TestCheckPins:
    def check(self, run, tmp_path, versions):
        path = tmp_path / "versions.json"
        path.write_text(json.dumps(versions))
        return run("bash", IMAGE / "scripts" / "check-pins.sh", path)

    def test_passes_when_every_pin_is_closed(self, run, tmp_path):
        assert self.check(run, tmp_path, {"a": {"b": "1.2.3"}}).returncode == 0

    @pytest.mark.parametrize("value", ["unpinned", "latest", "main", ""])
    def test_refuses_to_build_with_an_open_pin_and_names_it(self, run, tmp_path, value):
        done = self.check(run, tmp_path, {"a": {"b": value}, "c": "1"})

        assert done.returncode != 0
        assert "open pins: a/b." in done.stdout

    def test_names_what_the_readme_says_how_to_find(self, run, image):
        done = run("bash", image / "scripts" / "check-pins.sh", image / "versions.json")

        named = re.findall(r"open pins: (.*)\. vm_image", done.stdout)
        readme = (image / "README.md").read_text("utf-8")
        for pin in named[0].split(", ") if named else []:
            assert f"`{pin}`" in readme, pin


class TestReadArchitectures:
    def test_finds_the_gpus_that_a_library_holds_code_for(self, monkeypatch):
        monkeypatch.syspath_prepend(str(IMAGE / "scripts"))
        import extensions

        library = b"\x7fELF\x02\x01 of the host" + draw_cubin(80) + b"between" + draw_cubin(90)

        assert extensions.read_architectures(library) == {"sm_80", "sm_90"}


def draw_cubin(architecture: int) -> bytes:
    """Make the header of machine code for a GPU."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[18:20] = (190).to_bytes(2, "little")
    header[48:52] = (architecture << 8 | 5).to_bytes(4, "little")
    return bytes(header)
