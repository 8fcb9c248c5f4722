"""From speech tokens back to text: each window's codes become states, which the decoder reads."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from tercet.audio.vad import VadOptions
from tercet.decoding.fallback import Outcome, decode_with_fallback
from tercet.engine.protocol import Projections
from tercet.errors import Cancelled, OptionError
from tercet.longform.instruments import Instruments
from tercet.longform.settings import ListenSettings
from tercet.readings.codes import Codebook, timed_groups
from tercet.readings.transcript import assemble, segments_of_window
from tercet.results import Progress, Segment, Transcript, WindowReport

_UNDETERMINED = "und"  # ISO 639-2: no codes, so nothing to hear a language in


def detokenize(instruments: Instruments, codes: object, settings: ListenSettings) -> Transcript:
    """The text of speech tokens, window by window (see `Model.detokenize`).

    Raises:
        HeadError: the model has no quantizer.
        TokensError: the codes cannot be used.
        OptionError: an option is about sound, of which there is none.
        Cancelled: `should_cancel` said so.
    """
    _check_settings(settings)
    head = instruments.codes.head
    groups = timed_groups(codes, head=Codebook.of(head, instruments.codes.codebook))
    segments: list[Segment] = []
    windows: list[WindowReport] = []
    language, probability = settings.decode.language, None
    end_s = 0.0
    waiting = iter(groups)
    while batch := list(islice(waiting, settings.batch_size)):
        if settings.should_cancel is not None and settings.should_cancel():
            raise Cancelled("cancelled by the caller")
        outcomes = _decode(instruments, [ids for _, ids in batch], settings, language, len(windows))
        for (start_s, ids), outcome in zip(batch, outcomes, strict=True):
            if language is None:
                language = outcome.decoded.language
                probability = outcome.decoded.language_probability
            end_s = start_s + len(ids) / head.rate_hz
            if not outcome.is_dropped:
                segments += _segments(instruments, outcome, start_s, end_s, len(segments))
            windows.append(_report(outcome, start_s, end_s))
        if settings.on_progress is not None:
            settings.on_progress(Progress(0, end_s, None))
    return assemble(
        segments,
        language=language or _UNDETERMINED,
        language_probability=probability,
        duration_s=end_s,
        task=settings.decode.task,
        channel=None,
        windows=windows,
    )


def _check_settings(settings: ListenSettings) -> None:
    """Options that choose what of the sound is heard would have no effect on codes."""
    asked = {
        "sampling_rate": settings.sampling_rate is not None,
        "channel": settings.channel != "mean",
        "mel_floor": settings.mel_floor != "window",
        "vad_filter": settings.vad is None,
        "vad_parameters": settings.vad not in (None, VadOptions()),
        "longform": settings.chunks is not None,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise OptionError(f"{name} is about sound, and codes are given here; leave it out")


def _decode(
    instruments: Instruments,
    groups: Sequence[np.ndarray],
    settings: ListenSettings,
    language: str | None,
    n_before: int,
) -> Sequence[Outcome]:
    coder = instruments.codes.coder
    states = [coder.decode(ids) for ids in groups]
    return decode_with_fallback(
        instruments.decoder,
        Projections(instruments.decoder, states),
        instruments.tokenizer,
        settings.decode,
        settings.policy,
        languages=[language] * len(groups),
        leaders=[0] * len(groups),  # one recording has one language: the first window's
        row_keys=range(
            n_before, n_before + len(groups)
        ),  # the recording's windows, not the batch's
        seed=settings.seed,
    )


def _segments(
    instruments: Instruments, outcome: Outcome, start_s: float, end_s: float, first_id: int
) -> Iterator[Segment]:
    yield from segments_of_window(
        outcome.decoded,
        window_start_s=start_s,
        window_duration_s=end_s - start_s,
        speech_end_s=end_s,
        tokenizer=instruments.tokenizer,
        seek=round(start_s * 100),
        first_id=first_id,
    )


def _report(outcome: Outcome, start_s: float, end_s: float) -> WindowReport:
    return WindowReport(
        start_s=start_s,
        end_s=end_s,
        has_speech=True,
        cut="codes",
        temperature=outcome.decoded.temperature,
        reason=outcome.reason,
    )
