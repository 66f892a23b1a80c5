"""Guess which parts of a photo stand out: superpixels that hang together with the frame are not.

The measure is "boundary connectivity" (Zhu et al., Saliency Optimization from Robust Background
Detection, 2014): a region is background when much of what looks like it touches the frame.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from skimage.segmentation import slic

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_SUPERPIXELS = 260
_SAME_COLOUR = 9.0
"""Lab distance within which two regions look alike."""


def find_salience(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score each pixel from 0 (background) to 1 (subject).

    Args:
        lab: (H, W, 3) CIE Lab, some hundred pixels on a side.

    Returns:
        (H, W), constant within a superpixel; all 0 when nothing stands out.
    """
    label = slic(
        lab, n_segments=_SUPERPIXELS, compactness=0.15, convert2lab=False, max_num_iter=6,
        start_label=0, channel_axis=-1,
    )  # fmt: skip
    count = int(label.max()) + 1
    if count < 4:
        return np.zeros(label.shape, np.float32)
    size = np.bincount(label.ravel(), minlength=count).astype(float)
    colour = np.stack([np.bincount(label.ravel(), lab[..., c].ravel(), count) for c in range(3)])
    colour = (colour / size).T
    high, wide = label.shape
    v, u = np.mgrid[0:high, 0:wide]
    place = np.stack([np.bincount(label.ravel(), axis.ravel(), count) for axis in (u, v)]) / size
    place = place.T / max(high, wide)

    pairs = _neighbours(label)
    difference = np.linalg.norm(colour[:, None] - colour[None], axis=-1)
    step = np.linalg.norm(colour[pairs[:, 0]] - colour[pairs[:, 1]], axis=1)
    on_frame = np.zeros(count, np.bool_)
    for edge in (label[0], label[-1], label[:, 0], label[:, -1]):
        on_frame[edge] = True

    background = _background_weight(pairs, step, on_frame)
    near = np.exp(-((place[:, None] - place[None]) ** 2).sum(-1) / (2 * 0.4**2))
    contrast = (difference * near * background).sum(axis=1)
    offset = place - np.array([wide, high]) / (2 * max(high, wide))
    central = np.exp(-(offset**2).sum(axis=1) / (2 * 0.35**2))
    contrast = contrast * central
    if contrast.max() <= 1e-6:
        return np.zeros(label.shape, np.float32)
    score = _settle(contrast / contrast.max(), background, pairs, step)
    salience: NDArray[np.float32] = score.astype(np.float32)[label]
    return salience


def _neighbours(label: Ints) -> Ints:
    """List pairs of superpixels that touch, and all pairs along the frame's four corners."""
    right = np.stack([label[:, :-1].ravel(), label[:, 1:].ravel()], axis=1)
    down = np.stack([label[:-1].ravel(), label[1:].ravel()], axis=1)
    frame = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    around = np.stack(np.meshgrid(frame, frame), axis=-1).reshape(-1, 2)
    pairs = np.concatenate([right, down, around])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def _background_weight(pairs: Ints, step: Floats, on_frame: NDArray[np.bool_]) -> Floats:
    count = len(on_frame)
    # Dijkstra takes a stored 0 for "no edge".
    cost = np.maximum(step - 3.0, 0) + 1e-6
    graph = coo_array((cost, (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    far = dijkstra(graph, directed=False)
    alike = np.exp(-(far**2) / (2 * _SAME_COLOUR**2))
    area = alike.sum(axis=1)
    border = alike[:, on_frame].sum(axis=1)
    connectivity = border / np.sqrt(area)
    weight: Floats = 1 - np.exp(-(connectivity**2) / 2)
    return weight


def _settle(contrast: Floats, background: Floats, pairs: Ints, step: Floats) -> Floats:
    """Least squares of three wishes: background is 0, contrast is 1, neighbours are alike."""
    count = len(contrast)
    tie = np.exp(-(step**2) / (2 * _SAME_COLOUR**2)) + 0.1
    laplacian = np.zeros((count, count))
    laplacian[pairs[:, 0], pairs[:, 1]] = laplacian[pairs[:, 1], pairs[:, 0]] = -tie
    laplacian[np.diag_indices(count)] = -laplacian.sum(axis=1)
    system = laplacian + np.diag(background * 5 + contrast + 1e-6)
    settled: Floats = np.asarray(np.linalg.solve(system, contrast), np.float64)
    low, high = settled.min(), settled.max()
    if high - low < 1e-9:
        return np.zeros(count)
    score: Floats = (settled - low) / (high - low)
    return score
