"""`match=`: the numbers of Whisper-AT's and Ichigo's published packages, from their own way of cutting sound.

Windows of exactly 30 s, whatever is said in them, with what each package puts behind the sound. The
packages' faults in bookkeeping (rows at wrong times, memory that grows) are not brought back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from tercet.audio.convention import ICHIGO, window_mel
from tercet.audio.load import Recording, load
from tercet.audio.mel import FFT_SAMPLES, log_mel_maximum
from tercet.audio.mel_stream import mel_slices
from tercet.audio.sources import AudioSource
from tercet.audio.windows import RATE_HZ
from tercet.errors import Cancelled, OptionError, SourceOptionError
from tercet.longform.ear import first_rows, frame_scores, joined_rows
from tercet.longform.instruments import Instruments
from tercet.longform.tag_options import TAG_OPTIONS, TagReading, tag_reading
from tercet.readings.codes import code_count, tokens_of
from tercet.readings.frames import Rows
from tercet.results import Progress, SoundEvents, SpeechTokens

WINDOW_SAMPLES = 30 * RATE_HZ
_MEL_FRAMES_PER_TAP = 40
_DEFAULT_RESOLUTION_S = 10.0  # Whisper-AT's at_time_res


def check_match(match: str | None, known: str) -> bool:
    """Whether the original is asked for.

    Raises:
        OptionError: another one is.
    """
    if match not in (None, known):
        raise OptionError(f"match is {match!r}; here it is {known!r}, or None")
    return match == known


def tag_as_whisper_at(
    instruments: Instruments, audio: AudioSource, given: Mapping[str, Any]
) -> Any:
    """`SoundEvents` whose `logits` are whisper_at's `audio_tag`; a tuple with channel="each".

    As the package has it: the log-mel of the whole recording, floored at its loudest value, in slices of
    30 s; silence behind the end; rows of `at_time_res` (10 s if not given) side by side, the last one of a
    recording filled with frames of zeros. Rows lie where they say. whisper_at's are misplaced wherever a
    segment does not end at a row's border, and begin anew every 30 s: its numbers are these where
    `at_time_res` divides 30 s, or within the first 30 s.

    Raises:
        HeadError, AudioError, OptionError, Cancelled: as `Model.tag`.
    """
    _check_callbacks(given)
    options = {name: given[name] for name in TAG_OPTIONS & given.keys()}
    if options["window_s"] is not None or options["hop_s"] is not None:
        raise OptionError("match 'whisper-at' has windows side by side; give at_time_res instead")
    if options["at_time_res"] is None:
        options["at_time_res"] = _DEFAULT_RESOLUTION_S
    reading = tag_reading(instruments.tags.head, **options, zero_padded=True)
    results = [
        _tag(instruments, recording, reading, channel, given)
        for channel, recording in _recordings(audio, given)
    ]
    return tuple(results) if given["channel"] == "each" else results[0]


def tokenize_as_ichigo(
    instruments: Instruments, audio: AudioSource, given: Mapping[str, Any]
) -> Any:
    """`SpeechTokens` with the ids that ichigo_asr's `quantize` gives; a tuple with channel="each".

    As the package has it: the log-mel of the whole recording, cut at 30 s or filled up with -1.5; the mask
    code may be chosen for sound. What lies behind 30 s is listened to for its loudest value alone, under
    which the log-mel is floored, and not kept.

    Raises:
        HeadError, AudioError, OptionError: as `Model.tokenize`.
    """
    _check_callbacks(given)
    results = []
    for channel, recording in _recordings(audio, given):
        _check_cancel(given)
        tokens = _quantize(instruments, _cancellable(recording.blocks(), given), channel)
        _report(given, tokens.duration_s, tokens.duration_s)
        results.append(tokens)
    return tuple(results) if given["channel"] == "each" else results[0]


def _recordings(
    audio: AudioSource, given: Mapping[str, Any]
) -> Iterator[tuple[int | None, Recording]]:
    """The recording, or each of its channels (which need a source that can be read again)."""
    rate, channel = given["sampling_rate"], given["channel"]
    if channel != "each":
        recording = load(audio, sampling_rate=rate, channel=channel)
        yield None if channel == "mean" else channel, recording
        return
    first = load(audio, sampling_rate=rate, channel=0)
    if first.channels > 1 and not first.reopenable:
        raise SourceOptionError(
            f"{first.name}: channel='each' reads it once per channel; save it to a file first"
        )
    yield 0, first
    for number in range(1, first.channels):
        yield number, load(audio, sampling_rate=rate, channel=number)


def _tag(
    instruments: Instruments,
    recording: Recording,
    reading: TagReading,
    channel: int | None,
    given: Mapping[str, Any],
) -> SoundEvents:
    if not recording.reopenable:
        raise SourceOptionError(
            f"{recording.name}: match 'whisper-at' reads it twice; save it to a file first"
        )
    n_mels = instruments.encoder.geometry.n_mels
    floor_max = log_mel_maximum(recording.blocks(), n_mels=n_mels)
    heard = _Counted(recording.blocks())
    scores = frame_scores(instruments.tags, reading.windows)
    rows: list[Rows] = []
    real_frames = 0
    for each in mel_slices(heard, n_mels=n_mels, floor_max=floor_max):
        _check_cancel(given)
        rows.append(scores.push(instruments.encoder.encode(each.mel).taps))
        real_frames += each.real_frames
        _report(given, real_frames / 100, recording.duration_s)
    rows.append(scores.finish())
    duration_s = heard.samples / RATE_HZ
    # whisper_at counts whole frames of 10 ms: what is left of one begins no row.
    n_rows = -(-real_frames // (reading.windows.row_frames * _MEL_FRAMES_PER_TAP))
    whole = first_rows(joined_rows(rows), n_rows)
    tracker = reading.tracker()
    events = [*tracker.push(whole.scores), *tracker.finish(duration_s)]
    return reading.result(whole, events, duration_s=duration_s, channel=channel)


def _check_callbacks(given: Mapping[str, Any]) -> None:
    for name in ("on_progress", "should_cancel"):
        if given[name] is not None and not callable(given[name]):
            raise OptionError(f"{name} is {given[name]!r}; give a function, or None")


def _check_cancel(given: Mapping[str, Any]) -> None:
    if given["should_cancel"] is not None and given["should_cancel"]():
        raise Cancelled("cancelled by the caller")


def _report(given: Mapping[str, Any], done_s: float, total_s: float | None) -> None:
    if given["on_progress"] is not None:
        given["on_progress"](Progress(0, done_s, None if total_s is None else max(total_s, done_s)))


class _Counted:
    """Blocks, and how many samples they held."""

    def __init__(self, blocks: Iterator[np.ndarray]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.samples += block.size
            yield block


def _cancellable(blocks: Iterator[np.ndarray], given: Mapping[str, Any]) -> Iterator[np.ndarray]:
    for block in blocks:
        _check_cancel(given)
        yield block


def _quantize(
    instruments: Instruments, blocks: Iterator[np.ndarray], channel: int | None
) -> SpeechTokens:
    codes = instruments.codes
    head = codes.head
    samples, mel = _first_window(blocks, n_mels=instruments.encoder.geometry.n_mels)
    states = instruments.encoder.encode(mel).states
    n_samples = min(samples.size, WINDOW_SAMPLES)
    ids = codes.coder.encode(states, allow_mask=True)[
        : code_count(n_samples, head.samples_per_code)
    ]
    return tokens_of(
        [(0, ids)],
        codebook_size=head.codebook_size,
        codebook=codes.codebook,
        rate_hz=head.rate_hz,
        duration_s=n_samples / RATE_HZ,
        mask_code=head.mask_code,
        depth=head.depth,
        channel=channel,
    )


def _first_window(blocks: Iterator[np.ndarray], *, n_mels: int) -> tuple[np.ndarray, np.ndarray]:
    """The beginning of a recording, and the log-mel of its first 30 s floored at all of it."""
    needed = WINDOW_SAMPLES + FFT_SAMPLES  # the last frame hears beyond 30 s
    first: list[np.ndarray] = []
    while sum(block.size for block in first) <= needed:
        block = next(blocks, None)
        if block is None:
            samples = np.concatenate(first)
            return samples, window_mel(samples, ICHIGO, n_mels=n_mels)
        first.append(block)
    samples = np.concatenate(first)
    floor_max = log_mel_maximum(chain([samples], blocks), n_mels=n_mels, edge="reflect")
    convention = replace(ICHIGO, mel_floor="file")
    mel = window_mel(samples[:needed], convention, n_mels=n_mels, floor_max=floor_max)
    return samples, mel
