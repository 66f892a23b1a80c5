"""What the compiled extensions hold: ``python extensions.py "8.0;9.0"`` fails with a sentence."""

import importlib
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any


def find_file(name: str) -> Path:
    """Give the file that a module is loaded from."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"{name} is not installed")
    if not spec.origin.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
        sys.exit(f"{name} is {spec.origin}, which is not compiled")
    return Path(spec.origin)


def read_architectures(library: bytes) -> set[str]:
    """Give the GPU architectures that a library holds machine code for, as ``sm_80``.

    Each piece of machine code is an ELF file for CUDA (machine 190) within the library, and names
    its architecture in bits 8 to 15 of its flags.
    """
    found = set()
    for match in re.finditer(rb"\x7fELF\x02\x01", library):
        header = library[match.start() : match.start() + 64]
        if len(header) == 64 and int.from_bytes(header[18:20], "little") == 190:
            flags = int.from_bytes(header[48:52], "little")
            found.add(f"sm_{(flags >> 8) & 0xFF}")
    return found


def draw_triangle() -> None:
    """Draw one triangle on the GPU."""
    torch: Any = importlib.import_module("torch")
    custom_rasterizer: Any = importlib.import_module("custom_rasterizer")
    if not torch.cuda.is_available():
        sys.stdout.write("no GPU here: drawing on one is for the first VM to show\n")
        return
    corners = torch.tensor([[[-0.9, -0.9, 0, 1], [0.9, -0.9, 0, 1], [0, 0.9, 0, 1]]]).cuda()
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32).cuda()
    found, _ = custom_rasterizer.rasterize(corners, faces, (64, 64))
    if not 0 < int((found > 0).sum()) < 64 * 64:
        sys.exit("custom_rasterizer does not draw a triangle")


def main() -> None:
    """Check both."""
    wanted = {f"sm_{name.replace('.', '')}" for name in sys.argv[1].split(";")}
    find_file("hy3dgen.texgen.differentiable_renderer.mesh_processor")
    found = read_architectures(find_file("custom_rasterizer_kernel").read_bytes())
    if wanted - found:
        sys.exit(f"custom_rasterizer holds code for {sorted(found)}, wanted {sorted(wanted)}")
    draw_triangle()


if __name__ == "__main__":
    main()
