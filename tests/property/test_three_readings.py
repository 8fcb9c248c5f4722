"""A stream, a file and a batch give the same sounds and codes; what has left a stream is final."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tercet
from tercet.audio.mel import log_mel
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import Head, HeadArrays, Quantizer, TagHead
from tercet.engine.choice import choose
from tercet.engine.onnx import FLOAT32, OnnxEncoder
from tercet.head_loading import FoundHeads, open_heads

GEOMETRY = Geometry(
    n_mels=80,
    width=16,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)
TAGS = TagHead(
    layers="each",
    n_layers=2,
    width=16,
    hidden=16,
    has_projection=False,
    time_heads=1,
    layer_heads=2,
    arrays=HeadArrays({}),
    labels=("Hum", "Hiss", "Thud"),
    window_frames=4,
    hop_frames=2,
)
CODES = Quantizer(
    width=16,
    heads=2,
    mlp_width=64,
    code_width=8,
    codebook_size=65,
    mask_code=64,
    has_state_mean=True,
    arrays=HeadArrays({}),
)
BOTH = {"only": "tags,tokens", "threshold": 0.6, "off_threshold": 0.55, "min_gap_s": 0}
LAST_STRETCH_S = 34.0  # docs/options.md: what lies further back than this is final
RATE_HZ = 16000
FEW = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def filled(head: Head, seed: int) -> Head:
    """The same head with random arrays."""
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.normal(0, 0.1 if name.endswith("bias") else 1, shape).astype(np.float32)
        for name, shape in head_shapes(head).items()
    }
    return replace(head, arrays=HeadArrays(arrays))


@pytest.fixture(scope="module")
def model(random_checkpoint, byte_tokenizer) -> tercet.Model:
    """Random weights, real graphs; nobody decodes."""
    encoder = OnnxEncoder(random_checkpoint(GEOMETRY, 3), FLOAT32, threads=1, taps=True)
    codes = filled(CODES, 1)
    # Random states differ little: without their mean, they are told apart.
    states = encoder.encode(log_mel(sound_of(30, 5))).states
    middle = np.tile(states.mean(axis=0), (1500, 1))
    codes = replace(codes, arrays=HeadArrays(codes.arrays.values | {"state_mean": middle}))
    found = FoundHeads(tags=filled(TAGS, 0), codes=codes)
    heads = open_heads(found, choose(engine="onnx", compute_type="float32"), 1)
    tokenizer = byte_tokenizer(GEOMETRY.vocab_size)
    return tercet.Model("random", encoder, None, tokenizer, batch_size=4, heads=heads)


def sound_of(seconds: float, seed: int) -> np.ndarray:
    """Stretches of noise, tone and silence, so that windows end in pauses and in seams."""
    rng = np.random.default_rng(seed)
    pieces, left = [], round(seconds * RATE_HZ)
    while left > 0:
        n = min(left, int(rng.integers(RATE_HZ // 2, 9 * RATE_HZ)))
        kind = rng.integers(3)
        tone = np.sin(np.arange(n) * rng.uniform(0.02, 0.6)) * 0.2
        pieces.append([np.zeros(n), rng.normal(0, 0.1, n), tone][kind])
        left -= n
    return np.concatenate(pieces).astype(np.float32)


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    return [sound_of(seconds, seed) for seed, seconds in enumerate((75.3, 31.0, 4.05, 61.7))]


@pytest.fixture(scope="module")
def alone(model, sounds) -> list[tercet.Hearing]:
    return [model.listen(sound, **BOTH) for sound in sounds]


def check_equal(expected: tercet.Hearing, heard: tercet.Hearing) -> None:
    assert np.array_equal(expected.speech_tokens.ids, heard.speech_tokens.ids)
    assert expected.speech_tokens.window_starts == heard.speech_tokens.window_starts
    assert np.array_equal(expected.tags.frames, heard.tags.frames)
    assert expected.tags.events == heard.tags.events


def test_there_is_something_to_compare(alone) -> None:
    assert {1, 3} <= {len(heard.speech_tokens.window_starts) for heard in alone}
    assert 10 < sum(len(heard.tags) for heard in alone)
    assert 10 < len(set(np.concatenate([heard.speech_tokens.ids for heard in alone]).tolist()))


@FEW
@given(order=st.permutations(range(4)), batch_size=st.sampled_from([1, 3, 8]))
def test_a_batch_gives_what_each_file_gives_alone(model, sounds, alone, order, batch_size) -> None:
    sources = [sounds[index] for index in order]
    outcomes = model.listen_many(sources, **BOTH, batch_size=batch_size)
    for place, heard in outcomes:
        check_equal(alone[order[place]], heard)


def pushes(sound: np.ndarray, sizes: list[int]):
    """The sound in blocks of these sizes, over and over."""
    at, turn = 0, 0
    while at < sound.size:
        yield sound[at : at + sizes[turn % len(sizes)]]
        at += sizes[turn % len(sizes)]
        turn += 1


SIZES = st.lists(st.integers(1, 20 * RATE_HZ), min_size=1, max_size=4).filter(
    lambda sizes: sum(sizes) > 800
)


@FEW
@given(which=st.integers(0, 3), sizes=SIZES)
def test_a_pushed_stream_gives_what_the_file_gives(model, sounds, alone, which, sizes) -> None:
    check_equal(alone[which], model.listen(pushes(sounds[which], sizes), **BOTH))


@FEW
@given(which=st.integers(0, 3), sizes=SIZES)
def test_a_streams_parts_laid_end_to_end_are_the_whole(model, sounds, alone, which, sizes) -> None:
    expected = alone[which]
    parts = list(model.stream(pushes(sounds[which], sizes), **BOTH))
    ids = [part.speech_tokens.ids for part in parts]
    assert np.array_equal(expected.speech_tokens.ids, np.concatenate(ids))
    frames = [part.tags.frames for part in parts]
    assert np.array_equal(expected.tags.frames, np.concatenate(frames))
    at = 0
    for part in parts:
        assert round(at * 0.4, 6) == part.tags.start_s
        at += len(part.tags.frames)
    events = [event for part in parts for event in part.tags]
    in_order = sorted(events, key=lambda event: (event.start_s, event.label_id))
    assert expected.tags.events == tuple(in_order)


@FEW
@given(which=st.integers(0, 3), share=st.floats(0.02, 1.0))
def test_all_but_the_last_stretch_of_what_was_pushed_is_final(
    model, sounds, alone, which, share
) -> None:
    """A stream that is cut off anywhere has given the whole file's codes and frames up to its last 34 s."""
    sound = sounds[which]
    n = max(1, round(share * sound.size))
    heard = model.listen(sound[:n], **BOTH)
    final_s = max(0.0, n / RATE_HZ - LAST_STRETCH_S)
    codes = int(final_s * 25)
    expected = alone[which]
    assert np.array_equal(expected.speech_tokens.ids[:codes], heard.speech_tokens.ids[:codes])
    # A frame's score also needs the frames that its windows hear behind it.
    frames = max(0, int(final_s / 0.4) - TAGS.window_frames)
    assert np.array_equal(expected.tags.frames[:frames], heard.tags.frames[:frames])
