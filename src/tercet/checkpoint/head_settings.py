"""What a head file says about itself, as JSON: settings, labels, convention, origin. Both ways.

Everything read here comes from a file that anyone may have written: every field is checked, and sizes are
bounded, before an array is looked at. The arrays are `head_file.py`'s concern.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from tercet.audio.convention import InputConvention
from tercet.checkpoint.heads import DraftHead, Head, HeadArrays, Origin, Quantizer, TagHead
from tercet.errors import CheckpointError, OptionError

FORMAT = 1
Kind = type[TagHead] | type[Quantizer] | type[DraftHead]
KINDS: Mapping[str, Kind] = {"tags": TagHead, "tokens": Quantizer, "draft": DraftHead}
MAX_LABELS = 100_000
_MAX_LABEL_LETTERS = 500
_MAX_TEXT_LETTERS = 2000
_APART = ("arrays", "labels", "convention", "origin")  # fields that are no plain settings
_SIZES = {  # largest values; what lies beyond is no head, and must not make us build huge tables
    "width": 16384,
    "hidden": 16384,
    "n_layers": 256,
    "time_heads": 256,
    "layer_heads": 256,
    "heads": 256,
    "window_frames": 75,
    "hop_frames": 75,
    "mlp_width": 65536,
    "code_width": 16384,
    "codebook_size": 1_000_000,
    "mask_code": 1_000_000,
    "depth": 64,
    "blocks": 64,
    "downsample": 100,
    "positions": 100_000,
    "layer": 255,
    "vocab_size": 1_000_000,
    "shortlist": 1_000_000,
    "rank": 16384,
}
_MAY_BE_ZERO = ("time_heads", "layer_heads", "mask_code", "layer", "rank")
_MAY_BE_NONE = ("n_layers", "mask_code")
_CHOICES = {
    "layers": ("last", "mean", "weighted", "each"),
    "downsampling": ("mean", "stride", "conv"),
}


def option_of(head: Head) -> str:
    """What `load_model` and the command line call it: "tags", "tokens" or "draft"."""
    return next(name for name, kind in KINDS.items() if isinstance(head, kind))


def head_to_json(head: Head) -> dict[str, object]:
    """A head but its arrays, as `head_from_json` reads it."""
    names = [one.name for one in fields(head) if one.name not in _APART]
    labels: dict[str, object] = {}
    if isinstance(head, TagHead):
        labels = {"labels": None if head.labels is None else list(head.labels)}
    return {
        "head": option_of(head),
        "format": FORMAT,
        "settings": {name: _plain(getattr(head, name)) for name in names},
        **labels,
        "convention": head.convention.to_json(),
        "origin": {one.name: _plain(getattr(head.origin, one.name)) for one in fields(Origin)},
    }


def head_from_json(told: Mapping[str, Any], arrays: HeadArrays) -> Head:
    """A head from what its file says; errors name `arrays.path`.

    Raises:
        CheckpointError: it is another format's, incomplete, or makes no sense.
    """
    path = arrays.path
    kind = check_kind(told, path)
    unknown = set(told) - {"head", "format", "settings", "labels", "convention", "origin"}
    if unknown:
        raise _fault(path, f"its metadata has an unknown {min(unknown)!r:.60}")
    settings = _settings(kind, _object(told, "settings", path), path)
    rest: dict[str, Any] = {
        "arrays": arrays,
        "convention": _convention(_object(told, "convention", path), path),
        "origin": origin_from_json(told, path),
    }
    if kind is TagHead:
        labels = told.get("labels")
        rest["labels"] = None if labels is None else check_labels(labels, path)
    head: Head = kind(**settings, **rest)
    if isinstance(head, TagHead):
        _check_tag_head(head, path)
    elif isinstance(head, Quantizer):
        _check_quantizer(head, path)
    else:
        _check_draft(head, path)
    return head


def check_kind(told: Mapping[str, Any], path: Path) -> Kind:
    """Which head the metadata is of.

    Raises:
        CheckpointError: none that this release knows.
    """
    found = told.get("format")
    if type(found) is not int or found < 1:
        raise _fault(path, f"its format {found!r:.60} is none of Tercet's")
    if found > FORMAT:
        raise CheckpointError(
            f"{path}: a head in format {found}, this release reads up to {FORMAT}; upgrade tercet"
        )
    name = told.get("head")
    if not isinstance(name, str) or name not in KINDS:
        raise _fault(path, f"holds a head {name!r:.60}, which is not {' or '.join(KINDS)}")
    return KINDS[name]


def origin_from_json(told: Mapping[str, Any], path: Path) -> Origin:
    """Where the head comes from.

    Raises:
        CheckpointError: a field is missing, unknown, or of another type.
    """
    stored = dict(_object(told, "origin", path))
    encoder = stored.pop("encoder", None)
    if encoder is not None and not isinstance(encoder, dict):
        raise _fault(path, "'encoder' in its origin is no fingerprint")
    names = {one.name for one in fields(Origin)} - {"encoder"}
    if unknown := set(stored) - names:
        raise _fault(path, f"its origin has an unknown {min(unknown)!r:.60}")
    for name, value in stored.items():
        if not _is_line(value, _MAX_TEXT_LETTERS):
            raise _fault(path, f"{name!r} in its origin is no line of text")
    return Origin(**stored, encoder=encoder)


def check_labels(labels: object, path: Path) -> tuple[str, ...]:
    """A list of different names, each one line of text.

    Raises:
        CheckpointError: it is something else.
    """
    if not isinstance(labels, list | tuple) or not 1 <= len(labels) <= MAX_LABELS:
        raise _fault(path, f"its labels are no list of 1..{MAX_LABELS} names")
    seen: set[str] = set()
    for number, label in enumerate(labels):
        if not _is_line(label, _MAX_LABEL_LETTERS) or not label.strip():
            raise _fault(path, f"label {number} is {label!r:.60}, no line of text")
        if label in seen:
            raise _fault(path, f"the label {label!r:.60} is there twice")
        seen.add(label)
    return tuple(labels)


def _settings(kind: Kind, stored: Mapping[str, object], path: Path) -> dict[str, Any]:
    known = {one.name: one for one in fields(kind) if one.name not in _APART}
    if unknown := set(stored) - set(known):
        raise _fault(
            path, f"has the setting {min(unknown)!r:.60}, unknown here", "upgrade tercet, or "
        )
    found: dict[str, Any] = {}
    for name, one in known.items():
        if name in stored:
            found[name] = _checked(one, stored[name], path)
        elif one.default is MISSING:
            raise _fault(path, f"has no setting {name!r}")
    return found


def _checked(one: "Field[Any]", value: object, path: Path) -> object:
    """A setting's value, or the line that says what is wrong with it."""
    name = one.name
    if name in _SIZES:
        least = 0 if name in _MAY_BE_ZERO else 1
        is_size = type(value) is int and least <= value <= _SIZES[name]
        if not is_size and not (value is None and name in _MAY_BE_NONE):
            raise _fault(path, f"{name} is {value!r:.60}, outside {least}..{_SIZES[name]}")
        return value
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "query_mult": (lambda one: _is_number(one) and 0 < one <= 1e6, "a positive number"),
        "thresholds": (_are_probabilities, "numbers from 0 to 1"),
    }
    if name in _CHOICES:
        allowed = _CHOICES[name]
        is_fine, wanted = value in allowed, f"one of {', '.join(allowed)}"
    elif name in checks:
        is_fine, wanted = checks[name][0](value), checks[name][1]
    else:
        is_fine, wanted = type(value) is bool, "true or false"
    if not is_fine:
        raise _fault(path, f"{name} is {value!r:.60}, not {wanted}")
    return tuple(float(each) for each in value) if isinstance(value, list) else value


