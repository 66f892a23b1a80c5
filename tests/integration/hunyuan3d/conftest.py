"""Tiny weights and the real pipelines on them; torch is imported once a worker."""

import shutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Nets this small are twice as fast with one thread, and far less of a nuisance to others."""
    from gpu_agent.engines.hunyuan3d import libraries

    libraries.torch().set_num_threads(1)


@pytest.fixture(name="weights_folder", scope="session")
def _weights_folder(tmp_path_factory):
    # Imported here, for without torch these tests are skipped and not broken.
    from gpu_agent.engines.hunyuan3d.tiny.folder import write_tiny_weights

    folder = tmp_path_factory.mktemp("weights")
    write_tiny_weights(folder)
    return folder


@pytest.fixture(name="own_weights")
def _own_weights(weights_folder, tmp_path):
    """Weights that a test may spoil."""
    folder = tmp_path / "weights"
    shutil.copytree(weights_folder, folder)
    return folder


@pytest.fixture(name="model", scope="session")
def _model(weights_folder):
    from gpu_agent.engines.hunyuan3d.torch_model import TorchModel

    model = TorchModel(weights_folder, device="cpu", texture=False, threads=1)
    model.load(lambda _percent, _detail: None)
    return model
