"""Cut a photo into subject and background: colour models and a smooth cut, taken in turns.

The cut is the convex form of a graph cut (total variation weighted by edges, solved by a
primal-dual iteration): the same minimum, in whole-picture numpy steps.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

_ROUNDS = 4
_STEPS = 70
_SMOOTHNESS = 4.0
_SIZE_SHARE = 0.35
"""How much the sizes of subject and background count beside their colours."""

_BIN = np.array([7.0, 5.0, 5.0], np.float32)
"""Width of a colour bin in L, a and b."""


def cut_subject(lab: Floats, likely: Floats, *, trust: float = 1.2) -> Floats:
    """Separate the subject from the background.

    Args:
        lab: (H, W, 3) CIE Lab.
        likely: (H, W) 0 to 1, a first guess.
        trust: Weight of the guess against the colours.

    Returns:
        (H, W) 0 to 1, nearly binary.
    """
    bins, shape = _colour_bins(lab)
    across, down = _edge_weights(lab)
    split = min(max(_split(likely), 0.05), 0.95)
    # Bent so that a guess on the dividing line says nothing either way.
    guess = (likely ** np.float32(np.log(0.5) / np.log(split))).clip(0.02, 0.98)
    prior = ndimage.gaussian_filter(np.log(guess / (1 - guess)), max(lab.shape) / 60)
    # Pixels that the guess is unsure of teach neither model: half of them are the other's.
    surely_not: Floats = ((1 - likely / np.float32(split)).clip(0, 1) ** 2).astype(np.float32)
    subject: Floats = (likely > 0.6 * split).astype(np.float32)
    for turn in range(_ROUNDS):
        if not 0 < subject.mean() < 1:
            break
        others: Floats = (1 - subject) * (surely_not + np.float32(0.15 * turn))
        mine, theirs = (_log_density(bins, shape, w) for w in (subject, others))
        # A small subject must not claim the colour of a large background that came along.
        share = float(subject.sum()) / max(float(others.sum()), 1.0)
        smaller = np.float32(min(0.0, _SIZE_SHARE * np.log(max(share, 1e-4))))
        evidence = mine - theirs + smaller
        # The first guess gives way to the colours that were learned from it.
        unary = -(evidence.clip(-4, 4) + prior * np.float32(trust / (1 + 0.4 * turn)))
        subject = _smooth_cut(subject, unary.astype(np.float32), across, down)
    return subject


def _split(values: Floats) -> float:
    """Otsu's threshold of values from 0 to 1."""
    count, edges = np.histogram(values, 64, (0, 1))
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(count)
    above = below[-1] - below
    sums = np.cumsum(count * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middle[np.nan_to_num(gap).argmax()])


def _colour_bins(lab: Floats) -> tuple[NDArray[np.intp], tuple[int, int, int]]:
    index = np.floor((lab - lab.min(axis=(0, 1))) / _BIN).astype(np.intp)
    shape = tuple(int(n) + 1 for n in index.max(axis=(0, 1)))
    return np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), shape), shape  # type: ignore[return-value]


def _log_density(bins: NDArray[np.intp], shape: tuple[int, int, int], weight: Floats) -> Floats:
    count = np.bincount(bins.ravel(), weight.ravel(), int(np.prod(shape))).reshape(shape)
    smooth = ndimage.gaussian_filter(count / max(count.sum(), 1e-9), 1.0, mode="constant")
    density: Floats = np.log(smooth + 2e-5).astype(np.float32).ravel()[bins]
    return density


def _edge_weights(lab: Floats) -> tuple[Floats, Floats]:
    """Give the cost of cutting between a pixel and its right and its lower neighbour."""
    scaled = lab * np.array([0.7, 1.0, 1.0], np.float32)
    across = (np.diff(scaled, axis=1, append=scaled[:, -1:]) ** 2).sum(axis=-1)
    down = (np.diff(scaled, axis=0, append=scaled[-1:]) ** 2).sum(axis=-1)
    typical = 2.0 * float(across.mean() + down.mean()) / 2 + 1e-6
    floor = np.float32(0.06)
    weights = [
        _SMOOTHNESS * (floor + (1 - floor) * np.exp(-step / typical)) for step in (across, down)
    ]
    across, down = (w.astype(np.float32) for w in weights)
    across[:, -1] = 0
    down[-1] = 0
    return across, down


def _smooth_cut(start: Floats, unary: Floats, across: Floats, down: Floats) -> Floats:
    """Minimise unary * u + weights * |gradient of u| over 0 <= u <= 1."""
    u, ahead = start, start
    px, py = np.zeros_like(start), np.zeros_like(start)
    sigma = tau = np.float32(0.35)
    for _ in range(_STEPS):
        px[:, :-1] += sigma * (ahead[:, 1:] - ahead[:, :-1])
        py[:-1] += sigma * (ahead[1:] - ahead[:-1])
        np.clip(px, -across, across, out=px)
        np.clip(py, -down, down, out=py)
        divergence = px + py
        divergence[:, 1:] -= px[:, :-1]
        divergence[1:] -= py[:-1]
        new = (u + tau * (divergence - unary)).clip(0, 1)
        ahead = 2 * new - u
        u = new
    return u
