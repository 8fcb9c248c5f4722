"""From a window's tokens to segments with times, and from segments to a transcript.

Nothing is decoded here.
"""

from collections.abc import Sequence
from itertools import pairwise

from tercet.decoding.loop import Decoded
from tercet.results import Segment, Transcript, WindowReport
from tercet.text.tokenizer import TIMESTAMP_STEP_S, Tokenizer


def segments_of_window(
    decoded: Decoded,
    *,
    window_start_s: float,
    window_duration_s: float,
    speech_end_s: float,
    tokenizer: Tokenizer,
    seek: int,
    first_id: int = 0,
) -> list[Segment]:
    """Cut a window's tokens into segments at pairs of timestamps, as openai-whisper does.

    Times are the recording's, inside the window, and never go back. Segments of empty text are left
    out.

    Differs from openai/whisper: a window is never heard again from its last timestamp on, so text
    behind the last pair is kept; it ends with the speech, or with the window. And a segment starts
    at its own first timestamp, where openai's starts at the window if there is no pair.

    Args:
        decoded: What the decoder wrote.
        window_start_s: Where the window starts in the recording.
        window_duration_s: Its length.
        speech_end_s: Where its last speech ends in the recording.
        tokenizer: Of the model that wrote it.
        seek: The window's start in frames of 10 ms.
        first_id: The first segment's id.
    """
    begin = tokenizer.timestamp_begin
    window_end_s = window_start_s + window_duration_s
    segments: list[Segment] = []
    floor_s = window_start_s
    for tokens in _slices(decoded.tokens, begin):
        text = tokenizer.decode(tokens)
        if not text.strip():
            continue
        start_s = floor_s
        if tokens[0] >= begin:
            start_s = min(max(_time(tokens[0], begin, window_start_s), floor_s), window_end_s)
        if tokens[-1] >= begin:
            end_s = _time(tokens[-1], begin, window_start_s)
        else:
            end_s = speech_end_s if speech_end_s > start_s else window_end_s
        end_s = min(max(end_s, start_s), window_end_s)
        floor_s = end_s
        segments.append(
            Segment(
                id=first_id + len(segments),
                seek=seek,
                start=start_s,
                end=end_s,
                text=text,
                tokens=tuple(tokens),
                temperature=decoded.temperature,
                avg_logprob=decoded.avg_logprob,
                compression_ratio=decoded.compression_ratio,
                no_speech_prob=decoded.no_speech_prob,
            )
        )
    return segments


def assemble(
    segments: Sequence[Segment],
    *,
    language: str,
    language_probability: float | None,
    duration_s: float,
    task: str,
    channel: int | None,
    windows: Sequence[WindowReport],
    dropped: Sequence[Segment] = (),
) -> Transcript:
    """A transcript of segments that are in order; its text is theirs, one after the other."""
    return Transcript(
        text="".join(segment.text for segment in segments),
        segments=tuple(segments),
        language=language,
        language_probability=language_probability,
        duration_s=duration_s,
        task=task,
        channel=channel,
        windows=tuple(windows),
        dropped=tuple(dropped),
    )


def _slices(tokens: Sequence[int], begin: int) -> list[Sequence[int]]:
    """Runs of tokens between pairs of timestamps; each keeps the timestamps on its sides."""
    stamps = [token >= begin for token in tokens]
    cuts = [at for at in range(1, len(tokens)) if stamps[at - 1] and stamps[at]]
    edges = [0, *cuts, len(tokens)]
    return [tokens[a:b] for a, b in pairwise(edges) if a < b]


def _time(token: int, begin: int, window_start_s: float) -> float:
    """Where a timestamp token lies in the recording, to the millisecond (0.02 s is no binary fraction)."""
    return round(window_start_s + (token - begin) * TIMESTAMP_STEP_S, 3)
