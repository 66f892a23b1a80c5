"""The preview engine: seconds on a CPU, and honest about what it makes.

Photo, then `background` (what is the subject), `outline` (its flat triangulation), `inflation`
(a closed surface), `texture` (what it is painted with), `glb` and `picture` (what leaves the
engine). `engine` joins them.
"""

from gpu_agent.engines.preview.engine import PreviewEngine

__all__ = ["PreviewEngine"]
