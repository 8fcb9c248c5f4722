"""The teacher: a Whisper that hears windows and writes them down, on whichever engine is the fastest here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tercet.audio.convention import SHARED, TRUE_LENGTH, window_mel
from tercet.audio.vad import VadOptions
from tercet.audio.windows import RATE_HZ
from tercet.checkpoint import open_checkpoint
from tercet.convert.fingerprint import decoder_digest, encoder_digest
from tercet.dataset.label_table import Label, TimedText
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.engine.choice import choose
from tercet.engine.protocol import Array, Projections
from tercet.hub import find_model
from tercet.labelling.settings import LabelSettings, settings_hash
from tercet.labelling.windows import LabelWindow
from tercet.loading import adapted, open_parts, tokenizer_of
from tercet.longform.parts import Part
from tercet.readings.transcript import segments_of_window

_SAMPLES_PER_STATE = 320


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """A window, and its states where somebody speaks in it."""

    window: LabelWindow
    states: Array | None


class LabelTeacher:
    """A model opened for labelling."""

    def __init__(self, settings: LabelSettings, *, threads: int | None = None) -> None:
        """Open it.

        Args:
            settings: Which model, and how it writes.
            threads: None: one per core.

        Raises:
            ModelError: the model or its adapter cannot be found or opened.
            EngineError: the engine refused it.
        """
        checkpoint = adapted(open_checkpoint(find_model(settings.model)), settings.adapter)
        self._settings = settings
        self._geometry = checkpoint.geometry
        self._convention = TRUE_LENGTH if checkpoint.generation.true_length else SHARED
        self._tokenizer = tokenizer_of(checkpoint)
        self._vad = VadOptions()
        choice = choose("auto", "auto", settings.compute_type)
        self._encoder, self._decoder = open_parts(checkpoint, choice, threads)
        self._encoder_digest = encoder_digest(checkpoint)
        self.told: dict[str, Any] = settings.told(
            encoder=self._encoder_digest, decoder=decoder_digest(checkpoint)
        )
        self._hash = settings_hash(self.told)
        self._languages: dict[str, str] = {}  # heard, by recording

    @property
    def vad(self) -> VadOptions:
        """What counts as speech."""
        return self._vad

    def hear(self, window: LabelWindow) -> HeardWindow:
        """Encode a window in which somebody speaks."""
        if not window.window.has_speech:
            return HeardWindow(window, None)
        samples = window.window.samples
        mel = window_mel(samples, self._convention, n_mels=self._geometry.n_mels)
        real = min(-(-samples.size // _SAMPLES_PER_STATE), mel.shape[1] // 2)
        return HeardWindow(window, self._encoder.encode(mel, real_frames=real).states)

    def write(self, heard: Sequence[HeardWindow], *, batch_size: int) -> list[Label]:
        """The labels of some windows, in their order.

        What one gets does not depend on the others, except for a recording's language: it is heard in its
        first window with speech, which must come first.
        """
        spoken = [number for number, each in enumerate(heard) if each.states is not None]
        by_length = sorted(spoken, key=lambda number: heard[number].window.window.samples.size)
        outcomes: dict[int, Outcome] = {}
        firsts = self._firsts(heard, spoken)
        rest = [number for number in by_length if number not in firsts]
        for group in (firsts, rest):
            for at in range(0, len(group), batch_size):
                outcomes |= self._decoded(heard, group[at : at + batch_size])
        return [self._label(each.window, outcomes.get(n)) for n, each in enumerate(heard)]

    def knows(self, recording: str, language: str) -> None:
        """A recording's language, as an earlier run heard it."""
        self._languages[recording] = language

    def _firsts(self, heard: Sequence[HeardWindow], spoken: Sequence[int]) -> list[int]:
        """Windows in which the language of a recording of several must be heard before the others'."""
        found: dict[str, int] = {}
        for number in spoken:
            job = heard[number].window.job
            if not job.is_one_window and self._language_of(heard[number].window) is None:
                found.setdefault(job.id, number)
        return list(found.values())

    def _language_of(self, window: LabelWindow) -> str | None:
        told = window.job.rows[0].language or self._settings.language
        return told or self._languages.get(window.job.id)

    def _decoded(self, heard: Sequence[HeardWindow], numbers: Sequence[int]) -> dict[int, Outcome]:
        chosen = [heard[number] for number in numbers]
        parts = [Part.of(each.window.window, self._vad) for each in chosen]
        outcomes = decode_with_fallback(
            self._decoder,
            Projections(self._decoder, [each.states for each in chosen]),
            self._tokenizer,
            self._settings.decode_options,
            self._settings.policy,
            languages=[self._language_of(each.window) for each in chosen],
            row_keys=[each.window.window.start for each in chosen],
            seed=0,
            hear_until_s=[part.hear_until_s for part in parts],
        )
        for each, outcome in zip(chosen, outcomes, strict=True):
            if not each.window.job.is_one_window:
                self._languages.setdefault(each.window.job.id, outcome.decoded.language)
        return dict(zip(numbers, outcomes, strict=True))

    def _label(self, window: LabelWindow, outcome: Outcome | None) -> Label:
        decoded = None if outcome is None else outcome.decoded
        sound = window.window
        room = self._geometry.n_text_ctx // 2
        language = self._language_of(window) or "und"
        return Label(
            id=window.id,
            recording=window.job.id,
            is_last=window.is_last,
            spans=window.spans,
            duration_s=sound.samples.size / RATE_HZ,
            speech_s=sum(end - start for start, end in sound.speech) / RATE_HZ,
            cut=sound.cut,
            speaker=window.job.speaker,
            previous=window.previous,
            language=language if decoded is None else decoded.language,
            language_probability=None if decoded is None else decoded.language_probability,
            text="" if decoded is None else decoded.text,
            text_ids=() if decoded is None else decoded.tokens,
            segments=() if outcome is None else self._segments(window, outcome),
            avg_logprob=0.0 if decoded is None else decoded.avg_logprob,
            compression_ratio=0.0 if decoded is None else decoded.compression_ratio,
            no_speech_prob=1.0 if decoded is None else decoded.no_speech_prob,
            temperature=0.0 if decoded is None else decoded.temperature,
            is_cut_off=decoded is not None and len(decoded.tokens) >= room,
            fault=None if outcome is None else outcome.reason,
            reference=window.reference,
            reference_of=window.reference_of,
            extra=dict(window.job.rows[0].extra),
            teacher=self._settings.model,
            encoder=self._encoder_digest,
            settings=self._hash,
        )

    def _segments(self, window: LabelWindow, outcome: Outcome) -> tuple[TimedText, ...]:
        length_s = window.window.samples.size / RATE_HZ
        speech_end = window.window.speech[-1][1] - window.window.start
        found = segments_of_window(
            outcome.decoded,
            window_start_s=0.0,
            window_duration_s=length_s,
            speech_end_s=speech_end / RATE_HZ,
            tokenizer=self._tokenizer,
            seek=0,
        )
        return tuple(TimedText(each.start, each.end, each.text.strip()) for each in found)
