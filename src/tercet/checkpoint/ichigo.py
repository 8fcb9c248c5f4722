"""Ichigo-Whisper's and WhisperVQ's files, read without torch: a quantizer from a pickle of tensors.

Two layouts. Ichigo's `.pth` and `.ckpt` are Lightning checkpoints, whose keys begin with "model." and
which say nothing about sizes; WhisperSpeech's `.model` has `config` and `tunables` beside its
`state_dict`. Nothing is computed or written here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tercet.audio.convention import ICHIGO
from tercet.checkpoint.head_naming import quantizer_shapes
from tercet.checkpoint.heads import Downsampling, HeadArrays, Origin, Quantizer
from tercet.checkpoint.torch_file import TorchFile, TorchTensors, open_torch_file
from tercet.errors import CheckpointError

# Our modules -> theirs, as vector_quantize_pytorch 1.6.22 and WhisperSpeech's v3 name them; `{}` is the
# number of a level or a block.
ICHIGO_KEYS = {
    "downsample_conv": "downsample_conv",
    "mlp.norm": "mlp_ln",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "levels.{}.project_in": "rq.layers.{}.project_in",
    "levels.{}.project_out": "rq.layers.{}.project_out",
    "levels.{}.codebook": "rq.layers.{}._codebook.embed",
    "embed_positions": "positional_embedding",
    "blocks.{}.self_attn.q_proj": "_out_blocks.{}.attn.query",
    "blocks.{}.self_attn.k_proj": "_out_blocks.{}.attn.key",
    "blocks.{}.self_attn.v_proj": "_out_blocks.{}.attn.value",
    "blocks.{}.self_attn.out_proj": "_out_blocks.{}.attn.out",
    "blocks.{}.self_attn_layer_norm": "_out_blocks.{}.attn_ln",
    "blocks.{}.fc1": "_out_blocks.{}.mlp.0",
    "blocks.{}.fc2": "_out_blocks.{}.mlp.2",
    "blocks.{}.final_layer_norm": "_out_blocks.{}.mlp_ln",
    "layer_norm": "ln_post",
}
# Other versions' names for the same: WhisperSpeech's v2, and vector_quantize_pytorch after 1.6.22.
_RENAMED = (
    (re.compile(r"^out_blocks\."), "_out_blocks."),
    (re.compile(r"^rq\.(project_in|project_out)\."), r"rq.layers.0.\1."),
)
_EMBED = re.compile(r"rq\.layers\.(\d+)\._codebook\.embed")
_BLOCK = re.compile(r"_out_blocks\.(\d+)\.")
_INV_FREQ = re.compile(r"_out_blocks\.\d+\.attn\.rotary\.inv_freq")
# What training counts, and what follows from the sizes.
_HARMLESS = re.compile(
    r"val_true|val_total|_codebook_usage|_out_blocks\.\d+\.attn\.rotary\.inv_freq"
    r"|rq\.layers\.\d+\._codebook\.(initted|cluster_size|embed_avg)"
)
_HEAD_WIDTH = 64  # of every published file
_MAX_SIZE = 2**20  # of any axis: what lies beyond is no quantizer
_MAX_NUMBER = 64  # levels or blocks
_MERGED_ROWS, _MERGED_MASK = 2561, 2048  # [2048 codes and the mask | 512 older codes]
_ROPE_BASE = 10000.0
_ENCODERS = {1024: "medium", 1280: "large-v3"}  # Ichigo's two sizes, by width
_AGAIN = "fetch the file again"


def looks_like_ichigo(value: object) -> bool:
    """Whether what a torch file holds (`TorchFile.value`) is in one of the two layouts."""
    state = value.get("state_dict") if isinstance(value, Mapping) else None
    return isinstance(state, Mapping) and any(
        isinstance(key, str) and key.endswith("._codebook.embed") for key in state
    )


def open_ichigo(path: Path, *, name: str | None = None) -> Quantizer:
    """Open a quantizer that Ichigo's training or WhisperSpeech wrote; its arrays are read at once.

    Args:
        path: A `.pth` or `.ckpt` (Lightning) or a `.model` file.
        name: For `Origin.name`; by default the file's name without its ending.

    Raises:
        UnsafePickleError: it wants to call the operating system.
        CheckpointError: it is damaged, incomplete, or holds something else.
    """
    return read_ichigo(open_torch_file(Path(path)), name=name)


def read_ichigo(file: TorchFile, *, name: str | None = None) -> Quantizer:
    """The same from an open file.

    Raises:
        CheckpointError: it is damaged, incomplete, or holds something else.
    """
    path, value = file.path, file.value
    state = value.get("state_dict") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(state, Mapping):
        raise CheckpointError(
            f"{path}: no 'state_dict' in it; give a quantizer's .pth, .ckpt or .model file"
        )
    config = value.get("config")
    is_whisperspeech = isinstance(config, Mapping)
    stored = _Stored(path, file.tensors(state))
    if is_whisperspeech:
        tunables = value.get("tunables")
        settings = _Settings(path, config, tunables if isinstance(tunables, Mapping) else {})
    else:
        settings = _Settings(path)
    return _quantizer(stored, settings, name or path.stem)


class _Stored:
    """A file's tensors under the names of `ICHIGO_KEYS`' right side."""

    def __init__(self, path: Path, tensors: TorchTensors) -> None:
        self.path = path
        self._tensors = tensors
        self.keys: dict[str, str] = {}  # that name -> the file's own
        for key in tensors.refs:
            known = key.removeprefix("model.")
            for pattern, name in _RENAMED:
                known = pattern.sub(name, known)
            if known in self.keys:
                raise CheckpointError(f"{path}: {known[:80]!r} is there twice, under two names")
            self.keys[known] = key
        self.shares_projections = any(
            key.removeprefix("model.").startswith("rq.project_in.") for key in tensors.refs
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one tensor; a codebook without its leading axis of 1."""
        if name not in self.keys:
            raise CheckpointError(
                f"{self.path}: {name} is missing; the file is incomplete, or no quantizer of "
                "Ichigo's or WhisperVQ's kind"
            )
        shape = self._tensors.shape(self.keys[name])
        if len(shape) > 4 or not all(1 <= size <= _MAX_SIZE for size in shape):
            raise CheckpointError(f"{self.path}: {name} has shape {list(shape)}; {_AGAIN}")
        return shape[1:] if _EMBED.fullmatch(name) and len(shape) == 3 and shape[0] == 1 else shape

    def read(self, name: str) -> np.ndarray:
        """One tensor, in its `shape`."""
        shape = self.shape(name)
        return self._tensors.read(self.keys[name]).reshape(shape)

    def plane(self, name: str) -> tuple[int, int]:
        """The shape of a matrix.

        Raises:
            CheckpointError: it is none.
        """
        shape = self.shape(name)
        if len(shape) != 2:
            raise CheckpointError(
                f"{self.path}: {name} has shape {list(shape)}, which is no matrix"
            )
        return shape[0], shape[1]

    def count(self, pattern: re.Pattern[str]) -> int:
        """How many levels or blocks there are."""
        found = {int(match[1][:6]) for key in self.keys if (match := pattern.match(key))}
        if found != set(range(len(found))) or len(found) > _MAX_NUMBER:
            raise CheckpointError(f"{self.path}: levels or blocks are missing; {_AGAIN}")
        return len(found)

    def rotary_width(self) -> int | None:
        """The head width that rotary positions were made for; None where there are none.

        Raises:
            CheckpointError: blocks differ, or the frequencies are not those of base 10000.
        """
        names = [key for key in self.keys if _INV_FREQ.fullmatch(key)]
        if not names:
            return None
        if len(names) != self.count(_BLOCK):
            raise CheckpointError(f"{self.path}: only some blocks have rotary positions; {_AGAIN}")
        for name in names:
            frequencies = self.read(name).astype(np.float64)
            steps = np.arange(frequencies.size) / frequencies.size
            # Files in half precision round them.
            if frequencies.ndim != 1 or not np.allclose(
                frequencies, _ROPE_BASE**-steps, rtol=5e-3, atol=1e-6
            ):
                raise CheckpointError(
                    f"{self.path}: {name} is not that of rotary positions with base 10000"
                )
        return 2 * self.shape(names[0])[0]


