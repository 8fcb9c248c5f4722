"""From a window's tokens to segments with times, and from segments to a transcript. Nothing is decoded here."""

from collections.abc import Sequence

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
) -> list[Segment]:
    """Cut a window's tokens into segments at pairs of timestamps, as openai-whisper does.

    Times are the recording's. Windows are never sought again, so text after the last pair is kept: it ends where speech
    does (`speech_end_s`), or the window. A segment starts at its own first timestamp. Empty texts are dropped.
    Ids start at 0; the caller numbers them.
    """
    begin = tokenizer.timestamp_begin
    window_end_s = window_start_s + window_duration_s
    open_end_s = min(window_end_s, max(speech_end_s, window_start_s))
    segments: list[Segment] = []
    floor_s = window_start_s
    for tokens in _slices(decoded.tokens, begin):
        text = tokenizer.decode(tokens)
        if not text.strip():
            continue
        stamps = [token for token in tokens if token >= begin]
        is_opened = tokens[0] >= begin
        is_closed = len(tokens) > 1 and tokens[-1] >= begin
        start_s = window_start_s + _seconds(stamps[0], begin) if is_opened else floor_s
        end_s = window_start_s + _seconds(stamps[-1], begin) if is_closed else open_end_s
        start_s = min(max(start_s, floor_s), window_end_s)
        end_s = min(max(end_s, start_s), window_end_s)
        floor_s = end_s
        segments.append(
            Segment(
                id=len(segments),
                seek=seek,
                start=round(start_s, 2),
                end=round(end_s, 2),
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
    )


def _slices(tokens: Sequence[int], begin: int) -> list[Sequence[int]]:
    """Runs of tokens between pairs of timestamps; each run keeps the timestamps on its sides."""
    cuts = [
        at for at in range(1, len(tokens)) if tokens[at - 1] >= begin and tokens[at] >= begin
    ]
    edges = [0, *cuts, len(tokens)]
    return [tokens[a:b] for a, b in zip(edges, edges[1:], strict=False) if a < b]


def _seconds(token: int, begin: int) -> float:
    return (token - begin) * TIMESTAMP_STEP_S
