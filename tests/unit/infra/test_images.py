import pytest

from infra.deploy.images import read_wanted_images

MAIN = """
module "coldforge" {
  source = "../../modules/coldforge"
  regions = {
    eastus = {
      address_space = "10.0.0.0/16"
      vms = var.image_version == "" ? {} : {
        a = { host_number = 10, image_version = var.image_version }
        b = { host_number = 11, image_version = "1.0.0" }
      }
    }
    westus3 = { address_space = "10.1.0.0/16" }
  }
}
"""
VARIABLES = """
variable "image_version" {
  type    = string
  default = ""
}
"""


@pytest.fixture(name="folder")
def _folder(tmp_path):
    (tmp_path / "main.tf").write_text(MAIN)
    (tmp_path / "variables.tf").write_text(VARIABLES)
    return tmp_path


class TestReadWantedImages:
    def test_takes_a_version_from_the_variables_and_one_from_the_map(self, folder):
        (folder / "terraform.tfvars").write_text('image_version = "1.4.0"\n')

        assert read_wanted_images(folder, {}) == {"1.4.0", "1.0.0"}

    def test_follows_terraforms_order(self, folder):
        environ = {"TF_VAR_image_version": "2.0.0"}
        sources = {
            "terraform.tfvars": 'image_version = "3.0.0"',
            "terraform.tfvars.json": '{"image_version": "4.0.0"}',
            "a.auto.tfvars": 'image_version = "5.0.0"',
            "b.auto.tfvars.json": '{"image_version": "6.0.0"}',
        }
        seen = [read_wanted_images(folder, environ)]

        for name, text in sources.items():
            (folder / name).write_text(text + "\n")
            seen.append(read_wanted_images(folder, environ))

        assert [(one - {"1.0.0"}) for one in seen] == [{f"{n}.0.0"} for n in range(2, 7)]

    def test_leaves_out_what_is_empty(self, folder):
        assert read_wanted_images(folder, {}) == {"1.0.0"}

    def test_leaves_a_file_that_is_not_hcl_to_terraform(self, folder):
        (folder / "terraform.tfvars").write_text('image_version = "1.4.0')

        assert read_wanted_images(folder, {}) == frozenset()

    @pytest.mark.parametrize(
        "main", ["", MAIN.replace('"1.0.0"', "local.version"), MAIN.replace("coldforge", "other")]
    )
    def test_leaves_out_what_no_file_tells_plainly(self, folder, main):
        (folder / "main.tf").write_text(main)

        assert read_wanted_images(folder, {}) == frozenset()
