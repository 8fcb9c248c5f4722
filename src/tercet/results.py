"""What Tercet hands back: frozen results that know how to become JSON. No decoding, no file writing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `import tercet` is quick
    import numpy as np

SCHEMA = "tercet/1"  # raised when a field changes meaning; adding fields does not raise it


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text. Field names are openai-whisper's; times are seconds on the recording's clock."""

    id: int
    seek: int  # the window's start, in frames of 10 ms
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]  # text ids, timestamp tokens included, as openai-whisper lists them
    temperature: float
    avg_logprob: float  # mean log-probability of the window's tokens
    compression_ratio: float  # of the window's text: len(utf-8) / len(zlib)
    no_speech_prob: float  # probability of <|nospeech|> at the start-of-transcript position
    reason: str | None = (
        None  # why the gate doubts or drops it (`longform.gate`); None: it is believed
    )

    def to_json(self) -> dict[str, Any]:
        """openai-whisper's segment dictionary; `reason` beside it where there is one."""
        return {
            "id": self.id,
            "seek": self.seek,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "tokens": list(self.tokens),
            "temperature": self.temperature,
            "avg_logprob": self.avg_logprob,
            "compression_ratio": self.compression_ratio,
            "no_speech_prob": self.no_speech_prob,
            **({} if self.reason is None else {"reason": self.reason}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReport:
    """How one window was heard: for people who want to know why a text is as it is."""

    start_s: float
    end_s: float
    has_speech: bool  # False: not decoded
    # "pause", "seam" (no pause found; heard again across the cut), "stride" (of a chunk: the next one hears
    # it, too), "end"
    cut: str
    temperature: float | None  # None: not decoded
    reason: str | None  # why text was dropped or tried again, None where all went well


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one recording has been heard, for a caller's `on_progress`."""

    source_index: int  # among the recordings of the call
    done_s: float
    total_s: float | None  # None while the length is not known (a pipe, say)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The text of one recording (or of one channel of it)."""

    text: str
    segments: tuple[Segment, ...]
    language: str  # code: "en"
    language_probability: float | None  # None where the language was given
    duration_s: float
    task: str = "transcribe"
    channel: int | None = None
    windows: tuple[WindowReport, ...] = field(default=())
    # Written by the decoder and dropped by the gate: not in `text`; each has a `reason`, and the id -1.
    dropped: tuple[Segment, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """openai-whisper's result dictionary, with ours beside it; `dropped_segments` where there are any."""
        return {
            "text": self.text,
            "segments": [segment.to_json() for segment in self.segments],
            "language": self.language,
            "schema": SCHEMA,
            "task": self.task,
            "duration_s": self.duration_s,
            "language_probability": self.language_probability,
            **({} if self.channel is None else {"channel": self.channel}),
            **(
                {"dropped_segments": [segment.to_json() for segment in self.dropped]}
                if self.dropped
                else {}
            ),
        }

    def to_txt(self) -> str:
        """One line per segment, as openai-whisper's `.txt`."""
        return self._as("txt")

    def to_srt(self) -> str:
        """SubRip subtitles."""
        return self._as("srt")

    def to_vtt(self) -> str:
        """WebVTT subtitles."""
        return self._as("vtt")

    def to_tsv(self) -> str:
        """Tab-separated start, end (integer milliseconds) and text."""
        return self._as("tsv")

    def _as(self, format_name: str) -> str:
        # The one late import upward, see docs/ARCHITECTURE.md.
        from tercet.text.captions import render

        return render(self, format_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEvent:
    """A sound with its onset and offset, in seconds on the recording's clock."""

    start_s: float
    end_s: float
    label: str  # display name
    score: float  # 0..1: the highest frame score within it
    label_id: int  # its column in `SoundEvents.frames`

    def to_json(self) -> dict[str, Any]:
        """The five fields by name."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "label": self.label,
            "score": self.score,
            "label_id": self.label_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # arrays have no one answer to ==
class SoundEvents:
    """The sounds of one recording (or of one channel or part of it)."""

    events: tuple[SoundEvent, ...]  # by onset
    # Scores 0..1, float32 [rows, labels]; row i stands for [start_s + i x frame_s, + frame_s).
    frames: "np.ndarray"
    labels: tuple[str, ...]
    frame_s: float = 0.4
    start_s: float = 0.0  # of the first row
    duration_s: float  # of what was heard; the last row may reach beyond it
    # The head's raw outputs, float32 [rows, labels], where a row is one window of the head and no mean.
    logits: "np.ndarray | None" = None
    channel: int | None = None

    def __iter__(self) -> Iterator[SoundEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def to_json(self, *, frames: bool = False) -> dict[str, Any]:
        """Events and the grid's description; with `frames`, the grid itself."""
        return {
            "events": [event.to_json() for event in self.events],
            "frame_s": self.frame_s,
            "start_s": self.start_s,
            "duration_s": self.duration_s,
            "labels": list(self.labels),
            "schema": SCHEMA,
            **({} if self.channel is None else {"channel": self.channel}),
            **({"frames": self.frames.tolist()} if frames else {}),
        }

    def in_language(self, language: str) -> "SoundEvents":
        """The same with display names in another language (AudioSet's labels; English where there is none).

        Raises:
            LanguageError: nobody has translated them into it.
        """
        from tercet.text.labels import in_language  # a late import upward, as `Transcript._as`

        return in_language(self, language)

    def to_audacity(self) -> str:
        """A label track for Audacity: start, end (seconds) and label, with tabs between them."""
        return self._as("audacity")

    def to_txt(self) -> str:
        """One line per event, for people."""
        return self._as("txt")

    def to_tsv(self) -> str:
        """Tab-separated start, end (seconds), label and score, with a header."""
        return self._as("tsv")

    def _as(self, format_name: str) -> str:
        from tercet.text.event_formats import render

        return render(self, format_name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpeechTokens:
    """Discrete units of one recording: codes of a codebook, laid end to end on its clock."""

    ids: "np.ndarray"  # int32 [n], or [n, depth] of a residual quantizer
    codebook_size: int  # ids lie in 0..codebook_size - 1 (each level's, of a residual quantizer)
    codebook: str  # which codebook: the first 16 hex digits of its SHA-256; "" where nobody knows
    rate_hz: float = 25.0
    start_s: float = 0.0  # of the first code
    duration_s: float  # of what was heard; its last, incomplete code is left out
    # Where encoder windows begin, as places in `ids`; the first one is 0. Codes of a window are decoded
    # together (`Model.detokenize`).
    window_starts: tuple[int, ...] = (0,)
    mask_code: int | None = None  # the code that stands for no speech; never chosen for sound
    channel: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        return self.to_text()

    @property
    def depth(self) -> int:
        """How many codes there are at each time: 1, or those of a residual quantizer."""
        return 1 if self.ids.ndim == 1 else int(self.ids.shape[1])

    @property
    def bits_per_second(self) -> float:
        """What the codes may carry at most: rate x depth x log2(codebook size)."""
        return self.rate_hz * self.depth * math.log2(self.codebook_size)

    @property
    def windows(self) -> tuple[tuple[float, "np.ndarray"], ...]:
        """(start in seconds, ids) of each encoder window."""
        edges = (*self.window_starts, len(self.ids))
        return tuple(
            (round(self.start_s + first / self.rate_hz, 6), self.ids[first:last])
            for first, last in pairwise(edges)
        )

    def times_s(self) -> "np.ndarray":
        """When each code begins, float64 [n], seconds on the recording's clock."""
        import numpy as np

        times: np.ndarray = self.start_s + np.arange(len(self.ids)) / self.rate_hz
        return times

    def to_text(self, *, marks: bool = True, joined: bool = False, durations: bool = False) -> str:
        """`<|sound_start|><|sound_0123|>...<|sound_end|>`, one group per window, as Ichigo writes it.

        A residual quantizer's codes come time by time, level after level.

        Args:
            marks: Put `<|sound_start|>` and `<|sound_end|>` around each group.
            joined: One group for the whole recording.
            durations: Write a code that is repeated once, behind `<|duration_04|>`, as in Ichigo's corpora
                (2 to 99 times). `Model.detokenize` reads both forms.
        """
        groups = [self.ids] if joined else [ids for _, ids in self.windows]
        around = ("<|sound_start|>", "<|sound_end|>") if marks else ("", "")
        write = _with_durations if durations else _one_by_one
        return "".join(around[0] + write(ids.ravel().tolist()) + around[1] for ids in groups)

    def to_json(self) -> dict[str, Any]:
        """Codes by window, and what is needed to read them."""
        return {
            "rate_hz": self.rate_hz,
            "codebook": self.codebook,
            "codebook_size": self.codebook_size,
            "mask_code": self.mask_code,
            "depth": self.depth,
            "start_s": self.start_s,
            "duration_s": self.duration_s,
            "bits_per_second": round(self.bits_per_second, 1),
            "windows": [{"start_s": s, "ids": ids.tolist()} for s, ids in self.windows],
            "schema": SCHEMA,
            **({} if self.channel is None else {"channel": self.channel}),
        }


def _one_by_one(codes: Sequence[int]) -> str:
    return "".join(f"<|sound_{code:04d}|>" for code in codes)


def _with_durations(codes: Sequence[int]) -> str:
    """Runs of one code as a duration and the code; 99 at most in one."""
    words = []
    for code, run in groupby(codes):
        left = len(list(run))
        while left:
            count = min(left, 99)
            words.append(f"<|duration_{count:02d}|>" if count > 1 else "")
            words.append(f"<|sound_{code:04d}|>")
            left -= count
    return "".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Everything that one pass over a recording gave. A reading that was not asked for is None."""

    transcript: Transcript | None
    tags: SoundEvents | None
    speech_tokens: SpeechTokens | None
    duration_s: float
    # Which readings shared an encoder pass: (("text", "tags"), ("tokens",)) means two passes per window.
    encoder_passes: tuple[tuple[str, ...], ...]
    channel: int | None = None

    @property
    def text(self) -> str:
        """The transcript's text; empty where text was not asked for."""
        return "" if self.transcript is None else self.transcript.text

    @property
    def language(self) -> str | None:
        """The transcript's language; None where text was not asked for."""
        return None if self.transcript is None else self.transcript.language

    @property
    def segments(self) -> Sequence[Segment]:
        """The transcript's segments."""
        return () if self.transcript is None else self.transcript.segments

    @property
    def windows(self) -> Sequence[WindowReport]:
        """How each window was heard for its text."""
        return () if self.transcript is None else self.transcript.windows

    def to_json(self) -> dict[str, Any]:
        """openai-whisper's result dictionary, with `sound_events` and `speech_tokens` beside it."""
        return {
            **({} if self.transcript is None else self.transcript.to_json()),
            "schema": SCHEMA,
            "duration_s": self.duration_s,
            "encoder_passes": [list(readings) for readings in self.encoder_passes],
            **({} if self.channel is None else {"channel": self.channel}),
            **({} if self.tags is None else {"sound_events": self.tags.to_json()["events"]}),
            **(
                {}
                if self.speech_tokens is None
                else {"speech_tokens": self.speech_tokens.to_json()}
            ),
        }

    def to_srt(self, *, sounds: str = "on", sound_names: Mapping[str, str] | None = None) -> str:
        """SubRip subtitles, with sounds in brackets where tags were heard.

        Args:
            sounds: "on", "off" (speech alone) or "only" (sounds alone).
            sound_names: What to call sounds, by display name: {"Bark": "woof"}; "" leaves one out.

        Raises:
            OptionError: a value is not allowed.
        """
        return self._as("srt", sounds, sound_names)

    def to_vtt(self, *, sounds: str = "on", sound_names: Mapping[str, str] | None = None) -> str:
        """WebVTT subtitles, with sounds in brackets; as `to_srt`."""
        return self._as("vtt", sounds, sound_names)

    def to_txt(self, *, sounds: str = "on", sound_names: Mapping[str, str] | None = None) -> str:
        """One line per segment; with `sounds="only"`, one line per sound instead."""
        return self._as("txt", sounds, sound_names)

    def _as(self, format_name: str, sounds: str, sound_names: Mapping[str, str] | None) -> str:
        from tercet.text.captions import render_heard

        return render_heard(self, format_name, sounds=sounds, sound_names=sound_names)
