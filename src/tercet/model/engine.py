"""The torch engine: `engine.protocol` over the modules of this folder, on a CPU or a GPU.

Arrays that come out are torch tensors on the engine's device, float32. Nothing is decoded or cut
here.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.geometry import Geometry
from tercet.engine.checks import (
    check_reorder,
    check_roll_back,
    check_states,
    check_step,
    encoder_frames,
)
from tercet.engine.protocol import Encoded
from tercet.errors import EngineError
from tercet.model.cache import RaggedCache
from tercet.model.decoder import TextDecoder
from tercet.model.encoder import AudioEncoder

FRAMES_PER_TAP = 20  # 0.4 s of 20 ms states
KeysValues = list[tuple[Tensor, Tensor]]  # of each layer, [rows, heads, frames, head width]
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchEncoder:
    """`engine.protocol.Encoder` in torch."""

    def __init__(self, module: AudioEncoder, geometry: Geometry, *, taps: bool = True) -> None:
        """Wrap a module that lies on its device in its type already.

        `taps=False` saves their memory.
        """
        self.module = module.eval()
        self.geometry = geometry
        self.taps = taps

    @torch.no_grad()
    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        """Encode one window.

        Args:
            mel: float32 [n_mels, 2 x frames], 100 columns per second, at most 30 s.
            real_frames: Encoder frames (50 per second) that are sound and not padding, all by
                default; the tap in which the sound ends averages no others.

        Raises:
            EngineError: `mel` has another shape, or `real_frames` does not lie inside.
        """
        _, real = encoder_frames(mel, real_frames, self.geometry)
        weight = self.module.conv1.weight
        x = torch.as_tensor(np.ascontiguousarray(mel)).to(weight.device, weight.dtype)[None]
        means = []
        for block in self.module.blocks(x):
            if self.taps:
                means.append(_tap(block[0].float(), real))
        states = self.module.layer_norm(block)[0].float()
        return Encoded(states, torch.stack(means) if self.taps else None)


class TorchDecoder:
    """`engine.protocol.Decoder` in torch."""

    def __init__(
        self,
        module: TextDecoder,
        geometry: Geometry,
        alignment_heads: tuple[tuple[int, int], ...] | None = None,
    ) -> None:
        """Wrap a module that lies on its device in its type already.

        Args:
            module: The decoder.
            geometry: Its sizes.
            alignment_heads: (layer, head) pairs that `alignment()` gives, in this order. By default
                all heads of the upper half of the layers, as openai-whisper has it.
        """
        self.module = module.eval()
        self.geometry = geometry
        self.steps_rows_together = True
        self.alignment_heads = alignment_heads or default_alignment_heads(geometry)

    @torch.no_grad()
    def project(self, states: Tensor) -> KeysValues:
        """Keys and values of cross-attention for one window's `states` [frames, width].

        Raises:
            EngineError: `states` have another shape.
        """
        weight = self.module.embed_tokens.weight
        states = torch.as_tensor(states).to(weight.device, weight.dtype)
        check_states(states.shape, self.geometry)
        return self.module.cross_keys_values(states[None])

    def open(self, windows: Sequence[KeysValues], *, align: bool = False) -> "TorchSession":
        """Start a session, one row for each of `windows`."""
        return TorchSession(
            self.module, self.geometry, windows, self.alignment_heads if align else ()
        )


class TorchSession:
    """`engine.protocol.Session` in torch."""

    def __init__(
        self,
        module: TextDecoder,
        geometry: Geometry,
        windows: Sequence[KeysValues],
        alignment_heads: tuple[tuple[int, int], ...],
    ) -> None:
        """Start with empty rows, one per window; no heads mean no alignment."""
        self._module = module
        self._limit = geometry.n_text_ctx
        layers = [list(zip(*layer, strict=True)) for layer in zip(*windows, strict=True)]
        self._cross = [(_side_by_side(keys), _side_by_side(values)) for keys, values in layers]
        keys = self._cross[0][0]
        frames = torch.tensor([key.shape[2] for key in layers[0][0]], device=keys.device)
        self._heard: Tensor | None = None
        if int(frames.min()) < keys.shape[2]:  # windows of one length do without a mask
            longest = torch.arange(keys.shape[2], device=keys.device)
            self._heard = (longest < frames[:, None])[:, None, None]
        self._cache = RaggedCache(len(self._cross), keys[:, :, :0])
        self._voices = np.arange(len(windows))  # which of the opened windows each row hears
        self._heads = alignment_heads
        self._hidden = keys.new_zeros(keys.shape[0], 1, geometry.width)  # of the last step
        self._seen = keys.new_zeros(
            (keys.shape[0], len(alignment_heads), 0, keys.shape[2]), dtype=torch.float32
        )

    @property
    def rows(self) -> int:
        """How many rows there are now."""
        return len(self._cache.lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row's cache, int64 [rows]."""
        return self._cache.lengths.copy()

    @torch.no_grad()
    def step(
        self,
        tokens: np.ndarray,
        *,
        counts: np.ndarray | None = None,
        keep: np.ndarray | None = None,
    ) -> Tensor:
        """Append tokens and return logits (see `engine.protocol.Session.step`).

        Raises:
            EngineError: a row would grow past the model's text context, or the arguments do not
                fit.
        """
        tokens = np.asarray(tokens, np.int64)
        n = tokens.shape[-1]
        counts = np.full(self.rows, n) if counts is None else np.asarray(counts, np.int64)
        keep = counts[:, None] - 1 if keep is None else np.asarray(keep, np.int64)
        check_step(tokens, counts, keep, self._cache.lengths, self._limit)
        device = self._module.embed_tokens.weight.device
        watched = frozenset(layer for layer, _ in self._heads)
        hidden, seen = self._module.run(
            torch.from_numpy(tokens).to(device), self._cache, self._cross, watched, self._heard
        )
        if self._heads:
            self._remember(seen, n)
        self._cache.lengths = self._cache.lengths + counts
        wanted = torch.from_numpy(np.ascontiguousarray(keep)).to(device)
        self._hidden = hidden.gather(1, wanted[:, :, None].expand(-1, -1, hidden.shape[2]))
        return self._module.logits(self._hidden)

    def hidden(self) -> Tensor:
        """What the last step's logits were made of, [rows, k, width]; good until the next step."""
        return self._hidden

    def heard(self, layer: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """What one layer's cross-attention reads: keys, values, and which frames are a row's own."""
        return (*self._cross[layer], self._heard)

    def written(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """What one layer's self-attention reads: keys, values, and which places are a row's own."""
        lengths = self._cache.lengths
        keys, values = self._cache.read(layer, int(lengths.max(initial=0)))
        places = torch.arange(keys.shape[2], device=keys.device)
        own = places < torch.from_numpy(lengths).to(keys.device)[:, None]
        return keys, values, own[:, None, None]

    def roll_back(self, lengths: np.ndarray) -> None:
        """Shorten each row's cache to `lengths` (int64 [rows]).

        Raises:
            EngineError: a row is shorter than that already.
        """
        lengths = np.asarray(lengths, np.int64)
        check_roll_back(lengths, self._cache.lengths)
        self._cache.lengths = lengths.copy()

    @torch.no_grad()
    def reorder(self, rows: np.ndarray) -> None:
        """Make row i a copy of old row `rows[i]`.

        Raises:
            EngineError: there is no such row.
        """
        rows = np.asarray(rows, np.int64)
        check_reorder(rows, self.rows)
        if np.array_equal(rows, np.arange(self.rows)):
            return
        self._cache.reorder(rows)
        index = torch.from_numpy(rows).to(self._seen.device)
        self._seen = self._seen.index_select(0, index)
        voices = self._voices[rows]
        if not np.array_equal(voices, self._voices):  # beams of one window swap without this copy
            self._voices = voices
            self._cross = [
                (keys.index_select(0, index), values.index_select(0, index))
                for keys, values in self._cross
            ]
            if self._heard is not None:
                self._heard = self._heard.index_select(0, index)

    def alignment(self) -> Tensor:
        """Attention weights of the chosen heads, float32 [rows, heads, tokens, frames].

        `tokens` is the longest row's length, `frames` the longest window's; behind a shorter row's end, and
        behind a shorter window's, the weights are zero.

        Raises:
            EngineError: the session was opened without `align=True`.
        """
        if not self._heads:
            raise EngineError("no alignment was kept; open the session with align=True")
        tokens = int(self._cache.lengths.max(initial=0))
        lengths = torch.from_numpy(self._cache.lengths).to(self._seen.device)
        real = torch.arange(tokens, device=self._seen.device) < lengths[:, None]
        return self._seen[:, :, :tokens] * real[:, None, :, None]

    def _remember(self, seen: dict[int, Tensor], n: int) -> None:
        """Store the chosen heads' weights behind each row's length (not moved yet)."""
        room = self._cache.room - self._seen.shape[2]
        if room > 0:
            rows, heads, _, frames = self._seen.shape
            more = self._seen.new_zeros(rows, heads, room, frames)
            self._seen = torch.cat([self._seen, more], dim=2)
        chosen = torch.stack([seen[layer][:, head] for layer, head in self._heads], dim=2)
        device = self._seen.device
        starts = torch.from_numpy(self._cache.lengths).to(device)
        places = starts[:, None] + torch.arange(n, device=device)
        index = torch.arange(self.rows, device=device)[:, None]
        self._seen[index, :, places] = chosen


def _side_by_side(windows: Sequence[Tensor]) -> Tensor:
    """[1, heads, frames, size] of each window -> [rows, heads, longest, size], zero behind shorter ones."""
    longest = max(each.shape[2] for each in windows)
    return torch.cat([F.pad(each, (0, 0, 0, longest - each.shape[2])) for each in windows])


def default_alignment_heads(geometry: Geometry) -> tuple[tuple[int, int], ...]:
    """All heads of the upper half of the decoder's layers (openai-whisper's choice for unknown models)."""
    upper = range(geometry.decoder_layers // 2, geometry.decoder_layers)
    return tuple((layer, head) for layer in upper for head in range(geometry.decoder_heads))


def build_torch(
    checkpoint: Checkpoint,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    taps: bool = True,
    threads: int | None = None,
) -> tuple[TorchEncoder, TorchDecoder]:
    """Modules with a checkpoint's weights, one array in memory at a time.

    Raises:
        EngineError: the device is not there, or the dtype is not "float32", "float16" or
            "bfloat16". CheckpointError: an array cannot be read.
    """
    place, number = torch_device(device), torch_dtype(dtype)
    if threads is not None:
        torch.set_num_threads(threads)
    g = checkpoint.geometry
    with torch.device("meta"):  # no memory and no random start for what is overwritten at once
        encoder = AudioEncoder(
            n_mels=g.n_mels,
            width=g.width,
            layers=g.encoder_layers,
            heads=g.encoder_heads,
            mlp_width=g.mlp_width,
            n_audio_ctx=g.n_audio_ctx,
        )
        decoder = TextDecoder(
            vocab_size=g.vocab_size,
            width=g.width,
            layers=g.decoder_layers,
            heads=g.decoder_heads,
            mlp_width=g.mlp_width,
            n_text_ctx=g.n_text_ctx,
        )
    sides: tuple[tuple[str, nn.Module], ...] = (("encoder", encoder), ("decoder", decoder))
    for side, module in sides:
        module.to(number).to_empty(device=place)
        _fill(module, checkpoint, f"model.{side}.")
    heads = checkpoint.generation.alignment_heads
    return TorchEncoder(encoder, g, taps=taps), TorchDecoder(decoder, g, heads)


def _fill(module: nn.Module, checkpoint: Checkpoint, prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(checkpoint.read(prefix + name))))
            parameter.requires_grad_(False)


def torch_device(name: str) -> torch.device:
    """A device by its name.

    Raises:
        EngineError: torch cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "unknown"
        raise EngineError(f"device {name!r} cannot be used by torch ({reason}); try cpu") from error
    return device


def torch_dtype(name: str) -> torch.dtype:
    """A number type by its name.

    Raises:
        EngineError: the engine does not compute in it.
    """
    if name not in _DTYPES:
        raise EngineError(f"dtype {name!r}: the torch engine has {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _tap(block: Tensor, real: int) -> Tensor:
    """Means of 20 frames each, [ceil(frames / 20), width].

    The one where `real` ends averages only those.
    """
    frames = block.shape[0]
    whole = frames // FRAMES_PER_TAP
    means = block[: whole * FRAMES_PER_TAP].reshape(whole, FRAMES_PER_TAP, block.shape[1]).mean(1)
    if frames % FRAMES_PER_TAP:
        means = torch.cat([means, block[whole * FRAMES_PER_TAP :].mean(0, keepdim=True)])
    last = (real - 1) // FRAMES_PER_TAP
    means[last] = block[last * FRAMES_PER_TAP : real].mean(0)
    return means
