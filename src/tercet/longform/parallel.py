"""The `parallel` long-form loop: windows of one or many recordings, encoded one by one, decoded in batches.

Chunks that overlap (`longform="chunked"`) go the same way.

What a window gives depends on that window (and its recording's language) alone: not on the batch size, on
who shares its batch, or on the order of the recordings. Reading and encoding is `hearing.py`, the choice of
a batch `batches.py`, the order in which results leave `parts.py`; rules and fallback are `decoding/`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tercet.audio.sources import AudioSource
from tercet.audio.windows import RATE_HZ
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.engine.protocol import Decoder, Projections
from tercet.errors import AudioError, Cancelled, OptionError
from tercet.longform.ahead import Ahead
from tercet.longform.batches import Row, choose, leaders
from tercet.longform.ear import Ear
from tercet.longform.gate import Gate
from tercet.longform.hearing import Ended, Event, Failed, Heard, Opened, hear
from tercet.longform.parts import Job, Part
from tercet.longform.settings import ListenSettings
from tercet.longform.tracks import Opening, Track
from tercet.readings.frames import Rows
from tercet.readings.transcript import assemble, segments_of_window
from tercet.results import Progress, Transcript
from tercet.text.tokenizer import Tokenizer

UNDETERMINED = "und"  # ISO 639-2: nobody spoke, so there was no language to detect
_LOOKAHEAD = 2  # batches of encoded windows to choose from


@dataclass(frozen=True, slots=True)
class Piece:
    """Something finished: a window of a track, the end of a track, or the failure of its source."""

    source_index: int
    channel: int | None = None
    transcript: Transcript | None = None  # of the window; its times are the recording's
    start: int = 0  # the window's first sample
    end: int = 0  # the sample behind its last
    is_last: bool = False  # of its track
    rows: Rows | None = None  # frame scores that became final with it
    codes: np.ndarray | None = None  # its speech tokens
    error: AudioError | OptionError | None = None  # nothing more comes for this source
    is_end: bool = False  # nothing more comes for this track
    n_tracks: int = 1  # how many tracks the source has


class ParallelListener:
    """Runs the loop over sources, with one engine and one tokenizer. Made for one run."""

    def __init__(
        self,
        ear: Ear,
        decoder: Decoder,
        tokenizer: Tokenizer,
        settings: ListenSettings,
        *,
        gate: Gate | None = None,
    ) -> None:
        """`gate` None: all that the decoder's own thresholds let through is kept."""
        self._ear = ear
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._settings = settings
        self._gate = gate
        self._opening = Opening(
            sampling_rate=settings.sampling_rate,
            channel=settings.channel,
            vad=settings.vad,
            mel_floor="file" if ear.needs_floor else "window",
            n_mels=ear.encoder.geometry.n_mels,
            chunks=settings.chunks,
        )
        self._jobs: dict[int, Job] = {}  # not finished yet, by their track's identity
        self._waiting: list[Row] = []  # oldest first
        self._size = 1 if settings.is_live else settings.batch_size  # of the next batch
        self._ended_s: dict[int, float] = {}  # by source: the length of its finished tracks

    def listen(self, sources: Sequence[AudioSource]) -> Iterator[Piece]:
        """Hear the sources; yield each window once nothing can change it, in order within a track.

        Raises:
            Cancelled: the caller's `should_cancel` said so.
            EngineError: the engine failed.
        """
        size = self._settings.batch_size
        events = hear(sources, self._opening, self._ear, self._settings.vad)
        if not self._settings.overlap:
            yield from self._decode_all(events, size * _LOOKAHEAD)
            return
        # Windows are encoded while earlier ones are decoded. A window's sound and states are all that waits.
        ahead = Ahead(events, limit=size)
        try:
            yield from self._decode_all(ahead, size * _LOOKAHEAD)
        finally:
            ahead.close()

    def _decode_all(self, events: Iterable[Event], lookahead: int) -> Iterator[Piece]:
        """Take what is heard; decode a batch when as many wait as are worth waiting for."""
        for event in events:
            self._check_cancel()
            if isinstance(event, Failed):
                if self._settings.is_live:  # what was heard before the fault is handed out
                    while self._waiting:
                        self._decode()
                    yield from self._finished()
                self._forget(event.source_index)
                yield Piece(event.source_index, error=event.error)
                continue
            self._note(event)
            is_more_ready = not isinstance(events, Ahead) or events.is_ready
            enough = lookahead if is_more_ready and not self._settings.is_live else self._size
            while len(self._waiting) >= enough:
                self._decode()
            yield from self._finished()
        while self._waiting:
            self._decode()
            yield from self._finished()

    def _note(self, event: Opened | Heard | Ended) -> None:
        track = event.track
        if isinstance(event, Opened):
            self._jobs[id(track)] = Job(track, self._settings.decode.language)
            return
        job = self._jobs[id(track)]
        if isinstance(event, Ended):
            job.is_read = True
            return
        # All are in their places before any is decoded.
        job.parts.extend(part for part, _ in event.parts)
        self._waiting += [
            Row(job, part, states) for part, states in event.parts if states is not None
        ]

    def _forget(self, source_index: int) -> None:
        self._jobs = {
            key: job for key, job in self._jobs.items() if job.track.source_index != source_index
        }
        self._waiting = [row for row in self._waiting if row.job.track.source_index != source_index]

    def _decode(self) -> None:
        """Decode a batch of what waits."""
        self._check_cancel()
        rows = choose(self._waiting, self._size)
        self._size = min(2 * self._size, self._settings.batch_size)
        self._waiting = [row for row in self._waiting if not any(row is each for each in rows)]
        outcomes = decode_with_fallback(
            self._decoder,
            Projections(self._decoder, [row.states for row in rows]),
            self._tokenizer,
            self._settings.decode,
            self._settings.policy,
            languages=[row.job.language for row in rows],
            leaders=leaders(rows),
            # A row's chances follow from its place in its own recording, never from the batch.
            row_keys=[row.part.start for row in rows],
            seed=self._settings.seed,
            hear_until_s=[row.part.hear_until_s for row in rows],
        )
        for row, outcome in zip(rows, outcomes, strict=True):
            if row.job.language is None:
                row.job.language = outcome.decoded.language
                row.job.language_probability = outcome.decoded.language_probability
            self._take(row.part, outcome)

    def _take(self, part: Part, outcome: Outcome) -> None:
        part.outcome, part.is_done, part.note = outcome, True, outcome.reason
        if outcome.is_dropped:
            return
        assert part.speech_end_s is not None  # else it would not have been decoded
        segments = segments_of_window(
            outcome.decoded,
            window_start_s=part.start_s,
            window_duration_s=part.end_s - part.start_s,
            speech_end_s=part.speech_end_s,
            tokenizer=self._tokenizer,
            seek=part.start * 100 // RATE_HZ,
        )
        if self._gate is None:
            part.segments = tuple(segments)
            return
        judged = self._gate.judge(segments, part.sounds_like, window_start_s=part.start_s)
        part.segments, part.dropped = judged.kept, judged.dropped
        part.note = judged.noted(part.note)

    def _finished(self) -> Iterator[Piece]:
        """Whatever nothing can change any more, track by track; finished tracks leave the list."""
        for job in list(self._jobs.values()):
            text_language = job.language or ""
            if self._settings.decode.task == "translate":
                text_language = "en"
            for part in job.take_ready(text_language, self._tokenizer.encode):
                job.heard_s = part.end_s
                self._report(job.track)
                yield self._piece(job, part)
            if job.is_finished:
                del self._jobs[id(job.track)]
                track = job.track
                ended_s = self._ended_s.get(track.source_index, 0.0)
                self._ended_s[track.source_index] = ended_s + job.heard_s
                yield Piece(track.source_index, track.channel, is_end=True, n_tracks=track.n_tracks)

    def _piece(self, job: Job, part: Part) -> Piece:
        transcript = assemble(
            part.segments,
            language=job.language or UNDETERMINED,
            language_probability=job.language_probability,
            duration_s=part.end_s,
            task=self._settings.decode.task,
            channel=job.track.channel,
            windows=[part.report()],
            dropped=part.dropped,
        )
        return Piece(
            job.track.source_index,
            job.track.channel,
            transcript,
            start=part.start,
            end=part.end,
            is_last=part.cut == "end",
            rows=part.rows,
            codes=part.codes,
        )

    def _report(self, track: Track) -> None:
        """Tell the caller how far a source is; of several channels, each counts for its share."""
        if self._settings.on_progress is None:
            return
        index = track.source_index
        open_s = sum(job.heard_s for job in self._jobs.values() if job.track.source_index == index)
        done_s = (self._ended_s.get(index, 0.0) + open_s) / track.n_tracks
        # A header may understate the length.
        total_s = None if track.duration_s is None else max(track.duration_s, done_s)
        self._settings.on_progress(Progress(index, done_s, total_s))

    def _check_cancel(self) -> None:
        if self._settings.should_cancel is not None and self._settings.should_cancel():
            raise Cancelled("cancelled by the caller")
