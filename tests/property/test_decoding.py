"""What a row gives never depends on the batch: not on its size, its order, or who else is in it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.decoding.fallback import FallbackPolicy, decode_with_fallback
from tercet.decoding.options import DecodeOptions
from tercet.engine.onnx import FLOAT32, OnnxDecoder
from tercet.engine.protocol import project_all
from tercet.model import load_torch

GEOMETRY = Geometry(
    n_mels=80,
    width=16,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
    n_audio_ctx=30,
    n_text_ctx=32,
)
VOICES = np.random.default_rng(1).normal(size=(6, 30, 16)).astype(np.float32)
LANGUAGES = ("en", "de", "fr", "haw", "zh", "en")
OPTIONS = DecodeOptions(without_timestamps=True, suppress_blank=False)
SURENESS = 4
# With these thresholds some rows pass at once and some never.
POLICY = FallbackPolicy(
    temperatures=(0.0, 0.6, 1.0), compression_ratio_threshold=None, logprob_threshold=-1.05
)


@pytest.fixture(scope="module")
def tiny_decoders(random_checkpoint):
    """(engine's name, decoder, states) of a tiny random model."""
    checkpoint = random_checkpoint(GEOMETRY, seed=3)
    # Surer of itself and of the end than random weights are, so that texts differ in length.
    checkpoint.arrays["model.decoder.layer_norm.weight"] *= SURENESS
    checkpoint.arrays["model.decoder.embed_tokens.weight"][50257] *= 6
    found = [("onnx", OnnxDecoder(checkpoint, FLOAT32, threads=1), VOICES)]
    try:
        import torch
    except ModuleNotFoundError:
        return found
    _, decoder = load_torch(checkpoint, threads=1)
    return [*found, ("torch", decoder, torch.from_numpy(VOICES))]


@pytest.fixture(scope="module")
def hear(byte_tokenizer):
    """`hear(decoder, states, rows, seed)`: outcomes of these rows as one batch."""

    def run(decoder, states, rows, seed):
        return decode_with_fallback(
            decoder,
            project_all(decoder, states[rows]),
            byte_tokenizer(51865),
            OPTIONS,
            POLICY,
            languages=[LANGUAGES[row] for row in rows],
            prompts=[list(range(300, 300 + row)) for row in rows],
            row_keys=rows,
            seed=seed,
        )

    return run


@pytest.fixture(scope="module")
def alone(tiny_decoders, hear):
    """Each row by itself, by engine and seed."""
    return {
        (name, seed): [hear(decoder, states, [row], seed)[0] for row in range(len(VOICES))]
        for name, decoder, states in tiny_decoders
        for seed in (0, 1)
    }


def test_the_rows_below_differ_in_length_and_in_attempts(alone):
    outcomes = alone["onnx", 0]
    assert {1, 3} <= {outcome.attempts for outcome in outcomes}, outcomes
    assert len({len(outcome.decoded.tokens) for outcome in outcomes}) > 2
    tokens = {seed: [o.decoded.tokens for o in alone["onnx", seed]] for seed in (0, 1)}
    assert tokens[0] != tokens[1]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=6), seed=st.integers(0, 1))
def test_a_row_gives_the_same_in_any_batch(tiny_decoders, hear, alone, rows, seed):
    for name, decoder, states in tiny_decoders:
        found = hear(decoder, states, rows, seed)
        for row, outcome in zip(rows, found, strict=True):
            wanted = alone[name, seed][row]
            assert wanted.decoded.tokens == outcome.decoded.tokens
            assert (wanted.attempts, wanted.reason, wanted.is_dropped) == (
                outcome.attempts,
                outcome.reason,
                outcome.is_dropped,
            )
            np.testing.assert_allclose(
                wanted.decoded.avg_logprob, outcome.decoded.avg_logprob, atol=1e-5
            )
