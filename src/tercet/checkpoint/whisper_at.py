"""Whisper-AT's own files: a `.pth` with a tag head's arrays, published or left by its training.

The arrays' names and shapes say which head it is; what they cannot say (heads of attention, last
layer or mean) is asked for. Nothing is computed here.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tercet.checkpoint.head_naming import tag_head_shapes
from tercet.checkpoint.heads import AUDIOSET_LABELS, HeadArrays, Layers, Origin, TagHead
from tercet.checkpoint.torch_file import TorchTensors, open_torch_file
from tercet.errors import CheckpointError, HeadError, ModelNotFoundError, OptionError

_BLOCK_KEYS = {
    "self_attn_layer_norm": "attn_ln",
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "final_layer_norm": "mlp_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}
_BLOCKS = {"time_block": "time_tr", "layer_block": "layer_tr"}
# Our module -> Whisper-AT's. `layer_weight` is no module and has the same name in both.
WHISPER_AT_KEYS = {
    "down.norm": "down_layer.0",
    "down.proj": "down_layer.1",
    **{
        f"{block}.{part}": f"{theirs}.{key}"
        for block, theirs in _BLOCKS.items()
        for part, key in _BLOCK_KEYS.items()
    },
    "classifier.norm": "mlp_layer.0",
    "classifier.proj": "mlp_layer.1",
}

_MARK = "mlp_layer.1.weight"  # the last matrix, which every one of its heads has
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_WHISPER_MARKS = ("encoder.conv1.weight", "decoder.token_embedding.weight")
_QUANTIZER_MARK = "codebook"
_MODE = re.compile(r"(last|mean|wa|lw|tl)_(down_)?(mlp|tr)((?:_[0-9]{1,5})*)")
_LAYERS: dict[str, Layers] = {
    "last": "last",
    "mean": "mean",
    "wa": "weighted",
    "lw": "each",
    "tl": "each",
}
_MODES = (
    "last_mlp, mean_mlp, wa_mlp, last_tr_8, mean_tr_8, wa_tr_8, wa_down_tr_512_8, lw_tr_1_8 or "
    "lw_down_tr_512_1_8, with any numbers"
)
_PUBLISHED = re.compile(r"((?:tiny|base|small|medium)(?:\.en)?|large-v[12])_(?:ori|low)")
_PUBLISHED_HEADS = (
    1,
    8,
)  # of the time and the layer transformer: `_1_8` behind every release's mode
# whisper-at's parse_at_label names a sound from logit -1 on.
_PACKAGE_THRESHOLD = 1 / (1 + math.e)


@dataclass(frozen=True, slots=True)
class _Mode:
    """What a mode string says."""

    text: str
    layers: Layers
    hidden: int | None  # behind the projection; None: there is none
    has_time: bool
    heads: tuple[int, ...]  # of the time transformer, then of the layer transformer


@dataclass(frozen=True, slots=True)
class _Stored:
    """A head's tensors in a file, without the prefix of their names."""

    path: Path
    tensors: TorchTensors
    prefix: str

    def bare_names(self) -> list[str]:
        """The names that stand behind the prefix, without it."""
        return [
            key.removeprefix(self.prefix)
            for key in self.tensors.refs
            if key.startswith(self.prefix)
        ]

    def has(self, key: str) -> bool:
        """Whether there is such a tensor."""
        return self.prefix + key in self.tensors.refs

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        """The shape of one tensor.

        Raises:
            CheckpointError: it is missing, empty, or has other dimensions.
        """
        if not self.has(key):
            raise CheckpointError(f"{self.path}: {key} is missing; the head is incomplete")
        shape = self.tensors.shape(self.prefix + key)
        if len(shape) != dimensions or not all(shape):
            raise CheckpointError(
                f"{self.path}: {key} has shape {list(shape)}; no tag head of Whisper-AT has that"
            )
        return shape


def looks_like_whisper_at(keys: Collection[str]) -> bool:
    """Whether these are the names of a Whisper-AT head's tensors, whatever stands before them."""
    return any(_has_end(key, _MARK) for key in keys)


