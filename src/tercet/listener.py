"""The model that people hold in their hands: audio in, transcripts out. The loops themselves are in `longform/`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tercet.audio.sources import AudioSource
from tercet.checkpoint.geometry import Geometry
from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.engine.protocol import Decoder, Encoder
from tercet.errors import OptionError, TercetError
from tercet.longform.parallel import ParallelListener, Piece
from tercet.longform.settings import (
    ListenSettings,
    check_count,
    check_longform,
    temperatures_of,
    vad_of,
)
from tercet.longform.tracks import Channel, MelFloor
from tercet.results import Progress, Transcript
from tercet.text.tokenizer import Tokenizer

Outcome = Transcript | tuple[Transcript, ...] | TercetError
FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # openai-whisper's


class Model:
    """An opened Whisper: encoder, decoder and tokenizer, on one engine. Made by `load_model`.

    Not for use by several threads at once; results never depend on what was heard before.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
    ) -> None:
        check_count("batch_size", batch_size)
        self.name = name
        self.tokenizer = tokenizer
        self._encoder = encoder
        self._decoder = decoder
        self._batch_size = batch_size

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._encoder.geometry

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows; ("en",) for `.en` models."""
        return self.tokenizer.languages

    def transcribe(
        self,
        audio: AudioSource,
        *,
        sampling_rate: int | None = None,
        language: str | None = None,
        task: str = "transcribe",
        temperature: float | Sequence[float] = FALLBACK_TEMPERATURES,
        compression_ratio_threshold: float | None = 2.4,
        logprob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        suppress_tokens: str | Sequence[int] = "-1",
        suppress_blank: bool = True,
        without_timestamps: bool = False,
        max_initial_timestamp: float | None = 1.0,
        seed: int = 0,
        longform: str = "parallel",
        batch_size: int | None = None,
        vad_filter: bool = True,
        vad_parameters: Mapping[str, object] | None = None,
        mel_floor: MelFloor = "window",
        channel: Channel = "mean",
        on_progress: Callable[[Progress], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
    ) -> Any:
        """Write down what is said in one recording. Options have openai-whisper's names; see docs/options.md.

        Args:
            audio: A path, "-", bytes, a binary file object, samples (NumPy, torch) or a data set's dictionary.
            sampling_rate: Hz, for samples; 16000 if not given.
            language: Code or English name; None detects it in the first window with speech.
            task: "transcribe", or "translate" (into English).
            temperature: 0 is greedy; of several, the next is tried where a text fails a threshold.
            compression_ratio_threshold, logprob_threshold, no_speech_threshold: None switches one off.
            suppress_tokens: Ids; "-1" stands for symbols that nobody speaks, "" for none.
            suppress_blank, without_timestamps, max_initial_timestamp: As in openai-whisper.
            seed: For temperatures above 0: the same seed gives the same text.
            longform: "parallel": windows cut in pauses, independent of each other.
            batch_size: Windows decoded together; changes the speed, never the text.
            vad_filter, vad_parameters: faster-whisper's; windows without speech are not decoded.
            mel_floor: "window", or "file" as openai-whisper (reads the source twice).
            channel: "mean", a channel's number, or "each" (the result is then a tuple, one per channel).
            on_progress, should_cancel: Called as windows are finished; asked before each batch.

        Raises:
            AudioError: the recording cannot be heard.
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        options = {k: v for k, v in locals().items() if k not in ("self", "audio")}
        ((_, outcome),) = self.transcribe_many([audio], **options)
        if isinstance(outcome, TercetError):
            raise outcome
        return outcome

    def transcribe_many(
        self, sources: Sequence[AudioSource], **options: Any
    ) -> Iterator[tuple[int, Outcome]]:
        """Write down several recordings, their windows batched together.

        Takes the options of `transcribe`. Yields (index of the source, its transcript or its error) as each is
        finished; a source that cannot be heard harms no other.

        Raises:
            OptionError: at once, before anything is opened.
            Cancelled: `should_cancel` said so.
        """
        each = options.get("channel") == "each"
        return _gather(self._pieces(sources, options), each=each)

    def stream(self, audio: AudioSource, **options: Any) -> Iterator[Transcript]:
        """Write down one recording, window by window, in bounded memory.

        Takes the options of `transcribe` (channel "each" excepted). Each part's times are the recording's; the texts
        of all parts joined are the text that `transcribe` gives.

        Raises:
            AudioError: the recording cannot be heard (also midway).
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        if options.get("channel") == "each":
            raise OptionError("channel 'each' cannot be streamed; stream one channel after the other")
        return _parts_of(self._pieces([audio], options))

    def _pieces(
        self, sources: Sequence[AudioSource], options: Mapping[str, Any]
    ) -> Iterator[Piece]:
        settings = self._settings(**options)
        loop = ParallelListener(self._encoder, self._decoder, self.tokenizer, settings)
        return loop.listen(sources)

    def _settings(
        self,
        *,
        language: str | None = None,
        temperature: float | Sequence[float] = FALLBACK_TEMPERATURES,
        longform: str = "parallel",
        batch_size: int | None = None,
        vad_filter: bool = True,
        vad_parameters: Mapping[str, object] | None = None,
        sampling_rate: int | None = None,
        seed: int = 0,
        mel_floor: MelFloor = "window",
        channel: Channel = "mean",
        on_progress: Callable[[Progress], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
        compression_ratio_threshold: float | None = 2.4,
        logprob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        **decode: Any,
    ) -> ListenSettings:
        check_longform(longform)
        policy = FallbackPolicy(
            temperatures=temperatures_of(temperature),
            compression_ratio_threshold=compression_ratio_threshold,
            logprob_threshold=logprob_threshold,
            no_speech_threshold=no_speech_threshold,
        )
        if language is not None:
            language = self.tokenizer.language_code(language)
        elif not self.geometry.is_multilingual:
            language = "en"
        return ListenSettings(
            decode=DecodeOptions(language=language, **decode),
            policy=policy,
            seed=seed,
            batch_size=self._batch_size if batch_size is None else batch_size,
            vad=vad_of(vad_filter, vad_parameters),
            mel_floor=mel_floor,
            channel=channel,
            sampling_rate=sampling_rate,
            on_progress=on_progress,
            should_cancel=should_cancel,
        )


def _gather(pieces: Iterator[Piece], *, each: bool) -> Iterator[tuple[int, Outcome]]:
    """Join the stretches of each track, and the tracks of each source."""
    stretches: dict[tuple[int, int | None], list[Transcript]] = {}
    ended: dict[int, list[Transcript]] = {}
    for piece in pieces:
        index, key = piece.source_index, (piece.source_index, piece.channel)
        if piece.error is not None:
            ended.pop(index, None)
            yield index, piece.error
        elif piece.transcript is not None:
            stretches.setdefault(key, []).append(piece.transcript)
        elif piece.is_end:
            tracks = ended.setdefault(index, [])
            tracks.append(_joined(stretches.pop(key)))
            if len(tracks) == piece.n_tracks:
                yield index, tuple(ended.pop(index)) if each else tracks[0]


def _joined(parts: list[Transcript]) -> Transcript:
    """One transcript of a track's stretches."""
    return replace(
        parts[-1],
        text="".join(part.text for part in parts),
        segments=tuple(segment for part in parts for segment in part.segments),
        windows=tuple(window for part in parts for window in part.windows),
    )


def _parts_of(pieces: Iterator[Piece]) -> Iterator[Transcript]:
    for piece in pieces:
        if piece.error is not None:
            raise piece.error
        if piece.transcript is not None:
            yield piece.transcript