def _is_line(value: object, most_letters: int) -> bool:
    """Text that a terminal shows on one line, whatever its language; control characters are not."""
    if not isinstance(value, str) or len(value) > most_letters:
        return False
    return not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in value)


def _is_number(value: object) -> bool:
    # What JSON spells NaN and Infinity fails the comparison; so do integers that no float holds.
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < 1e30


def _are_probabilities(value: object) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MAX_LABELS
        and all(_is_number(one) and 0 <= one <= 1 for one in value)
    )


def _check_tag_head(head: TagHead, path: Path) -> None:
    rules = (
        (
            head.has_projection or head.hidden == head.width,
            f"hidden is {head.hidden} without a projection, and width is {head.width}",
        ),
        (
            not head.layer_heads or head.layers == "each",
            f"layer_heads is {head.layer_heads}, which needs layers 'each', not {head.layers!r}",
        ),
        (
            head.layers != "weighted" or head.n_layers is not None,
            "layers are weighted by no number",
        ),
        (
            not any(heads and head.hidden % heads for heads in (head.time_heads, head.layer_heads)),
            f"hidden is {head.hidden}, no multiple of its attention heads",
        ),
        (
            head.window_frames % head.hop_frames == 0,
            f"hop_frames {head.hop_frames} does not divide window_frames {head.window_frames}",
        ),
        (
            len(head.thresholds) in (1, head.n_labels),
            f"{len(head.thresholds)} thresholds for {head.n_labels} labels",
        ),
    )
    _check_rules(rules, path)


def _check_quantizer(head: Quantizer, path: Path) -> None:
    rules = (
        (
            head.width % (2 * head.heads if head.has_rope else head.heads) == 0,
            f"width is {head.width}, which {head.heads} attention heads cannot share",
        ),
        (
            head.mask_code is None or head.mask_code < head.codebook_size,
            f"mask_code is {head.mask_code}, and the codebook has {head.codebook_size} rows",
        ),
        (
            head.positions % head.downsample == 0,
            f"downsample {head.downsample} does not divide positions {head.positions}",
        ),
    )
    _check_rules(rules, path)


def _check_draft(head: DraftHead, path: Path) -> None:
    most = head.vocab_size
    fits = head.shortlist <= most
    narrow = head.rank <= head.width
    rules = (
        (fits, f"shortlist is {head.shortlist}, of a vocabulary of {most}"),
        (narrow, f"rank is {head.rank}, of a width of {head.width}"),
    )
    _check_rules(rules, path)


def _check_rules(rules: tuple[tuple[bool, str], ...], path: Path) -> None:
    for holds, problem in rules:
        if not holds:
            raise _fault(path, problem)


def _convention(stored: Mapping[str, Any], path: Path) -> InputConvention:
    names = {one.name for one in fields(InputConvention)}
    if set(stored) - names:
        raise _fault(path, f"its convention has an unknown {min(set(stored) - names)!r:.60}")
    padding = stored.get("padding", 0.0)
    if padding is not None and not _is_number(padding):
        raise _fault(path, f"padding is {padding!r:.60}, no number")
    try:
        return InputConvention(**{**stored, "padding": None if padding is None else float(padding)})
    except OptionError as error:
        raise _fault(path, str(error)) from error


def _object(told: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = told.get(name)
    if not isinstance(value, dict):
        raise _fault(path, f"its metadata has no {name!r}")
    return value


def _plain(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _fault(path: Path, problem: str, first: str = "") -> CheckpointError:
    return CheckpointError(f"{path}: {problem}; {first}get the head again, or convert it anew")
