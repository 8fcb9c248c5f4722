"""whisper-at's reading of its own results: rows of logits become named sounds. No audio, no model."""

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from tercet.errors import LanguageError, OptionError
from tercet.text.labels import audioset_labels, find_labels, label_languages
from tercet.text.languages import LANGUAGES

FOLLOW_ASR = "follow_asr"
ALL_CLASSES = range(527)  # AudioSet's
_UNDETERMINED = "und"  # nobody speaks: there is no transcript whose language could be followed
_DIGITS = 6  # of times: 3 x 4.4 is no exact float


def parse_at_label(
    result: Mapping[str, Any],
    language: str = FOLLOW_ASR,
    top_k: int = 5,
    p_threshold: float = -1,
    include_class_list: Sequence[int | str] = ALL_CLASSES,
) -> list[dict[str, Any]]:
    """The sounds of each row of a result, the highest first.

    Differs from whisper-at: classes are chosen before `top_k` (there, the class that a caller asks for is
    lost unless it is among the highest of all); and no row ends behind the recording.

    Args:
        result: What `transcribe` gave: here or by whisper-at itself, whose results do not know the
            recording's duration (their last row's end stays where it is).
        language: Of the display names: a code or an English name; "follow_asr": the transcript's. One
            without names gives English ones, with a warning.
        top_k: At most so many sounds per row.
        p_threshold: Only logits above this; -1 is a score of 0.27.
        include_class_list: The only classes to report: columns, or English display names.

    Returns:
        For each row `{"time": {"start", "end"}, "audio tags": [(name, logit), ...]}`, times in seconds.

    Raises:
        OptionError: a value is not allowed.
        LabelError: there is no such class.
    """
    if not isinstance(top_k, Integral) or isinstance(top_k, bool) or top_k < 0:
        raise OptionError(f"top_k is {top_k!r}; give a whole number from 0 on")
    if not isinstance(p_threshold, Real) or isinstance(p_threshold, bool):
        raise OptionError(f"p_threshold is {p_threshold!r}; give a logit")
    if not isinstance(result, Mapping) or not {"audio_tag", "at_time_res"} <= result.keys():
        raise OptionError("result has no audio_tag and at_time_res; give what transcribe gave")
    logits = _as_array(result["audio_tag"])
    own_names = result.get("label_names")
    names = (
        _names(language, result.get("language", "en")) if own_names is None else tuple(own_names)
    )
    english = audioset_labels() if own_names is None else names
    # Differs from whisper-at: first the filter, then the highest of what is left.
    columns = _columns(include_class_list, english)
    step_s, duration_s = result["at_time_res"], result.get("duration_s")
    rows = []
    for number, row in enumerate(logits):
        order = columns[np.argsort(-row[columns], kind="stable")]
        order = order[row[order] > p_threshold][:top_k]
        start_s, end_s = (round(each * step_s, _DIGITS) for each in (number, number + 1))
        rows.append(
            {
                "time": {"start": start_s, "end": _clipped(end_s, duration_s)},
                "audio tags": [(names[column], float(row[column])) for column in order],
            }
        )
    return rows


def print_label_name(language: str = "en") -> None:
    """Print AudioSet's labels in a language, one per line: `index: 0 : Speech`.

    Raises:
        LanguageError: there are no names in this language.
    """
    lines = (f"index: {i} : {name}" for i, name in enumerate(audioset_labels(language)))
    sys.stdout.write("\n".join(lines) + "\n")


def print_support_language() -> None:
    """Print the languages that labels have names in, one per line: `language code: en : english`."""
    lines = (f"language code: {code} : {LANGUAGES[code].lower()}" for code in label_languages())
    sys.stdout.write("\n".join(lines) + "\n")


def _as_array(audio_tag: Any) -> np.ndarray:
    """float32 [rows, classes], from a tensor, an array or the lists of a JSON file."""
    if callable(getattr(audio_tag, "detach", None)):
        audio_tag = audio_tag.detach().cpu()
    logits = np.asarray(audio_tag, np.float32)
    return logits.reshape(0, len(ALL_CLASSES)) if logits.size == 0 else logits


def _names(language: str, spoken: str) -> tuple[str, ...]:
    if language == FOLLOW_ASR:
        language = "en" if spoken == _UNDETERMINED else spoken
    try:
        return audioset_labels(language)
    except LanguageError:
        warnings.warn(
            f"labels have no names in the language {language!r}: English ones are used; language= chooses",
            stacklevel=3,
        )
        return audioset_labels()


def _columns(wanted: Sequence[int | str], labels: Sequence[str]) -> np.ndarray:
    """The columns of classes, int64 [n]."""
    if not isinstance(wanted, Iterable):
        raise OptionError(f"include_class_list is {wanted!r}; give a list of classes")
    if wanted is ALL_CLASSES or list(wanted) == list(ALL_CLASSES):
        return np.arange(len(labels))
    return np.array(find_labels(wanted, labels) if len(wanted) else (), np.int64)


def _clipped(end_s: float, duration_s: float | None) -> float:
    return end_s if duration_s is None else min(end_s, duration_s)