def open_whisper_at(
    path: Path | str,
    *,
    name: str | None = None,
    mode: str | None = None,
    labels: Sequence[str] | None = None,
) -> TagHead:
    """Read a tag head that Whisper-AT published or trained, of any size and mode.

    Names may stand behind `at_model.` (as published), `module.` (as its training leaves them) or
    nothing, alone or among a whole model's; the dict may lie in another one's "state_dict" or "model".

    Args:
        path: The file.
        name: What the head is to be called; the file's name by default.
        mode: Whisper-AT's mode string ("last_tr_8", "lw_down_tr_512_1_8"; "tl_" is "lw_"). Needed where
            neither names nor shapes tell last layer from mean, or how many heads attention has. TL-Tr
            heads have 1 and 8 unless it says otherwise, as all published ones.
        labels: Display names in the order of the logits. By default AudioSet's if there are 527, else
            "class 0", "class 1", ..

    Returns:
        The head, all arrays read (float32, or float16 where stored so). It hears 2 s every 0.4 s, which
        its users may change; it was trained on 10 s.

    Raises:
        ModelNotFoundError: no such file.
        UnsafePickleError: it wants to call the operating system.
        CheckpointError: it is damaged, incomplete, or holds something else.
        HeadError: it is one of several heads, and `mode` does not say which.
        OptionError: `mode` or `labels` do not fit it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: no such file; give a .pth of Whisper-AT")
    wanted = None if mode is None else _parse(mode)
    stored = _stored(path)
    head = _described(stored, wanted)
    _check(stored, head, wanted)
    arrays = {
        ours: stored.tensors.read(stored.prefix + theirs)
        for ours, theirs in _names(tag_head_shapes(head))
    }
    return replace(
        head,
        arrays=HeadArrays(arrays, path=path),
        labels=_labels(path, head.n_labels, labels),
        origin=head.origin if name is None else replace(head.origin, name=name),
    )


def _described(stored: _Stored, wanted: _Mode | None) -> TagHead:
    """The head without its arrays, and with the labels that nobody named."""
    path = stored.path
    _, hidden = stored.shape(_MARK, 2)
    # Read, since names are made for each: a hostile shape alone could ask for billions.
    n_labels = len(stored.tensors.read(stored.prefix + _MARK))
    has_projection = stored.has("down_layer.1.weight")
    layers, has_time = _kind(stored, wanted)
    time_heads, layer_heads = _heads(stored, layers, has_time, wanted)
    published = _PUBLISHED.fullmatch(path.stem)
    return TagHead(
        layers=layers,
        n_layers=stored.shape("layer_weight", 1)[0] if layers == "weighted" else None,
        width=stored.shape("down_layer.1.weight", 2)[1] if has_projection else hidden,
        hidden=hidden,
        has_projection=has_projection,
        time_heads=time_heads,
        layer_heads=layer_heads,
        arrays=HeadArrays({}, path=path),
        labels=_labels(path, n_labels, None),
        window_frames=5,
        hop_frames=1,
        thresholds=(_PACKAGE_THRESHOLD,),
        # The default convention, too: its training has 0.0 in the log-mel behind short clips.
        origin=Origin(
            name=path.stem,
            licence="BSD-2-Clause",
            source="Whisper-AT (arXiv:2307.03183), github.com/YuanGongND/whisper-at",
            encoder_name=published.group(1) if published else "",
        ),
    )


def _has_end(key: str, mark: str) -> bool:
    return key == mark or key.endswith(f".{mark}")


def _stored(path: Path) -> _Stored:
    """The head's tensors, wherever they lie in the file."""
    file = open_torch_file(path)
    if not isinstance(file.value, Mapping):
        raise CheckpointError(
            f"{path}: holds a pickled object, not named tensors; save its state_dict"
        )
    states = [file.value, *(file.value.get(wrapper) for wrapper in _WRAPPERS)]
    found = [file.tensors(state) for state in states]
    for tensors in found:
        if looks_like_whisper_at(tensors.refs):
            mark = min((key for key in tensors.refs if _has_end(key, _MARK)), key=len)
            return _Stored(path, tensors, mark.removesuffix(_MARK))
    keys = [key for tensors in found for key in tensors.refs]
    if "dims" in file.value or any(_has_end(key, mark) for key in keys for mark in _WHISPER_MARKS):
        raise CheckpointError(
            f"{path}: a Whisper model without a tag head; give it as the model, not as its tags"
        )
    if any(_QUANTIZER_MARK in key for key in keys):
        raise CheckpointError(
            f"{path}: a quantizer (Ichigo's or WhisperSpeech's), no tag head; give it as tokens"
        )
    raise CheckpointError(f"{path}: no tag head of Whisper-AT (there is no {_MARK}); give its .pth")


