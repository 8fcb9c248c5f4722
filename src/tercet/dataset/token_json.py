"""Speech tokens as JSON, to and from text: one object, or one window per line. Opens no file.

Read are Tercet's own objects (`SpeechTokens.to_json`, and `Hearing.to_json` around it), lines of windows, and
what Ichigo's server answers and takes (`{"tokens": "<|sound_start|>..."}`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NoReturn, cast

import numpy as np

from tercet.dataset.token_text import parse_token_text
from tercet.dataset.token_windows import (
    check_schema,
    checked_tokens,
    number,
    of_unknown_codebook,
    whole,
)
from tercet.errors import TokensError
from tercet.results import SpeechTokens

_MOST_WINDOWS = 1 << 24
_SPACE = re.compile(r"\s*")


def json_object(tokens: SpeechTokens, file: str | None = None) -> str:
    """One JSON object on one line, without a line end; `file` says which recording it is."""
    return json.dumps({**tokens.to_json(), **({} if file is None else {"file": file})})


def json_lines(tokens: SpeechTokens, file: str | None = None) -> str:
    """One JSON object per window and line. Each says what is needed to read it, and how many there are."""
    value = tokens.to_json()
    # Windows' starts are rounded; the first one's is all that a line says of the recording's.
    windows = [{**value["windows"][0], "start_s": value["start_s"]}, *value["windows"][1:]]
    of_one_window = ("windows", "start_s", "bits_per_second")
    shared = {key: value[key] for key in value if key not in of_one_window}
    last = {} if file is None else {"file": file}
    return "".join(
        json.dumps({**window, "window": n, "n_windows": len(windows), **shared, **last}) + "\n"
        for n, window in enumerate(windows)
    )


def load_json(text: str, name: str) -> list[object]:
    """The values of a text that holds one or several of them, one after the other.

    Raises:
        TokensError: it is no JSON, or nothing.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    values: list[object] = []
    text = text.removeprefix("\ufeff").rstrip()
    place = _behind_space(text, 0)
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            values.append(value)
            place = _behind_space(text, place)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TokensError(
            f"{name}: not readable as JSON ({reason}); it is damaged or cut short"
        ) from None
    if not values:
        raise TokensError(f"{name}: is empty")
    return values


def of_json(
    value: object, *, name: str, source: str, depth: int = 1
) -> Iterator[tuple[str, SpeechTokens]]:
    """The recordings of one JSON value: an object of a known shape, or a list of such objects.

    Args:
        value: As `load_json` gives it.
        name: The file, for messages.
        source: The recording's name, where the object has no `file`.
        depth: Levels of the quantizer, where the object does not say.

    Raises:
        TokensError: no speech tokens in it, or damaged ones.
    """
    for one in value if isinstance(value, list) and value else [value]:
        if not isinstance(one, dict):
            raise TokensError(f"{name}: holds no speech tokens; is it another file?")
        yield named(one, source), tokens_from_json(one, name=name, depth=depth)


def tokens_from_json(value: Mapping[str, Any], *, name: str, depth: int = 1) -> SpeechTokens:
    """Speech tokens from one object: `SpeechTokens.to_json`, `Hearing.to_json`, or Ichigo's.

    Raises:
        TokensError: no speech tokens in it, or damaged ones.
    """
    check_schema(value.get("schema"), name)
    if isinstance(value.get("speech_tokens"), dict):
        value = value["speech_tokens"]
        check_schema(value.get("schema"), name)
    if isinstance(value.get("windows"), list) and "codebook_size" in value:
        return _of_windows(value, value["windows"], name)
    # Text alone: ids in a list called `tokens` are Whisper's text ids, as in every segment.
    if isinstance(value.get("tokens"), str):
        groups = parse_token_text(value["tokens"], name=name).groups
        return of_unknown_codebook(groups, depth=depth, rate_hz=25.0, name=name)
    raise TokensError(
        f"{name}: holds no speech tokens; `tercet tokenize` writes them, and `tercet listen --only tokens`"
    )


