"""On real speech: what a recording gives does not depend on the batch, its neighbours or the order.

The encoder hears one window at a time, so its answers are kept between the examples.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tercet
from tercet.audio.load import load
from tercet.audio.mel import log_mel
from tercet.engine.protocol import Encoded, Encoder, open_over

STARTS = ("librispeech-4507", "librispeech-2300", "speechocean762-0081", "kerstin-de_rhasspy-0243")


class Remembering:
    """An encoder that is asked only once about each window."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[bytes, Encoded] = {}
        self.geometry = encoder.geometry

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        key = mel.tobytes()
        if key not in self._known:
            self._known[key] = self._encoder.encode(mel, real_frames=real_frames)
        return self._known[key]


Hear = Callable[..., dict[int, tercet.Transcript]]


@pytest.fixture(scope="module")
def samples(clips_dir: Path) -> list[np.ndarray]:
    """Four clips, and one that is cut into two windows."""
    short = [load(next(clips_dir.glob(f"{start}*"))).read() for start in STARTS]
    return [*short, np.concatenate([*short[:2], *short[:2], short[0], short[1], short[0]])]


def hearing(folder: Path, samples: list[np.ndarray], compute_type: str) -> Hear:
    model = tercet.load_model(folder, compute_type=compute_type, threads=2)
    encoder = Remembering(model._instruments.encoder)

    def hear(order: list[int], *, overlap: bool = True, **options) -> dict[int, tercet.Transcript]:
        model._instruments = replace(model._instruments, encoder=encoder, overlap=overlap)
        sources = [samples[index] for index in order]
        results = dict(model.transcribe_many(sources, **options))
        return {index: results[place] for place, index in enumerate(order)}

    return hear


@pytest.fixture(scope="module")
def exactly(real_base: Path, samples) -> Hear:
    return hearing(real_base, samples, "float32")


@pytest.fixture(scope="module")
def alone(exactly, samples) -> dict[int, tercet.Transcript]:
    """Each recording heard by itself, window by window, in float32."""
    return {i: exactly([i], temperature=0.0, batch_size=1)[i] for i in range(len(samples))}


ORDERS = st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True)
BATCHES = st.sampled_from([1, 2, 3, 8])
FEW = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def text_and_tokens(heard: tercet.Transcript) -> tuple:
    tokens = [(s.start, s.end, s.tokens) for s in heard.segments]
    return heard.text, heard.language, tokens, [(w.temperature, w.reason) for w in heard.windows]


def test_the_long_one_has_several_windows(alone) -> None:
    assert [1, 1, 1, 1, 2] == [len(heard.windows) for heard in alone.values()]
    assert ["en", "en", "en", "de", "en"] == [heard.language for heard in alone.values()]


@FEW
@given(order=ORDERS, batch_size=BATCHES)
def test_in_float32_nothing_but_the_recording_counts(exactly, alone, order, batch_size) -> None:
    for index, heard in exactly(order, temperature=0.0, batch_size=batch_size).items():
        assert text_and_tokens(alone[index]) == text_and_tokens(heard)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_whether_encoder_and_decoder_overlap_does_not_count(exactly, alone, batch_size) -> None:
    options = {"temperature": 0.0, "batch_size": batch_size, "overlap": False}
    for index, heard in exactly(list(alone), **options).items():
        assert text_and_tokens(alone[index]) == text_and_tokens(heard)


@FEW
@given(order=ORDERS, batch_size=BATCHES)
def test_chances_belong_to_the_recording_too(exactly, chances, order, batch_size) -> None:
    for index, heard in exactly(order, temperature=0.7, seed=3, batch_size=batch_size).items():
        assert text_and_tokens(chances[index]) == text_and_tokens(heard)


@pytest.fixture(scope="module")
def chances(exactly, samples) -> dict[int, tercet.Transcript]:
    """Each recording by itself at temperature 0.7."""
    return {i: exactly([i], temperature=0.7, seed=3, batch_size=1)[i] for i in range(len(samples))}


def test_another_seed_gives_another_text_somewhere(exactly, chances) -> None:
    other = exactly(list(chances), temperature=0.7, seed=4)
    assert [heard.text for heard in chances.values()] != [heard.text for heard in other.values()]


def logits_along(model: tercet.Model, states: np.ndarray, tokens: list[int]) -> np.ndarray:
    """What the decoder says of one row, after the start sequence and after each token; [n, vocab]."""
    session = open_over(model._instruments.decoder, states)
    start = model.tokenizer.sot_sequence("en", "transcribe")
    said = [np.array(session.step(np.array([start] * len(states), np.int64))[0, 0])]
    for token in tokens:
        said.append(np.array(session.step(np.full((len(states), 1), token, np.int64))[0, 0]))
    return np.stack(said)


def likelihoods(logits: np.ndarray, token: int, begin: int) -> float:
    """A token's logit; timestamps win as a group, so that all of them stand for each."""
    return float(np.logaddexp.reduce(logits[begin:]) if token >= begin else logits[token])


def test_in_int8_exceptions_are_counted_and_near_ties(base_model, samples, capsys) -> None:
    """Alike wherever the two likeliest tokens differ by more than the shapes of kernels do."""
    model = tercet.load_model(base_model, threads=2)
    encoder = Remembering(model._instruments.encoder)
    model._instruments = replace(model._instruments, encoder=encoder)
    options = {"language": "en", "temperature": 0.0}
    clips = samples[:3]
    begin, n_windows, margins, noise = model.tokenizer.timestamp_begin, 0, [], 0.0
    for index, clip in enumerate(clips):
        (alone,) = model.transcribe(clip, batch_size=1, **options).segments
        states = np.asarray(encoder.encode(log_mel(clip)).states)
        one = logits_along(model, states[None], list(alone.tokens))
        eight = logits_along(model, np.repeat(states[None], 8, 0), list(alone.tokens))
        noise = max(noise, float(np.abs(one - eight).max()))
        for order in ([0, 1, 2], [2, 1, 0, 1, 2]):
            heard = dict(model.transcribe_many([clips[i] for i in order], **options))
            tokens = [t for s in heard[order.index(index)].segments for t in s.tokens]
            n_windows += 1
            if tokens != list(alone.tokens):
                pairs = enumerate(zip_longest(alone.tokens, tokens, fillvalue=model.tokenizer.eot))
                place, (ours, theirs) = next((i, p) for i, p in pairs if p[0] != p[1])
                at = one[place]
                margins.append(
                    abs(likelihoods(at, ours, begin) - likelihoods(at, theirs, begin))
                    if (ours >= begin) != (theirs >= begin)
                    else abs(float(at[ours] - at[theirs]))
                )
    with capsys.disabled():
        message = f"int8: {len(margins)} of {n_windows} windows differ with the batch"
        sys.stdout.write(f"\n{message}; logits differ by up to {noise:.2g}\n")
    assert all(margin <= 2 * noise for margin in margins), margins
