"""Fetches the pinned weights: ``python fetch_weights.py VERSIONS FOLDER``.

From the folder that holds ``gpu_agent``.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download

PICKLES = ["*.ckpt", "*.bin", "*.pt", "*.pth", "*.pkl"]
"""A pickle runs code when it is loaded. What lacks a twin in safetensors fails the smoke job."""

NEEDED_PICKLES = {
    "tencent/Hunyuan3D-2": [
        "hunyuan3d-paint-v2-0/text_encoder/pytorch_model.bin",
        "hunyuan3d-paint-v2-0/unet/diffusion_pytorch_model.bin",
    ]
}
"""The first has no twin, and hy3dgen looks for no twin of the second. Both are loaded with
``weights_only``, which runs no code."""


def main(versions: dict[str, Any], folder: Path) -> None:
    """Fetch all of it and write the manifest of hashes."""
    for repository, wanted in versions["weights"].items():
        snapshot_download(
            repository,
            revision=wanted["revision"],
            local_dir=folder / repository,
            allow_patterns=[f"{part}/*" for part in wanted["folders"]],
            ignore_patterns=PICKLES,
        )
        for name in NEEDED_PICKLES.get(repository, ()):
            hf_hub_download(
                repository, name, revision=wanted["revision"], local_dir=folder / repository
            )
    fetch_background_model(versions["background_model"], folder)
    # What the downloader keeps for itself.
    for kept in list(folder.rglob(".cache")):
        shutil.rmtree(kept)
    options = [
        word
        for name, wanted in versions["weights"].items()
        for word in ("--revision", f"{name}={wanted['revision']}")
    ]
    program = "gpu_agent.engines.hunyuan3d.weights"
    subprocess.run([sys.executable, "-m", program, "write", *options, str(folder)], check=True)


def fetch_background_model(model: dict[str, str], folder: Path) -> None:
    """Fetch the model that cuts the subject out; nothing is written unless its hash is right."""
    with urllib.request.urlopen(model["url"], timeout=600) as answer:
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != model["sha256"]:
        sys.exit(f"{model['url']} has SHA-256 {found}, pinned is {model['sha256']}")
    target = folder / model["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
