"""Which of a decoder's cross-attention heads follow the sound, measured over labels that have timestamps.

Words are timed by such heads (openai-whisper's `alignment_heads`, found by hand for its models). A student's
are other ones: its layers are fewer, and trained. Nothing is trained or written here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.dataset.label_table import Label
from tercet.engine.protocol import Decoder
from tercet.errors import DataError
from tercet.loading import tokenizer_of
from tercet.text.tokenizer import Tokenizer
from tercet.train.text.encoding import Hearing
from tercet.train.text.sound import SpanReader

_STATES_PER_S = 50
_NEAR_S = 1.0  # of a token's time, which is known to the segment alone
_LEAST = 0.95  # of the best head's share
_SEGMENT = 2  # timestamps
_FEW = 40  # tokens: fewer tell nothing
_S_PER_TIMESTAMP = 0.02

Pair = tuple[int, int]


class HeadShare(NamedTuple):
    """How often a head looked where a token was said."""

    layer: int
    head: int
    share: float  # of the tokens, 0..1


def all_heads(layers: int, heads: int) -> tuple[Pair, ...]:
    """Every (layer, head) of a decoder, for a decoder that is to be measured."""
    return tuple((layer, head) for layer in range(layers) for head in range(heads))


def measure_heads(
    decoder: Decoder,
    heads: Sequence[Pair],
    tokenizer: Tokenizer,
    heard: Iterable[tuple[Label, np.ndarray]],
    *,
    task: str = "transcribe",
) -> tuple[HeadShare, ...]:
    """Force each label's text on the decoder, and see where its heads look when they say a token.

    A token's time is taken from its segment, in which the tokens lie at equal distances. A head's share are
    the tokens for which its largest weight is within a second of that; a head that looks anywhere has about
    2 s / the window's length.

    Args:
        decoder: Opened with `heads` as its alignment heads.
        heads: (layer, head) pairs.
        tokenizer: The model's.
        heard: Labels, and the states of their windows [frames, width].
        task: The labels'.

    Returns:
        Each head's share, the best first.

    Raises:
        DataError: the labels have no segments with timestamps, or hardly any.
    """
    near = np.zeros(len(heads))
    count = 0
    for label, states in heard:
        start = list(tokenizer.sot_sequence(label.language, task))
        ids = [*start, *label.text_ids][: decoder.geometry.n_text_ctx]
        times = list(_times(ids, tokenizer.timestamp_begin))
        if not times:
            continue
        session = decoder.open([decoder.project(states)], align=True)
        session.step(np.array([ids], np.int64))
        looked_s = np.asarray(session.alignment())[0].argmax(-1) / _STATES_PER_S  # [heads, tokens]
        for place, time_s in times:
            near += (
                np.abs(looked_s[:, place - 1] - time_s) < _NEAR_S
            )  # said behind the id before it
        count += len(times)
    if count < _FEW:
        raise DataError(
            f"{count} tokens lie between timestamps, which is too few to measure heads by; give labels with "
            "timestamps"
        )
    shares = [
        HeadShare(*pair, float(share)) for pair, share in zip(heads, near / count, strict=True)
    ]
    return tuple(sorted(shares, key=lambda each: -each.share))


def measure_checkpoint(
    checkpoint: Checkpoint,
    labels: Sequence[Label],
    *,
    task: str = "transcribe",
    states_of: Callable[[Label], np.ndarray] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[HeadShare, ...]:
    """All heads of a model over the recordings of some labels, in float32 on ONNX Runtime.

    Raises:
        AudioError: a recording cannot be heard.
        DataError: as `measure_heads`.
        EngineError: the engine refused the model.
    """
    from tercet.engine.onnx import PRECISIONS, OnnxDecoder

    geometry = checkpoint.geometry
    heads = all_heads(geometry.decoder_layers, geometry.decoder_heads)
    decoder = OnnxDecoder(checkpoint, PRECISIONS["float32"], threads=None, heads=heads)
    hearing, reader = Hearing(checkpoint), SpanReader()
    states = states_of or (lambda label: hearing.states(reader.window(label)))

    def heard() -> Iterator[tuple[Label, np.ndarray]]:
        for done, label in enumerate(labels, start=1):
            yield label, states(label)
            on_progress(done, len(labels))

    return measure_heads(decoder, heads, tokenizer_of(checkpoint), heard(), task=task)


def measure_folder(
    folder: Path,
    labels: Sequence[Label],
    *,
    most: int,
    task: str = "transcribe",
    states_of: Callable[[Label], np.ndarray] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[HeadShare, ...]:
    """All heads of the model in a folder, over at most so many of the labels that have timestamps.

    `states_of` gives states [frames, width] that were kept; None: recordings are heard.

    Raises:
        CheckpointError: the folder holds no model.
        DataError: no label has timestamps, or hardly any.
        AudioError, EngineError: as `measure_checkpoint`.
    """
    checkpoint = open_checkpoint(folder)
    chosen = timed_labels(labels, checkpoint, most)
    return measure_checkpoint(
        checkpoint, chosen, task=task, states_of=states_of, on_progress=on_progress
    )


def timed_labels(labels: Iterable[Label], checkpoint: Checkpoint, most: int) -> list[Label]:
    """Up to so many labels that have segments, at equal distances among all that do."""
    begin = tokenizer_of(checkpoint).timestamp_begin
    found = [each for each in labels if sum(one >= begin for one in each.text_ids) >= _SEGMENT]
    return found[:: max(1, len(found) // most)][:most]


def best_heads(shares: Sequence[HeadShare]) -> tuple[Pair, ...]:
    """Those that are nearly as good as the best one, by layer and number."""
    best = max(each.share for each in shares)
    return tuple(sorted((each.layer, each.head) for each in shares if each.share >= _LEAST * best))


def _times(ids: Sequence[int], timestamp_begin: int) -> Iterator[tuple[int, float]]:
    """Where tokens of text stand among the ids, and when they are said: seconds from the window's start."""
    opened_s: float | None = None
    places: list[int] = []
    for place, each in enumerate(ids):
        if each < timestamp_begin:
            places.append(place)
            continue
        time_s = (each - timestamp_begin) * _S_PER_TIMESTAMP
        if opened_s is not None and places:
            step = (time_s - opened_s) / len(places)
            yield from ((at, opened_s + (n + 0.5) * step) for n, at in enumerate(places))
            opened_s = None
        else:
            opened_s = time_s
        places = []
