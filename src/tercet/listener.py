"""The model that people hold in their hands: audio in, transcripts out.

What is allowed is checked here, before any audio is opened; the loop itself is in `longform/`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tercet.audio.sources import AudioSource
from tercet.checkpoint.geometry import Geometry
from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rules import suppressed_tokens
from tercet.engine.protocol import Decoder, Encoder
from tercet.errors import OptionError, TercetError
from tercet.longform.parallel import ParallelListener, Piece
from tercet.longform.settings import (
    ListenSettings,
    check_count,
    check_longform,
    check_switch,
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
        overlap: bool = True,
    ) -> None:
        check_count("batch_size", batch_size)
        self._overlap = overlap
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
    ) -> Any:  # `Transcript`, but for channel="each": a union would trouble every other caller
        """Write down what is said in one recording; options as in docs/options.md.

        Args:
            audio: A path, "-", bytes, a binary file, samples (NumPy, torch) or a data set's dictionary.
            sampling_rate: Hz, for samples; 16000 if not given.
            language: Code or English name; None detects it in the first window with speech.
            task: "transcribe", or "translate" (into English).
            temperature: 0 is greedy; of several, the next is tried where a text fails a threshold.
            compression_ratio_threshold: Try again where the text repeats itself more; None: never.
            logprob_threshold: Try again where the mean log-probability is lower; None: never.
            no_speech_threshold: Leave out what silence explains better; None: never.
            suppress_tokens: Ids never written; "-1" stands for symbols that nobody speaks, "" for none.
            suppress_blank: A window's text never starts with a blank.
            without_timestamps: Decode text alone: one segment per window.
            max_initial_timestamp: The latest start of a window's first segment, in seconds; None: any.
            seed: For temperatures above 0: the same seed gives the same text.
            longform: "parallel": windows cut in pauses, independent of each other.
            batch_size: Windows decoded together; changes the speed, never the text.
            vad_filter: Windows without speech are not decoded.
            vad_parameters: faster-whisper's, by name.
            mel_floor: "window", or "file" as openai-whisper (reads the source twice).
            channel: "mean", a channel's number, or "each": the result is a tuple then, one per channel.
            on_progress: Called as windows are finished.
            should_cancel: Asked before each window and each batch.

        Raises:
            AudioError: the recording cannot be heard.
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "audio")}
        ((_, outcome),) = self.transcribe_many([audio], **options)
        if isinstance(outcome, TercetError):
            raise outcome
        return outcome

    def transcribe_many(
        self, sources: Sequence[AudioSource], **options: Any
    ) -> Iterator[tuple[int, Outcome]]:
        """Write down several recordings, their windows batched together.

        Takes the options of `transcribe`. Yields (index of the source, its transcript or its error) as
        each is finished, which need not be their order; a source that cannot be heard harms no other.

        Raises:
            OptionError: at once, before anything is opened.
            Cancelled: `should_cancel` said so; what was yielded before stays good.
        """
        each = options.get("channel") == "each"
        return _gather(self._pieces(sources, options), each=each)

    def stream(self, audio: AudioSource, **options: Any) -> Iterator[Transcript]:
        """Write down one recording, window by window, in bounded memory.

        Takes the options of `transcribe` (channel "each" excepted). There is one part per window; its
        times are the recording's. The texts of all parts joined are the text that `transcribe` gives.

        Raises:
            AudioError: the recording cannot be heard (also midway).
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        if options.get("channel") == "each":
            raise OptionError(
                "channel 'each' cannot be streamed; stream one channel after the other"
            )
        return _parts_of(self._pieces([audio], options, is_live=True))

    def _pieces(
        self, sources: Sequence[AudioSource], options: Mapping[str, Any], *, is_live: bool = False
    ) -> Iterator[Piece]:
        settings = self._settings(options, is_live=is_live)
        loop = ParallelListener(self._encoder, self._decoder, self.tokenizer, settings)
        return loop.listen(sources)

    def _settings(self, given: Mapping[str, Any], *, is_live: bool) -> ListenSettings:
        """The options of `transcribe`, checked; those that are not given have its defaults.

        Raises:
            TypeError: there is no such option.
        """
        bound = _SIGNATURE.bind(self, None, **given)
        bound.apply_defaults()
        o = bound.arguments
        check_longform(o["longform"])
        check_switch("suppress_blank", o["suppress_blank"])
        check_switch("without_timestamps", o["without_timestamps"])
        decode = DecodeOptions(
            task=o["task"],
            language=self._language_code(o["language"], o["task"]),
            suppress_tokens=o["suppress_tokens"],
            suppress_blank=o["suppress_blank"],
            without_timestamps=o["without_timestamps"],
            max_initial_timestamp=o["max_initial_timestamp"],
        )
        suppressed_tokens(decode, self.tokenizer)  # refuses ids that the vocabulary lacks
        policy = FallbackPolicy(
            temperatures=temperatures_of(o["temperature"]),
            compression_ratio_threshold=o["compression_ratio_threshold"],
            logprob_threshold=o["logprob_threshold"],
            no_speech_threshold=o["no_speech_threshold"],
        )
        return ListenSettings(
            decode=decode,
            policy=policy,
            seed=o["seed"],
            batch_size=self._batch_size if o["batch_size"] is None else o["batch_size"],
            vad=vad_of(o["vad_filter"], o["vad_parameters"]),
            mel_floor=o["mel_floor"],
            channel=o["channel"],
            sampling_rate=o["sampling_rate"],
            overlap=self._overlap,
            is_live=is_live,
            on_progress=o["on_progress"],
            should_cancel=o["should_cancel"],
        )

    def _language_code(self, language: str | None, task: str) -> str | None:
        if not self.geometry.is_multilingual and task == "translate":
            raise OptionError(
                f"task 'translate' needs a model of many languages; {self.name} knows English"
            )
        if language is not None:
            return self.tokenizer.language_code(language)
        return None if self.geometry.is_multilingual else "en"


_SIGNATURE = inspect.signature(Model.transcribe)


def _gather(pieces: Iterator[Piece], *, each: bool) -> Iterator[tuple[int, Outcome]]:
    """Join the windows of each track, and the tracks of each source."""
    parts: dict[int, dict[int | None, list[Transcript]]] = {}  # by source and channel
    n_ended: dict[int, int] = {}
    for piece in pieces:
        index = piece.source_index
        if piece.error is not None:
            parts.pop(index, None)
            yield index, piece.error
        elif piece.transcript is not None:
            parts.setdefault(index, {}).setdefault(piece.channel, []).append(piece.transcript)
        elif piece.is_end:
            n_ended[index] = n_ended.get(index, 0) + 1
            if n_ended[index] == piece.n_tracks:
                # A channel where nobody speaks may end before those opened earlier.
                tracks = sorted(parts.pop(index).items(), key=lambda track: track[0] or 0)
                transcripts = tuple(_joined(track) for _, track in tracks)
                yield index, transcripts if each else transcripts[0]


def _joined(parts: list[Transcript]) -> Transcript:
    """One transcript of a track's windows."""
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
