"""The `parallel` long-form loop: windows of one or many recordings, encoded one by one, decoded in batches.

What a window gives depends on that window (and its recording's language) alone: not on the batch size, on
who shares its batch, or on the order of the recordings. Opening sources is `tracks.py`, the order in which
results leave is `parts.py`; rules and fallback are `decoding/`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from array_api_compat import array_namespace

from tercet.audio.mel import log_mel
from tercet.audio.sources import AudioSource
from tercet.audio.windows import RATE_HZ, Window
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.decoding.language import detect_languages
from tercet.engine.protocol import Array, Decoder, Encoder
from tercet.errors import AudioError, Cancelled, OptionError
from tercet.longform.parts import Job, Part, bridge_between
from tercet.longform.settings import ListenSettings
from tercet.longform.tracks import Opening, Track
from tercet.readings.transcript import assemble, segments_of_window
from tercet.results import Progress, Transcript
from tercet.text.tokenizer import Tokenizer

UNDETERMINED = "und"  # ISO 639-2: nobody spoke, so there was no language to detect
MEL_PADDING = (
    0.0  # in log-mel units, behind the sound: openai-whisper's transcribe() and faster-whisper
)
_STATES_PER_S = 50


@dataclass(frozen=True, slots=True)
class _Row:
    """One encoded window, waiting for its batch."""

    job: Job
    part: Part
    states: Array
    language: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Something finished: a window of a track, the end of a track, or the failure of its source."""

    source_index: int
    channel: int | None = None
    transcript: Transcript | None = None  # of the window; its times are the recording's
    error: AudioError | OptionError | None = None  # nothing more comes for this source
    is_end: bool = False  # nothing more comes for this track
    n_tracks: int = 1  # how many tracks the source has


class ParallelListener:
    """Runs the loop over sources, with one engine and one tokenizer. Made for one run."""

    def __init__(
        self, encoder: Encoder, decoder: Decoder, tokenizer: Tokenizer, settings: ListenSettings
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._settings = settings
        self._opening = Opening(
            sampling_rate=settings.sampling_rate,
            channel=settings.channel,
            vad=settings.vad,
            mel_floor=settings.mel_floor,
            n_mels=encoder.geometry.n_mels,
        )
        self._jobs: list[Job] = []  # not finished yet
        self._waiting: list[_Row] = []
        self._ended_s: dict[int, float] = {}  # by source: the length of its finished tracks

    def listen(self, sources: Sequence[AudioSource]) -> Iterator[Piece]:
        """Hear the sources; yield each window once nothing can change it, in order within a track.

        Raises:
            Cancelled: the caller's `should_cancel` said so.
            EngineError: the engine failed.
        """
        for index, source in enumerate(sources):
            try:
                for track in self._opening.tracks(source, index):
                    for _ in self._read(track):
                        yield from self._finished()
            except (AudioError, OptionError) as error:
                # The source's fault. What goes wrong in the engine is nobody's in particular, and goes up.
                self._forget(index)
                yield Piece(index, error=error)
        self._decode()
        yield from self._finished()

    def _forget(self, source_index: int) -> None:
        self._jobs = [job for job in self._jobs if job.track.source_index != source_index]
        self._waiting = [row for row in self._waiting if row.job.track.source_index != source_index]

    def _read(self, track: Track) -> Iterator[None]:
        """Encode a track's windows; yields whenever something may have become finished."""
        job = Job(track, self._settings.decode.language)
        self._jobs.append(job)
        previous: Window | None = None
        for window in track.windows:
            self._check_cancel()
            bridge = None if previous is None else bridge_between(previous, window)
            # Both are in their places before either is decoded.
            heard = [(Part.of(window, self._settings.vad), window)]
            if bridge is not None:
                heard.insert(0, (Part.of(bridge, self._settings.vad, is_bridge=True), bridge))
            job.parts.extend(part for part, _ in heard)
            for part, its_window in heard:
                if its_window.has_speech:
                    self._encode(job, part, its_window)
            previous = window
            yield
        job.is_read = True
        yield

    def _encode(self, job: Job, part: Part, window: Window) -> None:
        """Encode a window and let it wait for its batch; decode the batch once it is full."""
        n_mels, floor_max = self._encoder.geometry.n_mels, job.track.floor_max
        mel = log_mel(window.samples, n_mels=n_mels, pad_value=MEL_PADDING, floor_max=floor_max)
        real_frames = -(-window.samples.size * _STATES_PER_S // RATE_HZ)
        states = self._encoder.encode(mel, real_frames=real_frames).states
        if job.language is None:
            (probabilities,) = detect_languages(self._decoder, states[None], self._tokenizer)
            job.language = max(probabilities, key=probabilities.__getitem__)
            job.language_probability = probabilities[job.language]
        self._waiting.append(_Row(job, part, states, job.language))
        if len(self._waiting) >= self._settings.batch_size:
            self._decode()

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
            languages=[row.language for row in rows],
            # A row's chances follow from its place in its own recording, never from the batch.
            row_keys=[row.part.start for row in rows],
            seed=self._settings.seed,
            hear_until_s=[row.part.hear_until_s for row in rows],
        )
        for row, outcome in zip(rows, outcomes, strict=True):
            self._take(row.part, outcome)

    def _take(self, part: Part, outcome: Outcome) -> None:
        part.outcome, part.is_done, part.note = outcome, True, outcome.reason
        if outcome.is_dropped:
            return
        assert part.speech_end_s is not None  # else it would not have been decoded
        part.segments = tuple(
            segments_of_window(
                outcome.decoded,
                window_start_s=part.start_s,
                window_duration_s=part.end_s - part.start_s,
                speech_end_s=part.speech_end_s,
                tokenizer=self._tokenizer,
                seek=part.start * 100 // RATE_HZ,
            )
        )

    def _finished(self) -> Iterator[Piece]:
        """Whatever nothing can change any more, track by track; finished tracks leave the list."""
        for job in list(self._jobs):
            text_language = job.language or ""
            if self._settings.decode.task == "translate":
                text_language = "en"
            for part in job.take_ready(text_language, self._tokenizer.encode):
                job.heard_s = part.end_s
                self._report(job.track)
                yield self._piece(job, part)
            if job.is_finished:
                self._jobs.remove(job)
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
        )
        return Piece(job.track.source_index, job.track.channel, transcript)

    def _report(self, track: Track) -> None:
        """Tell the caller how far a source is; of several channels, each counts for its share."""
        if self._settings.on_progress is None:
            return
        index = track.source_index
        open_s = sum(job.heard_s for job in self._jobs if job.track.source_index == index)
        done_s = (self._ended_s.get(index, 0.0) + open_s) / track.n_tracks
        # A header may understate the length.
        total_s = None if track.duration_s is None else max(track.duration_s, done_s)
        self._settings.on_progress(Progress(index, done_s, total_s))

    def _check_cancel(self) -> None:
        if self._settings.should_cancel is not None and self._settings.should_cancel():
            raise Cancelled("cancelled by the caller")
