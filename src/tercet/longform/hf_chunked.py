"""The chunked long-form loop as transformers' pipeline has it (`longform="chunked"`, `match="hf"`).

Silence, heard as sound, stands behind a chunk; each chunk's language is its own; with timestamps, a chunk is
encoded and decoded again from its last pair on. Merging is `hf_merge.py`'s, cutting `audio.chunks`'s. Ours,
which runs the encoder once per chunk, is `parallel.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tercet.audio.convention import InputConvention, window_mel
from tercet.audio.sources import AudioSource
from tercet.audio.windows import RATE_HZ, Window
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.decoding.loop import Decoded
from tercet.engine.protocol import Projections
from tercet.errors import AudioError, Cancelled, OptionError
from tercet.longform.hf_merge import ChunkMerge, Stretch, kept_of_run
from tercet.longform.instruments import Instruments
from tercet.longform.parallel import Piece
from tercet.longform.settings import ListenSettings
from tercet.longform.tracks import Opening, Track
from tercet.readings.transcript import assemble
from tercet.results import Progress, Segment, WindowReport

CONVENTION = InputConvention(padding=None)  # transformers' WhisperFeatureExtractor
_LANGUAGE_OF_NOTHING = "und"


@dataclass(slots=True)
class _Chunk:
    """A chunk on its way through the decoder."""

    start: int  # samples
    end: int
    cut: str
    mel: np.ndarray
    language: str | None
    language_probability: float | None = None
    frame: int = 0  # of its log-mel, from which the next run hears
    tokens: list[int] = field(default_factory=list)  # of all runs
    last: Decoded | None = None  # run

    @property
    def is_done(self) -> bool:
        return bool(self.frame >= self.mel.shape[1])

    def rest(self) -> np.ndarray:
        """What is still to be heard; 0.0 in log-mel units stands behind it, as in `generate`."""
        left = self.mel[:, self.frame :]
        return np.pad(left, ((0, 0), (0, self.mel.shape[1] - left.shape[1])))

    def take(self, outcome: Outcome, timestamp_begin: int) -> None:
        decoded = outcome.decoded
        if self.language is None:
            self.language_probability = decoded.language_probability
        self.language, self.last = decoded.language, decoded
        left = self.mel.shape[1] - self.frame
        kept, step = kept_of_run(decoded.tokens, timestamp_begin, left)
        self.tokens += kept
        self.frame += step or left  # without the rules of timestamps, a pair may stand at 0.00


class HfListener:
    """Runs the loop over sources, one after the other. Made for one run."""

    def __init__(self, instruments: Instruments, settings: ListenSettings) -> None:
        self._instruments = instruments
        self._settings = settings
        self._opening = Opening(
            sampling_rate=settings.sampling_rate,
            channel=settings.channel,
            vad=None,
            mel_floor="window",
            n_mels=instruments.encoder.geometry.n_mels,
            chunks=settings.chunks,
        )

    def listen(self, sources: Sequence[AudioSource]) -> Iterator[Piece]:
        """Hear the sources; yield what is final, in order, with the chunk after which nothing can change it.

        Raises:
            Cancelled: the caller's `should_cancel` said so.
            EngineError: the engine failed.
        """
        for index, source in enumerate(sources):
            try:
                done_s = 0.0  # of the source's finished channels
                for track in self._opening.tracks(source, index):
                    reading = _TrackReading(self._instruments, self._settings, track, done_s)
                    yield from reading.pieces()
                    done_s += reading.heard_s
            except (AudioError, OptionError) as error:
                yield Piece(index, error=error)


class _TrackReading:
    """One track, from its chunks to its segments."""

    def __init__(
        self, instruments: Instruments, settings: ListenSettings, track: Track, done_s: float
    ) -> None:
        self._instruments = instruments
        self._settings = settings
        self._track = track
        self._done_s = done_s
        self._merge = ChunkMerge(
            instruments.tokenizer, timed=not settings.decode.without_timestamps
        )
        self._language: str | None = None
        self._language_probability: float | None = None
        self._n_segments = 0
        self.heard_s = 0.0
        self._told_s = 0.0  # up to where segments reach

    def pieces(self) -> Iterator[Piece]:
        size = 1 if self._settings.is_live else self._settings.batch_size
        batch = list[Window]()
        for window in self._track.windows:
            self._check_cancel()
            batch.append(window)
            if len(batch) == size:
                yield from self._hear(batch)
                batch = []
        if batch:
            yield from self._hear(batch)
        track = self._track
        yield Piece(track.source_index, track.channel, is_end=True, n_tracks=track.n_tracks)

    def _hear(self, windows: Sequence[Window]) -> Iterator[Piece]:
        for chunk in self._written(windows):
            if self._language is None:
                self._language = chunk.language
                self._language_probability = chunk.language_probability
            yield self._piece(chunk)
            self._report()

    def _written(self, windows: Sequence[Window]) -> list[_Chunk]:
        """Decode a batch of chunks, each until it is heard to its end."""
        instruments, settings = self._instruments, self._settings
        n_mels = instruments.encoder.geometry.n_mels
        chunks = [
            _Chunk(
                window.start,
                window.end,
                window.cut,
                window_mel(window.samples, CONVENTION, n_mels=n_mels),
                settings.decode.language,
            )
            for window in windows
        ]
        while waiting := [chunk for chunk in chunks if not chunk.is_done]:
            self._check_cancel()
            outcomes = decode_with_fallback(
                instruments.decoder,
                Projections(
                    instruments.decoder,
                    [instruments.encoder.encode(chunk.rest()).states for chunk in waiting],
                ),
                instruments.tokenizer,
                settings.decode,
                settings.policy,
                languages=[chunk.language for chunk in waiting],
                row_keys=[chunk.start for chunk in waiting],
                seed=settings.seed,
            )
            for chunk, outcome in zip(waiting, outcomes, strict=True):
                chunk.take(outcome, instruments.tokenizer.timestamp_begin)
        return chunks

    def _piece(self, chunk: _Chunk) -> Piece:
        is_last = chunk.cut == "end"
        plan = self._settings.chunks
        assert plan is not None  # this loop is for chunks
        left = 0 if chunk.start == 0 else plan.left
        right = 0 if is_last else plan.right
        stretches = self._merge.push(
            chunk.tokens,
            length_s=(chunk.end - chunk.start) / RATE_HZ,
            left_s=left / RATE_HZ,
            right_s=right / RATE_HZ,
        )
        self.heard_s = chunk.end / RATE_HZ
        # What has become final without a time reaches to the middle of what both chunks heard.
        middle_s = (chunk.start + (plan.left + plan.right) / 2) / RATE_HZ
        segments = [self._segment(stretch, chunk, middle_s) for stretch in stretches]
        if is_last:
            segments += [self._segment(rest, chunk, self.heard_s) for rest in self._merge.finish()]
        assert chunk.last is not None  # it was decoded
        report = WindowReport(
            start_s=chunk.start / RATE_HZ,
            end_s=self.heard_s,
            has_speech=True,
            cut=chunk.cut,
            temperature=chunk.last.temperature,
            reason=None,
        )
        transcript = assemble(
            segments,
            language=self._language or _LANGUAGE_OF_NOTHING,
            language_probability=self._language_probability,
            duration_s=self.heard_s,
            task=self._settings.decode.task,
            channel=self._track.channel,
            windows=[report],
        )
        return Piece(
            self._track.source_index,
            self._track.channel,
            transcript,
            start=chunk.start,
            end=chunk.end,
            is_last=is_last,
        )

    def _segment(self, stretch: Stretch, chunk: _Chunk, until_s: float) -> Segment:
        """A stretch as a segment; the pipeline gives times where it was asked for them, and not always."""
        decoded = chunk.last
        assert decoded is not None  # see `_piece`
        is_timed = not self._settings.decode.without_timestamps
        start_s, end_s = (stretch.start_s, stretch.end_s) if is_timed else (None, None)
        start_s = self._told_s if start_s is None else start_s
        end_s = max(start_s, until_s) if end_s is None else end_s
        self._told_s = end_s
        segment = Segment(
            id=self._n_segments,
            seek=chunk.start * 100 // RATE_HZ,
            start=start_s,
            end=end_s,
            text=self._instruments.tokenizer.decode(stretch.tokens),
            tokens=stretch.tokens,
            temperature=decoded.temperature,
            avg_logprob=decoded.avg_logprob,
            compression_ratio=decoded.compression_ratio,
            no_speech_prob=decoded.no_speech_prob,
        )
        self._n_segments += 1
        return segment

    def _report(self) -> None:
        if self._settings.on_progress is None:
            return
        track = self._track
        done_s = (self._done_s + self.heard_s) / track.n_tracks
        total_s = None if track.duration_s is None else max(track.duration_s, done_s)
        self._settings.on_progress(Progress(track.source_index, done_s, total_s))

    def _check_cancel(self) -> None:
        if self._settings.should_cancel is not None and self._settings.should_cancel():
            raise Cancelled("cancelled by the caller")