def of_json_lines(
    lines: Iterable[str], *, name: str, source: str, depth: int = 1
) -> Iterator[tuple[str, SpeechTokens]]:
    """The recordings of a text with one JSON object per line.

    An object is a window, as `json_lines` writes them, or a whole recording, as in a JSON file.

    Raises:
        TokensError: a line is damaged, or a recording's windows are not all there.
    """
    windows: list[Mapping[str, Any]] = []
    n_lines = 0
    for n_lines, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}: line {n_lines}"
        for value in load_json(line, place):
            if not isinstance(value, dict) or "ids" not in value:
                _check_complete(windows, place)
                yield from of_json(value, name=place, source=source, depth=depth)
                continue
            _check_next(value, windows, place)
            windows.append(value)
            if len(windows) == value["n_windows"]:
                yield named(value, source), _of_windows(windows[0], windows, place)
                windows = []
    _check_complete(windows, f"{name}: line {n_lines}")
    if not n_lines:
        raise TokensError(f"{name}: is empty")


def named(value: Mapping[str, Any], source: str) -> str:
    """The recording's name: `file`, where the object has one."""
    file = value.get("file")
    return file if isinstance(file, str) and file else source


def _check_next(value: Mapping[str, Any], before: list[Mapping[str, Any]], name: str) -> None:
    check_schema(value.get("schema"), name)
    n_windows = whole(value, "n_windows", 1, _MOST_WINDOWS, name)
    window = whole(value, "window", 0, n_windows - 1, name)
    shared = ("file", "channel", "codebook", "codebook_size", "n_windows", "rate_hz", "depth")
    same = all(value.get(key) == before[0].get(key) for key in shared) if before else True
    if window != len(before) or not same:
        raise TokensError(
            f"{name}: is window {window + 1} of {n_windows}, but {len(before)} of its recording came before; "
            "lines are missing"
        )


def _check_complete(windows: list[Mapping[str, Any]], name: str) -> None:
    if windows:
        raise TokensError(
            f"{name}: only {len(windows)} of a recording's {windows[0]['n_windows']} windows are there; "
            "the file is cut short"
        )


def _of_windows(fields: Mapping[str, Any], windows: list[Any], name: str) -> SpeechTokens:
    """`fields` say what is shared; each of `windows` has ids, [n] or [n, depth], and its start."""
    groups = []
    for n, window in enumerate(windows, 1):
        if not isinstance(window, dict) or not isinstance(window.get("ids"), list):
            raise TokensError(f"{name}: window {n} has no list of ids")
        groups.append(_flat(window["ids"], fields.get("depth"), f"{name}: window {n}"))
    depth = cast(
        int, fields.get("depth")
    )  # an int: `_flat` has seen it, unless there are no windows
    counts = [len(group) // depth for group in groups]
    starts = [0, *accumulate(counts[:-1])]
    kept = [start for start, count in zip(starts, counts, strict=False) if count] or [0]
    flat = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    tokens = checked_tokens(fields, flat, kept, name)
    for n, (window, start) in enumerate(zip(windows, starts, strict=False), 1):
        expected_s = tokens.start_s + start / tokens.rate_hz
        if (
            abs(number(window, "start_s", f"{name}: window {n}") - expected_s)
            > 0.5 / tokens.rate_hz
        ):
            raise TokensError(
                f"{name}: window {n} starts at {window['start_s']} s, its codes at {expected_s:g} s; "
                "codes are missing"
            )
    return tokens


def _flat(ids: list[Any], depth: object, name: str) -> np.ndarray:
    """int64 [ids], checked to be integers, each time holding `depth` of them."""
    if type(depth) is not int or depth < 1:
        raise TokensError(f"{name}: 'depth' is not a whole number of at least 1")
    flat = ids
    if depth > 1:
        if not all(isinstance(one, list) and len(one) == depth for one in ids):
            raise TokensError(f"{name}: not every code has {depth} levels")
        flat = [one for levels in ids for one in levels]
    if not set(map(type, flat)) <= {int} or any(abs(one) > 2**62 for one in flat):
        raise TokensError(f"{name}: not every id is a whole number")
    return np.array(flat, np.int64)


def _behind_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