class _Settings:
    """What a file says beside its tensors: WhisperSpeech's `config` and `tunables`, or nothing.

    What those lack has the value that WhisperSpeech gives to old files; what a Lightning file cannot say
    has Ichigo's.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, object] | None = None,
        tunables: Mapping[str, object] | None = None,
    ) -> None:
        self._path = path
        self.is_lightning = config is None
        self._config = config or {}
        self._tunables = tunables or {}

    def whole(self, key: str) -> int | None:
        """A whole number of `config`; None where it is absent."""
        value = self._config.get(key)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= _MAX_SIZE:
            raise CheckpointError(f"{self._path}: config has {key} {str(value)[:40]!r}; {_AGAIN}")
        return value

    def flag(self, key: str, old: bool, ichigo: bool) -> bool:
        """A yes or no of `tunables`."""
        if self.is_lightning:
            return ichigo
        value = self._tunables.get(key, old)
        if not isinstance(value, bool):
            raise CheckpointError(
                f"{self._path}: tunables have {key} {str(value)[:40]!r}; {_AGAIN}"
            )
        return value

    @property
    def query_mult(self) -> float:
        """WhisperSpeech's factor of queries and keys."""
        if self.is_lightning:
            return 2.0
        value = self._tunables.get("query_mult", 1.0)
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise CheckpointError(
                f"{self._path}: tunables have query_mult {str(value)[:40]!r}; {_AGAIN}"
            )
        return float(value)

    def check_cosine(self) -> None:
        """Codebooks that are searched by distance would give other codes.

        Raises:
            CheckpointError: this is one.
        """
        if self._config.get("use_cosine_sim") is False:
            raise CheckpointError(
                f"{self._path}: its codebook is searched by distance; Tercet knows cosine codebooks"
            )

    def encoder_name(self, width: int) -> str:
        """The Whisper that it was trained on; "" where nobody knows."""
        if self.is_lightning:
            return _ENCODERS.get(width, "")
        name = self._config.get("whisper_model_name")
        return name if isinstance(name, str) and len(name) < 100 else ""

    def check_rope(self, found: bool) -> None:
        """Rotary positions are there if the tunables say so.

        Raises:
            CheckpointError: they contradict the tensors.
        """
        if not self.is_lightning and self.flag("rope", found, found) != found:
            said = "no rotary positions" if found else "rotary positions"
            raise CheckpointError(
                f"{self._path}: tunables say {said}, its tensors otherwise; {_AGAIN}"
            )


