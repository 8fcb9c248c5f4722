"""The `parallel` long-form loop: windows of one or many recordings, encoded one by one, decoded in batches.

What a window gives depends on that window (and its recording's language) alone: not on the batch size, on who shares
its batch, or on the order of the recordings. Opening sources is `tracks.py`; rules and fallback are `decoding/`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from array_api_compat import array_namespace

from tercet.audio.mel import log_mel
from tercet.audio.sources import AudioSource
from tercet.audio.windows import RATE_HZ, Window
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.decoding.language import detect_languages
from tercet.engine.protocol import Array, Decoder, Encoder
from tercet.errors import Cancelled, TercetError
from tercet.longform.seams import REACH_S, join_at_seam
from tercet.longform.settings import ListenSettings
from tercet.longform.tracks import Track, open_tracks
from tercet.readings.transcript import assemble, segments_of_window
from tercet.results import Progress, Segment, Transcript, WindowReport
from tercet.text.tokenizer import Tokenizer

UNDETERMINED = "und"  # ISO 639-2: nobody spoke, so there was no language to detect
_FRAMES_PER_S = 50
_REACH_SAMPLES = round(REACH_S * RATE_HZ)


@dataclass(slots=True)
class _Part:
    """One window of a track and what became of it."""

    window: Window
    is_bridge: bool = False  # heard only to join the windows before and after it
    segments: tuple[Segment, ...] = ()
    outcome: Outcome | None = None
    is_done: bool = False
    note: str | None = None


@dataclass(slots=True)
class _Job:
    """A track on its way through the loop."""

    track: Track
    n_tracks: int  # of the same source
    language: str | None
    language_probability: float | None = None
    parts: list[_Part] = field(default_factory=list)
    is_read: bool = False
    heard_s: float = 0.0  # how far the results reach that left already
    next_id: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    """One encoded window, waiting for its batch."""

    job: _Job
    part: _Part
    states: Array


@dataclass(frozen=True, slots=True)
class Piece:
    """Something finished: a stretch of a track, the end of a track, or the failure of its source."""

    source_index: int
    channel: int | None = None
    transcript: Transcript | None = None  # a stretch: its times are the recording's
    error: TercetError | None = None
    is_end: bool = False  # nothing more comes for this track (or this source, with an error)
    n_tracks: int = 1  # how many tracks the source has


class ParallelListener:
    """Runs the loop over sources, with one engine and one tokenizer."""

    def __init__(
        self, encoder: Encoder, decoder: Decoder, tokenizer: Tokenizer, settings: ListenSettings
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._settings = settings
        self._waiting: list[_Row] = []

    def listen(self, sources: Sequence[AudioSource]) -> Iterator[Piece]:
        """Hear the sources; yield each stretch once nothing can change it, in order within a track.

        Raises:
            Cancelled: the caller's `should_cancel` said so.
        """
        open_jobs: list[_Job] = []
        for index, source in enumerate(sources):
            try:
                jobs = self._open(source, index)
                for job in jobs:
                    open_jobs.append(job)
                    for _ in self._read(job):
                        yield from self._finished(open_jobs)
            except TercetError as error:
                if isinstance(error, Cancelled):
                    raise
                open_jobs = [job for job in open_jobs if job.track.source_index != index]
                self._waiting = [r for r in self._waiting if r.job.track.source_index != index]
                yield Piece(index, error=error, is_end=True)
        self._decode()
        yield from self._finished(open_jobs)

    def _open(self, source: AudioSource, index: int) -> list[_Job]:
        settings = self._settings
        tracks = open_tracks(
            source,
            index,
            sampling_rate=settings.sampling_rate,
            channel=settings.channel,
            vad=settings.vad,
            mel_floor=settings.mel_floor,
            n_mels=self._encoder.geometry.n_mels,
        )
        return [_Job(track, len(tracks), settings.decode.language) for track in tracks]

    def _read(self, job: _Job) -> Iterator[None]:
        """Encode a track's windows; yields whenever something may have become finished."""
        previous: _Part | None = None
        for window in job.track.windows:
            self._check_cancel()
            part = _Part(window)
            if previous is not None and previous.window.cut == "seam":
                self._bridge(job, previous, part)
            job.parts.append(part)
            if window.has_speech:
                self._encode(job, part)
            else:
                part.is_done, part.note = True, "no speech heard"
            if len(self._waiting) >= self._settings.batch_size:
                self._decode()
            previous = part
            yield
        job.is_read = True
        yield

    def _bridge(self, job: _Job, left: _Part, right: _Part) -> None:
        """Hear the border between two windows again, if both have speech near it."""
        if not (left.window.has_speech and right.window.has_speech):
            return
        samples = np.concatenate(
            [left.window.samples[-_REACH_SAMPLES:], right.window.samples[:_REACH_SAMPLES]]
        )
        start = left.window.end - min(_REACH_SAMPLES, left.window.samples.size)
        window = Window(start, samples, "seam", ((start, start + samples.size),))
        part = _Part(window, is_bridge=True)
        job.parts.append(part)
        self._encode(job, part)

    def _encode(self, job: _Job, part: _Part) -> None:
        window = part.window
        mel = log_mel(
            window.samples, n_mels=self._encoder.geometry.n_mels, floor_max=job.track.floor_max
        )
        real_frames = -(-window.samples.size * _FRAMES_PER_S // RATE_HZ)
        states = self._encoder.encode(mel, real_frames=real_frames).states
        if job.language is None:
            probabilities = detect_languages(self._decoder, states[None], self._tokenizer)[0]
            job.language = max(probabilities, key=probabilities.__getitem__)
            job.language_probability = probabilities[job.language]
        self._waiting.append(_Row(job, part, states))

    def _decode(self) -> None:
        """Decode what waits, as one batch."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        self._check_cancel()
        xp = array_namespace(rows[0].states)
        outcomes = decode_with_fallback(
            self._decoder,
            xp.stack([row.states for row in rows]),
            self._tokenizer,
            self._settings.decode,
            self._settings.policy,
            languages=[row.job.language or "en" for row in rows],
            # A row's random numbers follow from its place in its own recording, never from the batch.
            row_keys=[row.part.window.start for row in rows],
            seed=self._settings.seed,
            hear_until_s=[self._hear_until_s(row.part.window) for row in rows],
        )
        for row, outcome in zip(rows, outcomes, strict=True):
            self._take(row, outcome)

    def _hear_until_s(self, window: Window) -> float | None:
        """Where speech ends in a window, seconds from its start; None where nobody listened for it."""
        vad = self._settings.vad
        if vad is None:
            return None
        end_s = max(end for _, end in window.speech) / RATE_HZ - window.start_s
        is_cut = window.speech[-1][1] == window.end  # then nothing was padded at this end
        return end_s if is_cut else end_s - vad.speech_pad_ms / 1000

    def _take(self, row: _Row, outcome: Outcome) -> None:
        part, window = row.part, row.part.window
        part.outcome, part.is_done, part.note = outcome, True, outcome.reason
        if outcome.is_dropped:
            return
        part.segments = tuple(
            segments_of_window(
                outcome.decoded,
                window_start_s=window.start_s,
                window_duration_s=window.samples.size / RATE_HZ,
                speech_end_s=max(end for _, end in window.speech) / RATE_HZ,
                tokenizer=self._tokenizer,
                seek=window.start * 100 // RATE_HZ,
            )
        )

    def _finished(self, jobs: list[_Job]) -> Iterator[Piece]:
        """Whatever nothing can change any more, track by track; ended tracks leave the list."""
        for job in list(jobs):
            while ready := self._ready_parts(job):
                yield self._piece(job, ready)
                self._report(job)
            if job.is_read and not job.parts:
                jobs.remove(job)
                track = job.track
                yield Piece(track.source_index, track.channel, is_end=True, n_tracks=job.n_tracks)

    def _ready_parts(self, job: _Job) -> list[_Part]:
        """The next run of parts that may leave: up to the first window that no seam ties to the one after it."""
        run: list[_Part] = []
        for part in job.parts:
            if not part.is_done:
                return []
            run.append(part)
            if part.window.cut != "seam":
                return run
        return run if job.is_read else []

    def _piece(self, job: _Job, parts: list[_Part]) -> Piece:
        """Take parts out of the job (and with them their sound out of memory) and make a result of them."""
        del job.parts[: len(parts)]
        self._join(job, parts)
        segments = []
        for segment in (s for part in parts if not part.is_bridge for s in part.segments):
            segments.append(replace(segment, id=job.next_id))
            job.next_id += 1
        job.heard_s = parts[-1].window.end_s
        transcript = assemble(
            segments,
            language=job.language or UNDETERMINED,
            language_probability=job.language_probability,
            duration_s=job.heard_s,
            task=self._settings.decode.task,
            channel=job.track.channel,
            windows=[_report_of(part) for part in parts if not part.is_bridge],
        )
        return Piece(job.track.source_index, job.track.channel, transcript)

    def _join(self, job: _Job, parts: list[_Part]) -> None:
        """Let each bridge mend the border of its neighbours."""
        for left, bridge, right in zip(parts, parts[1:], parts[2:], strict=False):
            if not bridge.is_bridge:
                continue
            joined = join_at_seam(
                left.segments,
                bridge.segments,
                right.segments,
                job.language or "",
                self._tokenizer.encode,
            )
            left.segments, right.segments = joined.left, joined.right
            seam = "joined at the seam" if joined.is_confirmed else "seam not confirmed"
            left.note = seam if left.note is None else f"{left.note}; {seam}"

    def _report(self, job: _Job) -> None:
        if self._settings.on_progress is not None:
            total_s = job.track.recording.duration_s
            self._settings.on_progress(Progress(job.track.source_index, job.heard_s, total_s))

    def _check_cancel(self) -> None:
        if self._settings.should_cancel is not None and self._settings.should_cancel():
            raise Cancelled("cancelled by the caller")


def _report_of(part: _Part) -> WindowReport:
    return WindowReport(
        start_s=part.window.start_s,
        end_s=part.window.end_s,
        has_speech=part.window.has_speech,
        cut=part.window.cut,
        temperature=None if part.outcome is None else part.outcome.decoded.temperature,
        reason=part.note,
    )
