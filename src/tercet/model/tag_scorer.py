"""A tag head on the torch engine, on a CPU or a GPU. Chooses no windows."""

import numpy as np
import torch
from torch import Tensor

from tercet.checkpoint.heads import TagHead
from tercet.engine.graph_tag_scorer import checked_windows, parts_of
from tercet.engine.protocol import Array
from tercet.model.engine import torch_device, torch_dtype
from tercet.model.tag_head import build_tag_head


class TorchTagScorer:
    """`engine.protocol.TagScorer` in torch."""

    def __init__(self, head: TagHead, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the module.

        Args:
            head: Any tag head.
            device: "cpu", "cuda", "cuda:1", ..
            dtype: "float32", "float16" or "bfloat16"; logits are float32 all the same.

        Raises:
            EngineError: the device is not there, or the dtype is another one.
            CheckpointError: the head lacks an array.
        """
        self._head = head
        self._place, self._number = torch_device(device), torch_dtype(dtype)
        self.module = build_tag_head(head).to(self._place, self._number).eval()

    @torch.no_grad()
    def score(self, taps: Array, windows: np.ndarray) -> np.ndarray:
        """Logits of several windows (see `engine.protocol.TagScorer.score`).

        `taps` may be a torch tensor on any device, or NumPy's.

        Raises:
            EngineError: the taps have other layers or another width, or a window lies outside.
        """
        windows = checked_windows(self._head, tuple(taps.shape), windows)
        # A copy: torch warns of NumPy arrays that cannot be written to.
        x = taps if isinstance(taps, Tensor) else torch.from_numpy(np.array(taps, np.float32))
        x = x.to(self._place, self._number)
        frames = self.module.project(x[None])[0]
        rows = [self._some(frames, part) for part in parts_of(self._head, len(x), windows)]
        none = np.zeros((0, self._head.n_labels), np.float32)
        return np.concatenate([none, *rows])

    def _some(self, frames: Tensor, windows: np.ndarray) -> np.ndarray:
        """`frames` [layers, frames, hidden] -> logits [windows, labels]."""
        cut = frames[:, torch.from_numpy(windows).to(self._place)].transpose(0, 1)
        logits: np.ndarray = self.module.classify(cut).float().cpu().numpy()
        return logits