def _quantizer(stored: _Stored, settings: _Settings, name: str) -> Quantizer:
    settings.check_cosine()
    rows, code_width = stored.plane("rq.layers.0._codebook.embed")
    positions, width = stored.plane("positional_embedding.weight")
    depth = stored.count(_EMBED)
    if depth > 1 and stored.shares_projections:
        raise CheckpointError(
            f"{stored.path}: {depth} residual levels behind one projection (vector_quantize_pytorch "
            "after 1.6.22); Tercet knows levels with projections of their own"
        )
    rotary_width = stored.rotary_width()
    settings.check_rope(rotary_width is not None)
    head = Quantizer(
        width=width,
        heads=_heads(stored.path, width, rotary_width, settings),
        mlp_width=stored.plane("mlp.0.weight")[0],
        code_width=code_width,
        codebook_size=rows,
        mask_code=_mask_code(stored.path, rows, settings),
        depth=depth,
        blocks=stored.count(_BLOCK),
        downsample=_downsample(stored.path, positions, settings),
        downsampling=_downsampling("downsample_conv.weight" in stored.keys, settings),
        has_rope=rotary_width is not None,
        query_mult=settings.query_mult,
        positions=positions,
        arrays=HeadArrays({}, path=stored.path),
        convention=ICHIGO,
        origin=_origin(settings, width, name),
    )
    return replace(head, arrays=_read_all(stored, head))


