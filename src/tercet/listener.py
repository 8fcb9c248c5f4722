"""The model that people hold in their hands: audio in; text, sounds and speech tokens out.

What is allowed is checked here, before any audio is opened; the loop itself is in `longform/`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Number
from typing import Any

from tercet.audio.convention import MelFloor
from tercet.audio.sources import AudioSource
from tercet.checkpoint.geometry import Geometry
from tercet.engine.heads import Heads
from tercet.engine.protocol import Decoder, Encoder
from tercet.errors import OptionError, TercetError
from tercet.longform.beginning import begin, settings_of, split_options
from tercet.longform.detokenizing import detokenize
from tercet.longform.gathering import Heard, Wanted, gather, parts_of, transcripts
from tercet.longform.instruments import Instruments
from tercet.longform.originals import check_match, tag_as_whisper_at, tokenize_as_ichigo
from tercet.longform.parallel import Piece
from tercet.longform.passes import TAGS, TEXT, TOKENS
from tercet.longform.settings import check_count
from tercet.longform.tracks import Channel
from tercet.readings.events import PerLabel
from tercet.results import Hearing, Progress, Transcript
from tercet.text.tokenizer import Tokenizer

Outcome = Transcript | tuple[Transcript, ...] | TercetError
FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # openai-whisper's


class Model:
    """An opened Whisper: encoder, decoder, tokenizer and heads, on one engine. Made by `load_model`.

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
        heads: Heads | None = None,
        true_length: bool = False,
    ) -> None:
        check_count("batch_size", batch_size)
        self.name = name
        self.tokenizer = tokenizer
        self._instruments = Instruments(
            name=name,
            encoder=encoder,
            decoder=decoder,
            tokenizer=tokenizer,
            heads=heads or Heads(),
            batch_size=batch_size,
            overlap=overlap,
            true_length=true_length,
        )

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._instruments.encoder.geometry

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows; ("en",) for `.en` models."""
        return self.tokenizer.languages

    @property
    def has_tags(self) -> bool:
        """Whether it hears sound events: whether it has a tag head."""
        return self._instruments.heads.tags is not None

    @property
    def has_tokens(self) -> bool:
        """Whether it gives speech tokens: whether it has a quantizer."""
        return self._instruments.heads.codes is not None

    @property
    def readings(self) -> tuple[str, ...]:
        """What it can read: "text", and "tags" and "tokens" where it has the heads."""
        return self._instruments.readings

    def listen(
        self, audio: AudioSource, *, only: str | Sequence[str] | None = None, **options: Any
    ) -> Any:  # `Hearing`, but for channel="each": a union would trouble every other caller
        """Hear one recording once: text, sound events and speech tokens from one encoder pass.

        Takes the options of `transcribe` and of `tag` (whose `match` excepted).

        Args:
            audio: As for `transcribe`.
            only: One or several of "text", "tags", "tokens"; None: all that the model has.
            options: By name; see docs/options.md.

        Returns:
            A `Hearing`; with channel="each" a tuple, one per channel.

        Raises:
            AudioError: the recording cannot be heard.
            HeadError: the model lacks a reading that was asked for.
            OptionError: an option's value is not allowed, or it belongs to a reading that is not wanted.
            Cancelled: `should_cancel` said so.
        """
        return _the_one(self.listen_many([audio], only=only, **options))

    def listen_many(
        self,
        sources: Sequence[AudioSource],
        *,
        only: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Iterator[tuple[int, Heard]]:
        """Hear several recordings, their windows batched together; options as for `listen`.

        Yields (index of the source, its result or its error) as each is finished, which need not be their
        order; a source that cannot be heard harms no other.

        Raises:
            OptionError: at once, before anything is opened.
            Cancelled: `should_cancel` said so; what was yielded before stays good.
        """
        each = options.get("channel") == "each"
        pieces, wanted = self._start(sources, only, options)
        return gather(pieces, wanted, each=each)

    def stream(
        self, audio: AudioSource, *, only: str | Sequence[str] | None = None, **options: Any
    ) -> Iterator[Hearing]:
        """Hear one recording, window by window, in bounded memory; options as for `listen`.

        Channel "each" excepted. There is one part per window; its times are the recording's. The texts,
        events, frames and codes of all parts laid end to end are those that `listen` gives: an event comes
        with the part in which nothing can change it any more.

        Raises:
            AudioError: the recording cannot be heard (also midway).
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        if options.get("channel") == "each":
            raise OptionError(
                "channel 'each' cannot be streamed; stream one channel after the other"
            )
        pieces, wanted = self._start([audio], only, options, is_live=True)
        return parts_of(pieces, wanted)

    def tag(
        self,
        audio: AudioSource,
        *,
        labels: str | Sequence[str | int] | None = None,
        top_k: int | None = None,
        threshold: PerLabel | None = None,
        off_threshold: PerLabel | None = None,
        min_duration_s: PerLabel | None = None,
        min_gap_s: PerLabel | None = None,
        at_time_res: float | None = None,
        window_s: float | None = None,
        hop_s: float | None = None,
        label_language: str | None = None,
        match: str | None = None,
        sampling_rate: int | None = None,
        channel: Channel = "mean",
        on_progress: Callable[[Progress], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
    ) -> Any:  # `SoundEvents`, but for channel="each"
        """Hear the sounds of one recording, without writing down what is said.

        Args:
            audio: As for `transcribe`.
            labels: The only ones that may be reported: display names, AudioSet ids, or columns.
            top_k: At each time, only so many of them: the highest. None: any number.
            threshold: An event begins at this score (0..1), for all labels or by label; None: the head's.
            off_threshold: It goes on down to this score; None: half of `threshold`.
            min_duration_s: Shorter events are dropped.
            min_gap_s: Shorter gaps within an event are bridged.
            at_time_res: Seconds per row of `frames`, a multiple of 0.4: windows side by side, each scored by
                itself (Whisper-AT's option of that name).
            window_s: How much one score hears; None: the head's own.
            hop_s: Seconds between windows, whose scores are averaged where they overlap; divides `window_s`.
            label_language: Of the display names; None: English.
            match: "whisper-at": the numbers of the published package.
            sampling_rate: Hz, for samples; 16000 if not given.
            channel: "mean", a channel's number, or "each": the result is a tuple then.
            on_progress: Called as windows are finished.
            should_cancel: Asked before each window.

        Raises:
            HeadError: the model has no tag head.
            AudioError: the recording cannot be heard.
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "audio", "match")}
        if check_match(match, "whisper-at"):
            return tag_as_whisper_at(self._instruments, audio, given)
        return _each(self.listen(audio, only=TAGS, **given), lambda heard: heard.tags)

    def tokenize(
        self,
        audio: AudioSource,
        *,
        match: str | None = None,
        sampling_rate: int | None = None,
        channel: Channel = "mean",
        on_progress: Callable[[Progress], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
    ) -> Any:  # `SpeechTokens`, but for channel="each"
        """Turn one recording into discrete speech tokens, without writing down what is said.

        Args:
            audio: As for `transcribe`.
            match: "ichigo": the codes of the published package, of the first 30 s.
            sampling_rate: Hz, for samples; 16000 if not given.
            channel: "mean", a channel's number, or "each": the result is a tuple then.
            on_progress: Called as windows are finished.
            should_cancel: Asked before each window.

        Raises:
            HeadError: the model has no quantizer.
            AudioError: the recording cannot be heard.
            OptionError: an option's value is not allowed.
            Cancelled: `should_cancel` said so.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "audio", "match")}
        if check_match(match, "ichigo"):
            return tokenize_as_ichigo(self._instruments, audio, given)
        return _each(self.listen(audio, only=TOKENS, **given), lambda heard: heard.speech_tokens)

    def detokenize(self, codes: object, **options: Any) -> Transcript:
        """Write down what speech tokens say.

        Takes the options of `transcribe` that are about decoding (language, task, temperature, thresholds,
        suppress_tokens, suppress_blank, without_timestamps, max_initial_timestamp, seed, batch_size).

        Args:
            codes: What `tokenize` gave, its text form, its JSON, or bare ids, which are cut at 30 s.
            options: By name.

        Raises:
            HeadError: the model has no quantizer.
            TokensError: the codes are out of range, another codebook's, or damaged.
            OptionError: an option's value is not allowed.
        """
        settings = settings_of(self._instruments, self._with_defaults(options), is_live=False)
        return detokenize(self._instruments, codes, settings)

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
        chunk_length_s: float | None = None,
        stride_length_s: float | Sequence[float] | None = None,
        match: str | None = None,
        batch_size: int | None = None,
        vad_filter: bool = True,
        vad_parameters: Mapping[str, object] | None = None,
        gate: bool | str = "auto",
        mel_floor: MelFloor = "window",
        channel: Channel = "mean",
        on_progress: Callable[[Progress], None] | None = None,
        should_cancel: Callable[[], bool] | None = None,
    ) -> Any:  # `Transcript`, but for channel="each": a union would trouble every other caller
        """Write down what is said in one recording.

        `audio` is a path, "-", bytes, a binary file, samples (NumPy, torch) or a data set's dictionary.

        Options (at length in docs/options.md):
            sampling_rate: Hz, for samples; 16000 if not given.
            language: Code or English name; None detects it in the first window with speech.
            task: "transcribe", or "translate" (into English).
            temperature, seed: 0 is greedy; of several, the next is tried where a text fails a threshold.
            compression_ratio_threshold, logprob_threshold: Try again where a text repeats itself more, or its
                mean log-probability is lower; None: never.
            no_speech_threshold: Leave out what silence explains better; None: never.
            suppress_tokens: Ids never written; "-1" stands for symbols that nobody speaks, "" for none.
            suppress_blank: A window's text never starts with a blank.
            without_timestamps: Decode text alone: one segment per window.
            max_initial_timestamp: The latest start of a window's first segment, in seconds; None: any.
            longform: "parallel": windows cut in pauses; "chunked": of one length, overlapping, text alone.
            chunk_length_s, stride_length_s: 1 to 30 s, None: what suits the model; overlaps, (left, right).
            match: "hf": chunks as transformers' pipeline hears and merges them.
            batch_size: Windows decoded together; changes the speed, never the text.
            vad_filter, vad_parameters: Windows without speech are not decoded; faster-whisper's, by name.
            gate: Text needs joint evidence of speech: tags, voices, decoder; "auto": with a tag head.
            mel_floor: "window", or "file" as openai-whisper (reads the source twice).
            channel: "mean", a channel's number, or "each": the result is a tuple then, one per channel.
            on_progress, should_cancel: Called as windows are finished; asked before each of them.

        Raises:
            AudioError, OptionError, Cancelled: as `listen`.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "audio")}
        return _the_one(self.transcribe_many([audio], **options))

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
        return transcripts(self.listen_many(sources, only=TEXT, **options))

    def _start(
        self,
        sources: Sequence[AudioSource],
        only: str | Sequence[str] | None,
        options: Mapping[str, Any],
        *,
        is_live: bool = False,
    ) -> tuple[Iterator[Piece], Wanted]:
        of_tags, rest = split_options(options)
        settings = settings_of(self._instruments, self._with_defaults(rest), is_live=is_live)
        changed = [name for name, value in rest.items() if _is_changed(name, value)]
        return begin(self._instruments, sources, only, settings, of_tags, changed)

    def _with_defaults(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options of `transcribe`; those that are not given have its defaults.

        Raises:
            TypeError: there is no such option.
        """
        bound = _SIGNATURE.bind(self, None, **given)
        bound.apply_defaults()
        return bound.arguments


_SIGNATURE = inspect.signature(Model.transcribe)


def _is_changed(name: str, value: object) -> bool:
    """Whether an option of `transcribe` differs from its default. Arrays, which know no answer to ==, do."""
    default = _SIGNATURE.parameters[name].default
    is_comparable = any(
        isinstance(value, kind) and isinstance(default, kind) for kind in (str, tuple, Number)
    )
    return value is not default and not (is_comparable and value == default)


def _the_one(outcomes: Iterator[tuple[int, Any]]) -> Any:
    """The only outcome, which is raised if it is an error."""
    ((_, outcome),) = outcomes
    if isinstance(outcome, TercetError):
        raise outcome
    return outcome


def _each(heard: Any, reading: Callable[[Hearing], Any]) -> Any:
    """One reading of a hearing, or of one per channel."""
    return reading(heard) if isinstance(heard, Hearing) else tuple(map(reading, heard))
