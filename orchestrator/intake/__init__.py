"""Takes in what callers send: an image becomes one upright PNG, a URL becomes bytes, or neither.

Nothing from outside is decoded before its header was judged, and no address is connected to that
was not checked.
"""

from orchestrator.intake.body import parse_batch, parse_job
from orchestrator.intake.images import NormalisedImage, normalise_image
from orchestrator.intake.urls import FetchLimits, ImageFetcher

__all__ = [
    "FetchLimits",
    "ImageFetcher",
    "NormalisedImage",
    "normalise_image",
    "parse_batch",
    "parse_job",
]
