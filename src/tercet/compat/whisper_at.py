"""whisper-at's calls over Tercet: `load_model`, `transcribe(.., at_time_res=)`, `parse_at_label`.

    import tercet.compat.whisper_at as whisper

Rows of logits are those of the published package; its faults in bookkeeping (rows at wrong times, memory that
grows, times that are refused) are not. Text comes from `Model.transcribe`. docs/compat.md says what differs.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tercet.audio.arrays import RATE_HZ
from tercet.audio.load import load
from tercet.audio.sources import AudioSource
from tercet.compat.at_files import MODELS, find_files
from tercet.compat.at_labels import parse_at_label, print_label_name, print_support_language
from tercet.compat.later import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS, without_later
from tercet.compat.verbose import progress_bar, tell
from tercet.errors import HeadError, OptionError
from tercet.listener import FALLBACK_TEMPERATURES, Model
from tercet.loading import load_model as open_model
from tercet.readings.frames import FRAME_S, frames_of
from tercet.results import SoundEvents
from tercet.text.labels import audioset_labels

__all__ = [
    "WhisperAT",
    "available_models",
    "load_audio",
    "load_model",
    "parse_at_label",
    "print_label_name",
    "print_support_language",
    "transcribe",
]

_TRAINED_FRAMES = 25  # 10 s
_OF_BOTH = frozenset({"sampling_rate", "channel", "should_cancel"})  # options of text and tags


def available_models() -> list[str]:
    """whisper-at's names of models."""
    return list(MODELS)


def load_audio(file: AudioSource, sr: int = RATE_HZ) -> np.ndarray:
    """A recording as float32 [samples], mono, 16 kHz.

    Raises:
        OptionError: `sr` is another rate.
        AudioError: the recording cannot be heard.
    """
    if sr != RATE_HZ:
        raise OptionError(f"sr is {sr!r}; a Whisper hears {RATE_HZ} Hz")
    return load(file).read()


class WhisperAT:
    """A Whisper with a tag head, and whisper-at's way of asking it. Made by `load_model`."""

    def __init__(self, model: Model) -> None:
        """Wrap a model.

        Args:
            model: One with a tag head; it stays at hand as `model`.

        Raises:
            HeadError: it has none.
        """
        if not model.has_tags:
            raise HeadError(f"model {model.name!r} has no tag head; give one: tags=FILE")
        self.model = model

    @property
    def is_multilingual(self) -> bool:
        """Whether it hears more than English."""
        return self.model.geometry.is_multilingual

    def transcribe(
        self,
        audio: AudioSource,
        *,
        verbose: bool | None = None,
        temperature: float | tuple[float, ...] = FALLBACK_TEMPERATURES,
        compression_ratio_threshold: float | None = 2.4,
        logprob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        condition_on_previous_text: bool = True,
        initial_prompt: str | None = None,
        word_timestamps: bool = False,
        prepend_punctuations: str = PREPEND_PUNCTUATIONS,
        append_punctuations: str = APPEND_PUNCTUATIONS,
        at_time_res: float = 10,
        **decode_options: Any,
    ) -> dict[str, Any]:
        """Write down what is said, and score 527 sounds for each `at_time_res` seconds.

        What Tercet does not have yet is accepted at its default only.

        Args:
            audio: A path, or samples at 16 kHz; and whatever `Model.transcribe` takes that can be read twice.
            verbose: True prints the segments, False draws a bar; None does neither.
            temperature: As for `Model.transcribe`.
            compression_ratio_threshold: Likewise.
            logprob_threshold: Likewise.
            no_speech_threshold: Likewise.
            condition_on_previous_text: Accepted; windows are independent here.
            initial_prompt: Comes later.
            word_timestamps: Comes later.
            prepend_punctuations: Comes later.
            append_punctuations: Comes later.
            at_time_res: Seconds per row, a multiple of 0.4.
            decode_options: language, task, without_timestamps, ...: the others of `Model.transcribe`, and
                those of openai-whisper's `DecodingOptions`.

        Returns:
            openai-whisper's dictionary (text, segments, language) and at_time_res, audio_tag (logits, float32
            [ceil(duration / at_time_res), 527]: a torch tensor where torch is installed, else an array),
            duration_s; label_names, where the head's labels are not AudioSet's.

        Raises:
            AudioError: the recording cannot be heard.
            OptionError: an option's value is not allowed, or comes later.
            Cancelled: `should_cancel` said so.
        """
        given = {n: v for n, v in locals().items() if n not in ("self", "audio", "decode_options")}
        return _hear(self.model, audio, **(given | decode_options))