def _parse(mode: str) -> _Mode:
    found = _MODE.fullmatch(mode)
    numbers = [int(number) for number in found.group(4).split("_")[1:]] if found else []
    if found:
        layers, has_time = _LAYERS[found.group(1)], found.group(3) == "tr"
        hidden = numbers.pop(0) if found.group(2) and numbers else None
        n_heads = has_time + (layers == "each")
        is_whole = bool(found.group(2)) == (hidden is not None) and len(numbers) == n_heads
        if is_whole and 0 not in numbers and (has_time or layers != "each"):
            return _Mode(mode, layers, hidden, has_time, tuple(numbers))
    raise OptionError(f"mode is {mode!r:.60}; give {_MODES}")


def _kind(stored: _Stored, wanted: _Mode | None) -> tuple[Layers, bool]:
    """(Which layers the head hears, whether it has a transformer over time)."""
    keys = stored.bare_names()
    has_time = any(key.startswith(("time_tr.", "layer_tr.")) for key in keys)
    if any(key.startswith("layer_tr.") for key in keys):
        return "each", has_time
    if stored.has("layer_weight"):
        return "weighted", has_time
    if wanted is None:
        tail = "tr_H, H the number of its heads" if has_time else "mlp"
        raise HeadError(
            f"{stored.path}: the file does not say whether this head hears the last layer or the "
            f"mean of all; give mode last_{tail}, or mean_{tail} (tercet convert --head_mode)"
        )
    if wanted.layers not in ("last", "mean"):
        raise _misfit(stored, wanted)
    return wanted.layers, has_time


def _heads(
    stored: _Stored, layers: Layers, has_time: bool, wanted: _Mode | None
) -> tuple[int, int]:
    """Heads of the time transformer and of the layer transformer; 0 where there is none."""
    if not has_time:
        return 0, 0
    if wanted is None:
        if layers == "each":
            return _PUBLISHED_HEADS
        raise HeadError(
            f"{stored.path}: the file does not say how many heads its attention has; give mode "
            f"wa_{'down_tr_D' if stored.has('down_layer.1.weight') else 'tr'}_H, H their number "
            "(tercet convert --head_mode)"
        )
    if len(wanted.heads) != 1 + (layers == "each"):
        raise _misfit(stored, wanted)
    return wanted.heads[0], wanted.heads[1] if layers == "each" else 0


def _check(stored: _Stored, head: TagHead, wanted: _Mode | None) -> None:
    """The mode fits the tensors, and these are all there, in the right shape, and no others."""
    if wanted is not None:
        projected = head.hidden if head.has_projection else None
        kind = (wanted.layers, wanted.hidden, wanted.has_time)
        if kind != (head.layers, projected, bool(head.time_heads)):
            raise _misfit(stored, wanted)
    for heads in (head.time_heads, head.layer_heads):
        if heads and head.hidden % heads:
            raise OptionError(
                f"{stored.path}: {heads} heads do not divide its width {head.hidden}; "
                "give the mode that it was trained in"
            )
    shapes = tag_head_shapes(head)
    theirs = dict(_names(shapes))
    for name, shape in shapes.items():
        found = stored.shape(theirs[name], len(shape))
        if found != shape:
            raise CheckpointError(
                f"{stored.path}: {theirs[name]} has shape {list(found)} instead of {list(shape)}; "
                "the file is damaged, or of another architecture"
            )
    if rest := sorted(set(stored.bare_names()) - set(theirs.values())):
        raise CheckpointError(
            f"{stored.path}: {rest[0][:60]} unknown; another architecture than Whisper-AT's"
        )


def _misfit(stored: _Stored, wanted: _Mode) -> OptionError:
    has = ", ".join(sorted({key.split(".")[0][:30] for key in stored.bare_names()}))
    return OptionError(
        f"{stored.path}: mode {wanted.text!r} does not fit this head, which has {has} of width "
        f"{stored.shape(_MARK, 2)[1]}; give the mode that it was trained in"
    )


def _labels(path: Path, count: int, labels: Sequence[str] | None) -> tuple[str, ...] | None:
    if labels is not None:
        if len(labels) != count:
            raise OptionError(f"{path}: {len(labels)} labels for a head of {count}; give {count}")
        return tuple(labels)
    return None if count == AUDIOSET_LABELS else tuple(f"class {i}" for i in range(count))


def _names(ours: Collection[str]) -> Iterator[tuple[str, str]]:
    """Our names, each with Whisper-AT's."""
    for name in ours:
        module, _, leaf = name.rpartition(".")
        yield name, f"{WHISPER_AT_KEYS[module]}.{leaf}" if module else name
