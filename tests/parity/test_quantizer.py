"""Quantizers against the original systems' numbers (see fixtures/README.md), through every engine.

Codes are equal, features within 1e-4, the decoder's logits within 1e-3.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.convention import ICHIGO, window_mel
from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.ichigo import open_ichigo
from tercet.convert.codebook import grown
from tercet.convert.quantizer import decode_graph, encode_graph
from tercet.decoding.loop import decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.graph_coder import GraphCoder
from tercet.engine.onnx import FLOAT32, OnnxDecoder, OnnxEncoder, OnnxGraph

FIXTURES = Path(__file__).parent / "fixtures"
ENGINES = ("onnx", "openvino", "torch")
MASK = 2048


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURES / "ichigo_parity_arrays.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def head():
    return open_ichigo(FIXTURES / "ichigo_parity_merged_tiny.pth")


@pytest.fixture(scope="module")
def whisper():
    return open_checkpoint(FIXTURES / "ichigo_parity_whisper_tiny.pt")


def opened(build, engine, usual):
    """A graph on an engine."""
    if engine == "onnx":
        return OnnxGraph(build(), threads=1)
    pytest.importorskip("openvino")
    from tercet.engine.openvino import OpenVinoGraph

    return OpenVinoGraph(build, threads=1, arithmetic="f32", usual=usual)


@pytest.fixture(scope="module")
def coders(head):
    """`coders("onnx")`: a coder of the fixtures' quantizer."""
    made = {}

    def make(engine):
        if engine == "torch":
            pytest.importorskip("torch")
            from tercet.model.coder import TorchCoder

            return TorchCoder(head)
        encode = opened(
            partial(encode_graph, head),
            engine,
            {"states": (1, 1500, head.width), "code_bias": (head.codebook_size,)},
        )
        usual = {"codes": (750, 1)}
        return GraphCoder(encode, lambda: opened(partial(decode_graph, head), engine, usual), head)

    def of(engine):
        if engine not in made:
            made[engine] = make(engine)
        return made[engine]

    return of


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("states", "codes"), [("embs", "codes_audio"), ("rich_embs", "codes_rich")]
)
@pytest.mark.parametrize("allow_mask", [False, True])
def test_codes_are_the_originals(coders, arrays, engine, states, codes, allow_mask):
    found = coders(engine).encode(arrays[states][0], allow_mask=allow_mask)
    wanted = arrays[codes][0]  # the first 81 of 750 where the sound is short
    assert np.int32 == found.dtype
    np.testing.assert_array_equal(wanted, found[: len(wanted)])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("which", ["audio", "rich", "odd"])
def test_states_from_codes_are_the_originals(coders, arrays, engine, which):
    found = np.asarray(coders(engine).decode(arrays[f"codes_{which}"][0]))
    np.testing.assert_allclose(arrays[f"dequant_{which}"][0], found, atol=1e-4, rtol=0)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_what_is_quantized_is_the_originals(head, arrays, engine):
    usual = {"states": (1, 1500, head.width), "code_bias": (head.codebook_size,)}
    graph = opened(partial(encode_graph, head, features=True), engine, usual)
    inputs = {"states": arrays["embs"], "code_bias": np.zeros(head.codebook_size, np.float32)}
    found = graph.run(inputs)["features"]
    np.testing.assert_allclose(arrays["pre_vq"], found, atol=1e-4, rtol=0)


def test_torch_features_are_the_originals(coders, arrays):
    features = coders("torch").module.features
    import torch

    with torch.no_grad():
        found = features(torch.from_numpy(arrays["embs"])).numpy()
    np.testing.assert_allclose(arrays["pre_vq"], found, atol=1e-4, rtol=0)


def test_the_sound_itself_gives_the_originals_codes(head, whisper, coders, arrays):
    mel = window_mel(arrays["audio"], ICHIGO, n_mels=80)
    assert head.convention == ICHIGO
    encoder = OnnxEncoder(whisper, FLOAT32, threads=1, taps=False)
    states = encoder.encode(mel).states
    np.testing.assert_allclose(arrays["embs"][0], states, atol=1e-3, rtol=0)
    count = arrays["audio"].size // head.samples_per_code
    assert 81 == count
    found = coders("onnx").encode(states, allow_mask=True)[:count]
    np.testing.assert_array_equal(arrays["codes_audio"][0], found)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_decoder_hears_what_the_original_decoder_heard(coders, whisper, arrays, engine):
    states = np.asarray(coders(engine).decode(arrays["codes_audio"][0]))
    decoder = OnnxDecoder(whisper, FLOAT32, threads=1)
    prompt = arrays["prompt_tokens"]
    session = decoder.open([decoder.project(states)])
    logits = session.step(prompt, keep=np.arange(prompt.shape[1])[None])
    np.testing.assert_allclose(arrays["decoder_logits_audio"], logits, atol=1e-3, rtol=0)


def test_the_greedy_tokens_are_the_originals(coders, whisper, arrays, published_tokenizer):
    states = coders("onnx").decode(arrays["codes_audio"][0])
    decoder = OnnxDecoder(whisper, FLOAT32, threads=1)
    options = DecodeOptions(max_tokens=12)
    [decoded] = decode(
        decoder,
        [decoder.project(states)],
        published_tokenizer(51865),
        options,
        languages=["en"],
    )
    assert tuple(arrays["greedy_tokens"]) == decoded.tokens


def test_growing_under_match_places_rows_as_the_original_did(arrays, head):
    """The original's noise is torch's, of a seed that nobody wrote down: its rows are compared by source."""
    from dataclasses import replace

    from tercet.checkpoint.heads import HeadArrays

    source, wanted = arrays["expand_src_embed"], arrays["expand_out_embed"]
    values = dict(head.arrays.values) | {"levels.0.codebook": source}
    small = replace(head, codebook_size=513, mask_code=512, arrays=HeadArrays(values))

    def rows(noise):
        large = grown(small, 2049, noise=noise, seed=3, match="ichigo")
        assert MASK == large.mask_code
        return large.arrays.read("levels.0.codebook")

    placed, noisy = rows(0.0), rows(0.01)
    for row, origin in ((0, 0), (512, 512), (513, 0), (2048, 509)):
        np.testing.assert_array_equal(source[origin], placed[row])
    np.testing.assert_array_equal(wanted[:513], noisy[:513])
    theirs, ours = wanted - placed, noisy - placed
    assert float(np.abs(theirs).max()) < 0.06 > float(np.abs(ours).max())
    for noise in (theirs[513:], ours[513:]):
        assert 0.01 == pytest.approx(float(noise.std()), rel=0.03)
        assert 0.0 == pytest.approx(float(noise.mean()), abs=3e-4)
