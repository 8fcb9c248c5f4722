"""A quantizer behind the seam in torch, on a CPU or a GPU. What it refuses is the same as everywhere."""

import numpy as np
import torch
from torch import Tensor

from tercet.checkpoint.heads import Quantizer
from tercet.engine.graph_coder import as_codes, code_bias, whole_frames, whole_window
from tercet.model.engine import torch_device, torch_dtype
from tercet.model.quantizer import QuantizerModel


class TorchCoder:
    """`engine.protocol.Coder` in torch."""

    def __init__(self, head: Quantizer, device: str = "cpu", dtype: str = "float32") -> None:
        """Build the module and fill it.

        Args:
            head: The quantizer.
            device: "cpu", "cuda", "cuda:1", ..
            dtype: "float32", "float16" or "bfloat16". The codebook is searched in float32 all the same;
                in half precision some codes differ.

        Raises:
            EngineError: torch cannot use the device or dtype.
        """
        place, number = torch_device(device), torch_dtype(dtype)
        self.head = head
        self.module = QuantizerModel(head).load_head().to(place, number).eval()
        for index, level in enumerate(self.module.levels):  # rounded above, with the weights
            codebook = np.array(head.arrays.read(f"levels.{index}.codebook"), np.float32)
            level.codebook = torch.from_numpy(codebook).to(place)

    @torch.no_grad()
    def encode(self, states: Tensor, *, allow_mask: bool = False) -> np.ndarray:
        """Codes of one window (see `engine.graph_coder.GraphCoder.encode`).

        Raises:
            EngineError: the states have another width, are too many, or make no whole code.
        """
        frames = whole_frames(states.shape, self.head)
        weight = self.module.layer_norm.weight
        # A copy: torch warns of NumPy arrays that cannot be written to.
        x = states if isinstance(states, Tensor) else torch.from_numpy(np.array(states, np.float32))
        x = x[None, :frames].to(weight.device, weight.dtype)
        bias = torch.from_numpy(code_bias(self.head, allow_mask=allow_mask)).to(weight.device)
        _, codes = self.module.encode(x, bias)
        return as_codes(codes[0].cpu().numpy(), self.head)

    @torch.no_grad()
    def decode(self, codes: np.ndarray) -> Tensor:
        """States for the decoder, float32 [positions, width] on the engine's device.

        Raises:
            EngineError: too many codes, or one that the codebook lacks.
        """
        padded = torch.from_numpy(whole_window(codes, self.head)[None])
        states = self.module.decode(padded.to(self.module.layer_norm.weight.device))
        return states[0].float()
