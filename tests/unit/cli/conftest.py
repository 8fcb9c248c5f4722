"""`tercet listen` in this process, with a model that hears nothing and says what it was asked."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.cli.main import main
from tercet.errors import LanguageError, TercetError
from tercet.results import (
    Hearing,
    Progress,
    Segment,
    SoundEvent,
    SoundEvents,
    SpeechTokens,
    Transcript,
    WindowReport,
)

Outcome = Transcript | Hearing | tuple[Transcript, ...] | tuple[Hearing, ...] | TercetError


def transcript_of(*texts: str, channel: int | None = None) -> Transcript:
    """One segment of 1.5 s per text, each at its place in a window of its own."""
    segments = tuple(
        Segment(
            id=n, seek=3000 * n, start=30.0 * n, end=30.0 * n + 1.5, text=f" {text}",
            tokens=(50364, 11, 50439), temperature=0.0, avg_logprob=-0.25,
            compression_ratio=1.1, no_speech_prob=0.01,
        )
        for n, text in enumerate(texts)
    )  # fmt: skip
    reason = "compression ratio 3.1 is above 2.4"
    window = WindowReport(
        start_s=0.0, end_s=30.0, has_speech=True, cut="end", temperature=0.2, reason=reason
    )
    return Transcript(
        text="".join(segment.text for segment in segments), segments=segments, language="en",
        language_probability=0.98, duration_s=42.0, channel=channel, windows=(window,),
    )  # fmt: skip


def events_of(*labels: str, channel: int | None = None) -> SoundEvents:
    """One event of 0.8 s per label, each 2 s behind the one before; three rows of scores."""
    events = tuple(
        SoundEvent(start_s=2.0 * n, end_s=2.0 * n + 0.8, label=label, score=0.75, label_id=n)
        for n, label in enumerate(labels)
    )
    frames = np.full((3, max(1, len(labels))), 0.75, np.float32)
    return SoundEvents(
        events=events, frames=frames, labels=labels or ("Silence",), duration_s=42.0, channel=channel
    )  # fmt: skip


def tokens_of(*ids: int, channel: int | None = None) -> SpeechTokens:
    """Codes of one window, of a codebook of 512."""
    return SpeechTokens(
        ids=np.array(ids, np.int32), codebook_size=513, codebook="c0de", duration_s=42.0,
        mask_code=512, channel=channel,
    )  # fmt: skip


def hearing_of(
    transcript: Transcript | None = None,
    tags: SoundEvents | None = None,
    speech_tokens: SpeechTokens | None = None,
) -> Hearing:
    """What one pass gave."""
    there = [part for part in (transcript, tags, speech_tokens) if part is not None]
    return Hearing(
        transcript=transcript, tags=tags, speech_tokens=speech_tokens, duration_s=42.0,
        encoder_passes=(("text",),), channel=there[0].channel if there else None,
    )  # fmt: skip


def parts_of(answer: Any) -> list[Any]:
    """A transcript cut into one part per segment; anything else as it is."""
    if not isinstance(answer, Transcript) or not answer.segments:
        return [answer]
    return [replace(answer, text=each.text, segments=(each,)) for each in answer.segments]


@dataclass
class FakeModel:
    """Says each file's stem, or what `answers` has for its name."""

    answers: dict[str, Outcome | BaseException | list[Transcript | BaseException]] = field(
        default_factory=dict
    )
    order: Callable[[int], list[int]] = lambda count: list(range(count))
    loaded: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    load_error: TercetError | None = None
    has_tags: bool = False
    has_tokens: bool = False
    only: list[tuple[str, ...]] = field(default_factory=list)  # of calls to listen_many and stream

    def load(self, name: str = "base", **options: Any) -> "FakeModel":
        if self.load_error is not None:
            raise self.load_error
        self.loaded.append((name, options))
        return self

    def transcribe_many(
        self, sources: Sequence[str], *, on_progress: Callable[[Progress], None], **options: Any
    ) -> Iterator[tuple[int, Outcome]]:
        self.calls.append(options)
        for index in self.order(len(sources)):
            source = sources[index]
            self.heard.append(source)
            on_progress(Progress(index, 42.0, 42.0))
            answer = self.answers.get(Path(source).name, transcript_of(Path(source).stem))
            if isinstance(answer, BaseException) and not isinstance(answer, TercetError):
                raise answer
            yield index, answer

    def listen_many(
        self,
        sources: Sequence[str],
        *,
        only: Sequence[str],
        on_progress: Callable[[Progress], None],
        **options: Any,
    ) -> Iterator[tuple[int, Any]]:
        """A recording's words, a sound called as its stem and one code for each of its letters."""
        self.only.append(tuple(only))
        self.calls.append(options)
        return self._many(sources, only, on_progress)

    def _many(
        self, sources: Sequence[str], only: Sequence[str], on_progress: Callable[[Progress], None]
    ) -> Iterator[tuple[int, Any]]:
        for index in self.order(len(sources)):
            self.heard.append(sources[index])
            on_progress(Progress(index, 42.0, 42.0))
            answer = self.answers.get(Path(sources[index]).name)
            if isinstance(answer, BaseException) and not isinstance(answer, TercetError):
                raise answer
            yield index, self._hearing(sources[index], only) if answer is None else answer

    def _hearing(self, source: str, only: Sequence[str]) -> Hearing:
        stem = Path(source).stem
        return hearing_of(
            transcript_of(stem) if "text" in only else None,
            events_of(stem) if "tags" in only else None,
            tokens_of(*os.fsencode(stem)) if "tokens" in only else None,
        )

    def stream(self, source: str, *, only: Sequence[str], **options: Any) -> Iterator[Hearing]:
        """Each segment as a part of its own; of a list, what it holds, errors raised."""
        self.only.append(tuple(only))
        self.calls.append({k: v for k, v in options.items() if k != "on_progress"})
        return self._parts(source, only, options["on_progress"])

    def _parts(
        self, source: str, only: Sequence[str], on_progress: Callable[[Progress], None]
    ) -> Iterator[Hearing]:
        self.heard.append(source)
        answer = self.answers.get(Path(source).name, self._hearing(source, only))
        for part in answer if isinstance(answer, list) else parts_of(answer):
            if isinstance(part, BaseException):
                raise part
            on_progress(Progress(0, 42.0, 42.0))
            yield hearing_of(part) if isinstance(part, Transcript) else part

    def tag(self, source: str, *, match: str, on_progress: Any, **options: Any) -> Any:
        self.calls.append({"match": match, **options})
        return self._matched(source, on_progress, events_of(Path(source).stem))

    def tokenize(self, source: str, *, match: str, on_progress: Any, **options: Any) -> Any:
        self.calls.append({"match": match, **options})
        return self._matched(source, on_progress, tokens_of(*Path(source).stem.encode()))

    def _matched(self, source: str, on_progress: Callable[[Progress], None], found: Any) -> Any:
        self.heard.append(source)
        on_progress(Progress(0, 42.0, 42.0))
        answer = self.answers.get(Path(source).name, found)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def detokenize(
        self, codes: SpeechTokens | tuple[()], *, on_progress: Any = None, **options: Any
    ) -> Transcript:
        """The letters that the codes stand for; of none, nothing, once the language was looked at."""
        if options["language"] == "tlh":
            raise LanguageError("language 'tlh' is unknown")
        if isinstance(codes, tuple):
            return transcript_of()
        self.calls.append(options)
        self.heard.append(str(codes))
        on_progress(Progress(0, 42.0, None))
        return transcript_of(bytes(codes.ids.tolist()).decode())

    @property
    def options(self) -> dict[str, Any]:
        """What the last call to load and to transcribe were given, together."""
        name, load_options = self.loaded[-1]
        return {"model": name, **load_options, **self.calls[-1]}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    # In the module itself: asking for the real one would import all of it.
    monkeypatch.setitem(vars(tercet), "load_model", model.load)
    return model


@pytest.fixture
def run_tercet(fake_model: FakeModel, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`run_tercet("listen", ...)` gives the exit code and what was printed."""

    def run(*argv: str | Path) -> Ran:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def say() -> Callable[..., Transcript]:
    return transcript_of


@pytest.fixture
def hear() -> Callable[..., Hearing]:
    return hearing_of


@pytest.fixture
def sounds() -> Callable[..., SoundEvents]:
    return events_of


@pytest.fixture
def codes() -> Callable[..., SpeechTokens]:
    return tokens_of


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Empty files in a fresh folder, which is the working folder."""
    folder = tmp_path / "sound"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def make(*names: str) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"sound of " + os.fsencode(name))
        return folder

    return make
