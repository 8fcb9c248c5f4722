"""From a caller's options to a loop that runs: everything is checked before any audio is opened."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tercet.audio.convention import SHARED, TRUE_LENGTH, InputConvention
from tercet.audio.sources import AudioSource
from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.decoding.rules import suppressed_tokens
from tercet.decoding.speculate import foreign_encoder
from tercet.engine.heads import Heads, OpenCodes
from tercet.errors import OptionError
from tercet.longform.chunked import as_hf, check_readings, chunk_plan
from tercet.longform.ear import Ear, SpeechEar
from tercet.longform.gate import SPEECH_LABEL, Gate
from tercet.longform.gathering import Wanted
from tercet.longform.hf_chunked import HfListener
from tercet.longform.instruments import Instruments
from tercet.longform.originals import check_match
from tercet.longform.parallel import ParallelListener, Piece
from tercet.longform.passes import TAGS, TEXT, TOKENS, EncoderPass, plan, readings_of
from tercet.longform.settings import (
    ListenSettings,
    check_longform,
    check_switch,
    temperatures_of,
    vad_of,
)
from tercet.longform.tag_options import TAG_OPTIONS, TagReading, tag_reading
from tercet.text.labels import labels_of

# Options of `Model.transcribe` that change nothing where no text is read.
TEXT_OPTIONS = (
    "language",
    "task",
    "temperature",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "suppress_tokens",
    "suppress_blank",
    "without_timestamps",
    "max_initial_timestamp",
    "seed",
    "mel_floor",
)


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of tags, and all others."""
    of_tags = {name: value for name, value in options.items() if name in TAG_OPTIONS}
    return of_tags, {name: value for name, value in options.items() if name not in TAG_OPTIONS}


def begin(
    instruments: Instruments,
    sources: Sequence[AudioSource],
    only: str | Sequence[str] | None,
    settings: ListenSettings,
    of_tags: Mapping[str, Any],
    changed: Collection[str] = (),
) -> tuple[Iterator[Piece], Wanted]:
    """The loop over some sources, and what is to be made of its pieces.

    `changed` names the options of `Model.transcribe` that differ from their defaults.

    Raises:
        HeadError: the instruments lack a reading that was asked for.
        OptionError: a value is not allowed, or belongs to a reading that is not wanted.
    """
    readings = readings_of(only, instruments.readings)
    if settings.chunks is not None:
        readings = check_readings(only, readings)
    conventions: dict[str, InputConvention] = {}
    tags: TagReading | None = None
    codes: OpenCodes | None = None
    if TEXT in readings:
        own = TRUE_LENGTH if instruments.true_length else SHARED
        conventions[TEXT] = replace(own, mel_floor=settings.mel_floor)
    elif of_text := [name for name in TEXT_OPTIONS if name in changed]:
        raise OptionError(f"{of_text[0]} is about text, which is not wanted here; leave it out")
    if TAGS in readings:
        head = instruments.tags.head
        conventions[TAGS] = head.convention
        tags = tag_reading(head, **of_tags)
    elif asked := [name for name, value in of_tags.items() if value is not None]:
        raise OptionError(f"{asked[0]} is about tags, which are not wanted here; leave it out")
    if TOKENS in readings:
        codes = instruments.codes
        conventions[TOKENS] = codes.head.convention
    passes = plan(conventions)
    wanted = Wanted(
        has_text=TEXT in readings,
        tags=tags,
        codes=codes,
        encoder_passes=tuple(each.readings for each in passes),
    )
    if settings.match is not None:
        return HfListener(instruments, as_hf(settings, changed)).listen(sources), wanted
    return _parallel(instruments, settings, passes, wanted).listen(sources), wanted


def _parallel(
    instruments: Instruments,
    settings: ListenSettings,
    passes: tuple[EncoderPass, ...],
    wanted: Wanted,
) -> ParallelListener:
    """The loop over windows, with a gate where text is wanted and something can hear speech."""
    is_gateable = wanted.has_text and settings.gate is not False
    ear = Ear(
        encoder=instruments.encoder,
        passes=passes,
        heads=Heads(tags=instruments.heads.tags if wanted.tags else None, codes=wanted.codes),
        tag_windows=wanted.tags.windows if wanted.tags else None,
        speech=speech_ear(instruments, passes) if is_gateable else None,
        draft=foreign_encoder(instruments.decoder),
    )
    is_gated = settings.gate is True or ear.speech is not None
    return ParallelListener(
        ear,
        instruments.decoder,
        instruments.tokenizer,
        settings,
        gate=Gate() if is_gated else None,
    )


def speech_ear(instruments: Instruments, passes: Sequence[EncoderPass]) -> SpeechEar | None:
    """What the gate hears speech with.

    None where no head knows the label Speech, and where it would need a pass for the gate alone.
    """
    tags = instruments.heads.tags
    labels = () if tags is None else labels_of(tags.head.labels)
    if tags is None or SPEECH_LABEL not in labels:
        return None
    if all(each.convention != tags.head.convention for each in passes):
        return None
    return SpeechEar(tags, tag_reading(tags.head).windows, labels.index(SPEECH_LABEL))


def settings_of(instruments: Instruments, o: Mapping[str, Any], *, is_live: bool) -> ListenSettings:
    """The options of `Model.transcribe`, all of them, checked.

    Raises:
        OptionError: a value is not allowed.
    """
    check_longform(o["longform"])
    chunks = chunk_plan(
        o["longform"], o["chunk_length_s"], o["stride_length_s"], model=instruments.name
    )
    if check_match(o["match"], "hf") and chunks is None:
        raise OptionError("match 'hf' is about chunks; add longform 'chunked', or leave it out")
    check_switch("suppress_blank", o["suppress_blank"])
    check_switch("without_timestamps", o["without_timestamps"])
    decode = DecodeOptions(
        task=o["task"],
        language=_language_code(instruments, o["language"], o["task"]),
        suppress_tokens=o["suppress_tokens"],
        suppress_blank=o["suppress_blank"],
        without_timestamps=o["without_timestamps"],
        max_initial_timestamp=o["max_initial_timestamp"],
    )
    suppressed_tokens(decode, instruments.tokenizer)  # refuses ids that the vocabulary lacks
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
        batch_size=instruments.batch_size if o["batch_size"] is None else o["batch_size"],
        vad=vad_of(o["vad_filter"], o["vad_parameters"]),
        gate=o["gate"],
        mel_floor=o["mel_floor"],
        channel=o["channel"],
        sampling_rate=o["sampling_rate"],
        overlap=instruments.overlap,
        chunks=chunks,
        match=o["match"],
        is_live=is_live,
        on_progress=o["on_progress"],
        should_cancel=o["should_cancel"],
    )


def _language_code(instruments: Instruments, language: str | None, task: str) -> str | None:
    geometry = instruments.encoder.geometry
    if not geometry.is_multilingual and task == "translate":
        raise OptionError(
            f"task 'translate' needs a model of many languages; {instruments.name} knows English"
        )
    if language is not None:
        return instruments.tokenizer.language_code(language)
    return None if geometry.is_multilingual else "en"