def transcribe(model: WhisperAT, audio: AudioSource, **options: Any) -> dict[str, Any]:
    """`model.transcribe(audio, **options)`, as whisper-at offers it, too."""
    return model.transcribe(audio, **options)


def load_model(
    name: str | Path,
    device: object = None,
    download_root: str | Path | None = None,
    in_memory: bool = False,
    at_low_compute: bool = False,
    *,
    tags: str | Path | None = None,
    **options: Any,
) -> WhisperAT:
    """Open a Whisper with its tag head.

    Args:
        name: One of `available_models()` ("large" is large-v2, as there), a checkpoint's path, or any other
            name that `tercet.load_model` knows, if `tags` says which head.
        device: "cpu", "cuda", a torch device; None: the CPU (a GPU is used when asked for).
        download_root: The folder with `base.pt` and `base_ori.pth`; None: `~/.cache/whisper`. A Whisper that
            is not there is looked for as `tercet.load_model` does. Heads are never downloaded.
        in_memory: Accepted; weights are read once, whatever it says.
        at_low_compute: The head of width 512 (small, medium and large).
        tags: A tag head of your own, as for `tercet.load_model`.
        options: compute_type, engine, threads, batch_size, offline, on_progress: as for `tercet.load_model`.
            compute_type="float32" gives the published numbers; 8 bits, the default, come near them.

    Raises:
        ModelNotFoundError: the Whisper or its head is not to be had; one line says what to do.
        TercetError: the other errors of `tercet.load_model`.
    """
    for option, value in (("in_memory", in_memory), ("at_low_compute", at_low_compute)):
        if not isinstance(value, bool):
            raise OptionError(f"{option} is {value!r}; give True or False")
    found = find_files(name, download_root, is_low=at_low_compute, tags=tags)
    where = "auto" if device is None else str(device).removesuffix(":0")
    return WhisperAT(open_model(found.whisper, tags=found.tags, device=where, **options))


def _hear(
    model: Model,
    audio: AudioSource,
    *,
    verbose: bool | None,
    at_time_res: float,
    **given: Any,
) -> dict[str, Any]:
    """Text and tags of one recording: one pass of the encoder each, since their inputs differ."""
    frames = frames_of(at_time_res)
    options = without_later(given)
    if options.get("channel") == "each":
        raise OptionError("channel 'each' has no one result; transcribe one channel at a time")
    model.transcribe_many([], **options)  # refuses wrong options before anything is heard
    if frames != _TRAINED_FRAMES:
        warnings.warn(
            f"at_time_res is {at_time_res:g} s; Whisper-AT's heads were trained on windows of 10 s",
            stacklevel=3,
        )
    of_tags = {name: options[name] for name in _OF_BOTH & options.keys()}
    step_s = round(frames * FRAME_S, 6)
    tags: SoundEvents = model.tag(audio, at_time_res=step_s, match="whisper-at", **of_tags)
    with progress_bar(verbose) as bar:
        if bar is not None:
            options.setdefault("on_progress", bar)
        transcript = model.transcribe(audio, gate=False, **options)  # the original has none
    tell(transcript, verbose, is_detected=options.get("language") is None)
    names = {} if tags.labels == audioset_labels() else {"label_names": list(tags.labels)}
    return {
        "text": transcript.text,
        "segments": [segment.to_json() for segment in transcript.segments],
        "language": transcript.language,
        "at_time_res": at_time_res if at_time_res == step_s else step_s,
        "audio_tag": _as_tensor(tags.logits),
        "duration_s": tags.duration_s,
        **names,
    }


def _as_tensor(logits: np.ndarray | None) -> Any:
    from tercet.model.tensors import as_tensor_if_possible  # late: only results need torch

    assert logits is not None  # windows side by side have logits
    return as_tensor_if_possible(logits)
