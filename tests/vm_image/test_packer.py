import json
import re
import shutil

import pytest

from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_FILE, PRESETS, TEXTURE_PARTS

VARIABLES = {
    "subscription_id": "00000000-0000-0000-0000-000000000000",
    "location": "eastus",
    "gallery_resource_group": "rg",
    "gallery_name": "images",
    "gallery_image": "gpu",
    "image_version": "1.0.0",
    "replication_regions": '["eastus"]',
}


@pytest.fixture(name="template")
def _template(tmp_path, image):
    """The template without the block that Packer 1.6.6 does not know."""
    folder = tmp_path / "template"
    folder.mkdir()
    for path in [*image.glob("*.pkr.hcl"), image / "versions.json"]:
        if path.name != "plugins.pkr.hcl":
            shutil.copy(path, folder)
    return folder


@pytest.fixture(name="validate")
def _validate(run, template, image):
    """Have Packer read the template."""

    def validate():
        given = {**VARIABLES, "repository": str(image.parent)}
        options = [word for pair in given.items() for word in ("-var", "=".join(pair))]
        environ = {"CHECKPOINT_DISABLE": "1", "HOME": str(template), "PATH": "/usr/bin:/bin"}
        # From elsewhere, as `make image` does.
        return run("packer", "validate", *options, template, cwd=template.parent, env=environ)

    return validate


def commands_of(image):
    """Give the commands of the build's shell provisioners, in their order."""
    text = (image / "build.pkr.hcl").read_text("utf-8")
    inlines = re.findall(r"(?s)inline\s*=\s*\[(.*?)\n?\s*\]\n", text)
    return [line for inline in inlines for line in re.findall(r'"(.*)"', inline)]


class TestTemplate:
    def test_is_valid(self, validate):
        done = validate()

        assert (done.returncode, done.stdout) == (0, "")

    def test_can_be_found_invalid(self, validate, template):
        path = template / "source.pkr.hcl"
        path.write_text(re.sub(r"vm_size ", "vm_sise ", path.read_text("utf-8")), "utf-8")

        assert validate().returncode != 0

    def test_is_formatted(self, run, image):
        done = run("packer", "fmt", "-check", "-diff", image)

        assert (done.returncode, done.stdout) == (0, "")

    def test_keeps_the_pins_of_plugins_in_a_file_of_their_own(self, image):
        text = (image / "plugins.pkr.hcl").read_text("utf-8")
        others = [p for p in image.glob("*.pkr.hcl") if p.name != "plugins.pkr.hcl"]

        assert re.search(r'version = "\d+\.\d+\.\d+"', text)
        assert [p for p in others if "required_plugins" in p.read_text("utf-8")] == []

    def test_describes_every_variable(self, image):
        text = (image / "variables.pkr.hcl").read_text("utf-8")

        blocks = re.findall(r'(?ms)^variable "(\w+)" \{(.*?)^\}', text)

        assert {"repository", *VARIABLES} <= {name for name, _ in blocks}
        bare = [n for n, b in blocks if "description" not in b or not re.search(r"\btype\b", b)]
        assert bare == []

    def test_publishes_to_the_gallery_the_version_that_the_agent_reports(self, image):
        source = (image / "source.pkr.hcl").read_text("utf-8")

        target = source.partition("shared_image_gallery_destination")[2].partition("\n  }")[0]
        assert re.search(r"image_version\s+= var\.image_version\n", target)
        units = next(one for one in commands_of(image) if "install-units.sh" in one)
        assert units.endswith(" ${var.image_version}")

    def test_starts_from_a_pinned_ubuntu_of_generation_2(self, image):
        source = (image / "source.pkr.hcl").read_text("utf-8")
        ubuntu = json.loads((image / "versions.json").read_text("utf-8"))["ubuntu"]

        assert (ubuntu["offer"], ubuntu["sku"]) == ("ubuntu-24_04-lts", "server")
        assert re.search(r"image_version\s+= local\.versions\.ubuntu\.version\n", source)

    def test_holds_no_credential(self, image):
        text = "".join(path.read_text("utf-8") for path in image.glob("*.pkr.hcl"))

        assert "use_azure_cli_auth = true" in text
        assert not re.search(r"client_secret|password|sas_token", text)


class TestBuild:
    def test_checks_every_installation_before_the_next(self, image):
        scripts = [
            name
            for command in commands_of(image)
            for name in re.findall(r"\b((?:install|check|generalise)[a-z-]*\.sh)", command)
        ]

        assert scripts[0] == "check-pins.sh"
        assert scripts[-1] == "generalise.sh"
        installs, checks = scripts[1:-1:2], scripts[2:-1:2]
        assert all(name.startswith("install-") for name in installs)
        assert [name.replace("install-", "check-") for name in installs] == checks
        assert set(scripts) == {path.name for path in (image / "scripts").glob("*.sh")}

    def test_checks_the_driver_with_the_kernel_that_the_reboot_brings(self, image):
        commands = commands_of(image)

        words = ("install-nvidia-driver.sh", "systemctl reboot", "check-nvidia-driver.sh")
        places = [next(n for n, one in enumerate(commands) if word in one) for word in words]
        assert places == sorted(places)

    def test_brings_what_its_commands_read(self, image):
        text = (image / "build.pkr.hcl").read_text("utf-8")
        brought = set(re.findall(r'"\$\{var\.repository\}/([\w/.-]+)"', text))

        read = re.findall(r"\$\{local\.staging\}/([\w/.-]+)", " ".join(commands_of(image)))

        assert "requirements/vm-build.txt" in read
        assert [name for name in read if name.split("/")[0] not in brought] == []
        assert [name for name in read if not (image.parent / name).exists()] == []

    def test_removes_the_user_last(self, image):
        assert "generalise.sh" in commands_of(image)[-1]


class TestVersions:
    def test_are_exact(self, image):
        versions = json.loads((image / "versions.json").read_text("utf-8"))

        assert re.fullmatch(r"\d{8}T\d{6}Z", versions["archive_snapshot"])
        assert re.fullmatch(r"[0-9a-f]{40}", versions["hunyuan3d_source"]["commit"])
        assert versions["cuda_architectures"] == "8.0;9.0"
        revisions = [wanted["revision"] for wanted in versions["weights"].values()]
        assert all(re.fullmatch(r"[0-9a-f]{40}|unpinned", one) for one in revisions)

    def test_hold_the_weights_that_the_presets_name(self, image):
        versions = json.loads((image / "versions.json").read_text("utf-8"))

        held = {
            f"{repository}/{folder}"
            for repository, wanted in versions["weights"].items()
            for folder in wanted["folders"]
        }
        named = {part for preset in PRESETS.values() for part in preset.parts}
        assert held == named | set(TEXTURE_PARTS)
        assert versions["background_model"]["path"] == BACKGROUND_FILE