def _heads(path: Path, width: int, rotary_width: int | None, settings: _Settings) -> int:
    said = settings.whole("head_width")
    if rotary_width is not None and said not in (None, rotary_width):
        raise CheckpointError(
            f"{path}: config has head_width {said}, its rotary positions {rotary_width}; {_AGAIN}"
        )
    head_width = rotary_width or said or _HEAD_WIDTH
    heads = settings.whole("n_head") or width // head_width
    if heads * head_width != width:
        raise CheckpointError(
            f"{path}: {heads} heads of {head_width} do not make its width {width}; {_AGAIN}"
        )
    return heads


def _mask_code(path: Path, rows: int, settings: _Settings) -> int | None:
    """The mask's row: behind all codes, except where Ichigo put an older codebook behind it."""
    has_mask = settings.flag("mask_embs", old=False, ichigo=True)
    codes = settings.whole("vq_codes")
    if codes is not None and rows != codes + has_mask:
        raise CheckpointError(
            f"{path}: config has {codes} codes, its codebook {rows} rows; {_AGAIN}"
        )
    if not has_mask:
        return None
    if codes is not None:
        return codes
    return _MERGED_MASK if rows == _MERGED_ROWS else rows - 1


def _downsample(path: Path, positions: int, settings: _Settings) -> int:
    downsample = 2 if settings.is_lightning else settings.whole("downsample") or 1
    if positions % downsample:
        raise CheckpointError(f"{path}: {positions} positions are no multiple of {downsample}")
    return downsample


def _downsampling(has_conv: bool, settings: _Settings) -> Downsampling:
    if has_conv:
        return "conv"
    return "mean" if settings.flag("downsample_mean", old=False, ichigo=True) else "stride"


def _origin(settings: _Settings, width: int, name: str) -> Origin:
    return Origin(
        name=name,
        licence="CC-BY-NC-SA-4.0" if settings.is_lightning else "MIT",
        source="Ichigo-Whisper (janhq)" if settings.is_lightning else "WhisperSpeech (collabora)",
        encoder_name=settings.encoder_name(width),
    )


def _read_all(stored: _Stored, head: Quantizer) -> HeadArrays:
    """Every array of a head, after all shapes were found to be right."""
    shapes = quantizer_shapes(head)
    theirs = {name: _their_key(name) for name in shapes}
    unknown = sorted(
        key for key in stored.keys.keys() - theirs.values() if not _HARMLESS.fullmatch(key)
    )
    if unknown:
        raise CheckpointError(
            f"{stored.path}: {unknown[0][:80]!r} is unknown; another kind of quantizer than Ichigo's"
        )
    for name, shape in shapes.items():
        found = stored.shape(theirs[name])
        if found != shape:
            raise CheckpointError(
                f"{stored.path}: {theirs[name]} has shape {list(found)} instead of {list(shape)}; "
                "the tensors do not fit each other"
            )
    return HeadArrays({name: stored.read(key) for name, key in theirs.items()}, path=stored.path)


def _their_key(name: str) -> str:
    """`levels.0.project_in.weight` -> `rq.layers.0.project_in.weight`."""
    number = re.search(r"(?<=^levels\.|^blocks\.)\d+", name)
    pattern = name if number is None else f"{name[: number.start()]}{{}}{name[number.end() :]}"
    if pattern not in ICHIGO_KEYS:  # a module's weight or bias
        module, leaf = pattern.rsplit(".", 1)
        return f"{ICHIGO_KEYS[module]}.{leaf}".format(number and number[0])
    return ICHIGO_KEYS[pattern].format(number and number[0])
