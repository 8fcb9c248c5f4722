"""What Tercet hands back: frozen results that know how to become JSON. No decoding, no file writing."""

from dataclasses import dataclass, field
from typing import Any

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

    def to_json(self) -> dict[str, Any]:
        """openai-whisper's segment dictionary."""
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
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReport:
    """How one window was heard: for people who want to know why a text is as it is."""

    start_s: float
    end_s: float
    has_speech: bool  # False: not decoded
    cut: str  # "pause", "seam" (no pause found; heard again across the cut), "end"
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

    def to_json(self) -> dict[str, Any]:
        """openai-whisper's result dictionary, with ours beside it."""
        return {
            "text": self.text,
            "segments": [segment.to_json() for segment in self.segments],
            "language": self.language,
            "schema": SCHEMA,
            "task": self.task,
            "duration_s": self.duration_s,
            "language_probability": self.language_probability,
            **({} if self.channel is None else {"channel": self.channel}),
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
