"""The preview engine: seconds on a CPU, and honest about what it makes.

Photo, then `background` (what is the subject), `outline` (its flat triangulation), `inflation`
(a closed surface), `texture` (what it is painted with), `glb` and `picture` (what leaves the
engine). `engine` joins them.
"""

from gpu_agent.engines import Equipment
from gpu_agent.engines.preview.engine import PreviewEngine

__all__ = ["PreviewEngine", "build_engine"]


def build_engine(equipment: Equipment) -> PreviewEngine:
    """Make the engine; it needs nothing of its equipment.

    rembg's weights are not looked for: what a photo becomes must not hang on what lies in
    somebody's home.
    """
    return PreviewEngine()
