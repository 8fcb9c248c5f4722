"""A tag head behind the seam, whichever engine has opened its graph. Chooses no windows."""

from collections.abc import Iterator, Sequence

import numpy as np

from tercet.checkpoint.heads import TagHead
from tercet.engine.protocol import Array, OpenGraph
from tercet.errors import EngineError

_VALUES_AT_ONCE = 1 << 23  # of all windows' frames; the MLP's are four times as many, 128 MiB


class GraphTagScorer:
    """`engine.protocol.TagScorer` over an open `convert.tag_head.tag_head_graph`."""

    def __init__(self, graph: OpenGraph, head: TagHead) -> None:
        """`graph` was built from `head`."""
        self._graph = graph
        self._head = head

    def score(self, taps: Array, windows: np.ndarray) -> np.ndarray:
        """Logits of several windows (see `engine.protocol.TagScorer.score`).

        Raises:
            EngineError: the taps have other layers or another width, a window lies outside, or the
                engine failed.
        """
        taps = np.asarray(taps, dtype=np.float32)
        windows = checked_windows(self._head, taps.shape, windows)
        rows = [self._some(taps, part) for part in parts_of(self._head, len(taps), windows)]
        none = np.zeros((0, self._head.n_labels), np.float32)
        return np.concatenate([none, *rows])

    def _some(self, taps: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """As `score`; only the frames that are heard are projected."""
        if windows.shape[1] == 1:
            # The mean of a frame and itself, neither of which attention changes. OpenVINO (2026.4) gives
            # noise for longer windows once a graph of free shapes has begun with a time of one.
            windows = np.repeat(windows, 2, axis=1)
        first, end = int(windows.min()), int(windows.max()) + 1
        heard = np.ascontiguousarray(taps[:, first:end])
        return self._graph.run({"taps": heard, "windows": windows - first})["logits"]


def checked_windows(head: TagHead, taps: Sequence[int], windows: np.ndarray) -> np.ndarray:
    """The windows as int64 [n, frames per window], if they lie within taps of shape `taps`.

    Raises:
        EngineError: the taps do not fit the head, or a window lies outside.
    """
    layers = "layers" if head.n_layers is None else head.n_layers
    if len(taps) != 3 or not taps[0] or head.n_layers not in (None, taps[0]):
        fits = False
    else:
        fits = taps[2] == head.width
    if not fits:
        raise EngineError(
            f"taps have shape {list(taps)}; this tag head needs [{layers}, frames, {head.width}]: "
            "it was made for another encoder"
        )
    windows = np.asarray(windows)
    if windows.ndim != 2 or not windows.shape[1] or windows.dtype.kind not in "iu":
        raise EngineError(
            f"windows have shape {list(windows.shape)} of {windows.dtype}; needed: whole numbers "
            "[windows, frames]"
        )
    if windows.size and not 0 <= windows.min() <= windows.max() < taps[1]:
        raise EngineError(
            f"windows hear frames {windows.min()}..{windows.max()}; there are 0..{taps[1] - 1}"
        )
    return windows.astype(np.int64, copy=False)


def parts_of(head: TagHead, layers: int, windows: np.ndarray) -> Iterator[np.ndarray]:
    """The windows in groups, so that memory does not grow with their number."""
    each = (layers if head.layers == "each" else 1) * windows.shape[1] * head.hidden
    step = max(1, _VALUES_AT_ONCE // each)
    for at in range(0, len(windows), step):
        yield windows[at : at + step]
