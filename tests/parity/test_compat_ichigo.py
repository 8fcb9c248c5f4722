"""`tercet.compat.ichigo` over the fixtures' toy: codes, states and text are ichigo_asr's."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tercet.compat.ichigo import IchigoASR, load_model

FIXTURES = Path(__file__).parent / "fixtures"
WHISPER = FIXTURES / "ichigo_parity_whisper_tiny.pt"
QUANTIZER = FIXTURES / "ichigo_parity_merged_tiny.pth"
pytestmark = pytest.mark.filterwarnings("ignore::tercet.LicenceWarning")  # of Ichigo's layout
OPTIONS = {"compute_type": "float32", "engine": "onnx", "threads": 1}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURES / "ichigo_parity_arrays.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def asr(base_model):
    """ichigo's class; `base_model` brings the tokenizer that the toy's `.pt` lacks."""
    config = {"whisper": WHISPER, "quantizer": QUANTIZER, "language": "en"}
    return IchigoASR(config, **OPTIONS)


@pytest.fixture(scope="module")
def quantizer(base_model):
    """ichigo_asr's model."""
    opened = load_model(str(QUANTIZER), whisper=WHISPER, **OPTIONS)
    opened.ensure_whisper("cpu", language="en")
    return opened


def test_quantize_gives_the_originals_codes(quantizer, arrays):
    codes = np.asarray(quantizer.quantize(arrays["audio"][None]))
    assert np.int64 == codes.dtype
    np.testing.assert_array_equal(arrays["codes_audio"], codes)


def test_dequantize_gives_the_originals_states(quantizer, arrays):
    for which in ("audio", "odd"):
        states = np.asarray(quantizer.dequantize(arrays[f"codes_{which}"]))
        assert (1, 1500, 32) == states.shape
        np.testing.assert_allclose(arrays[f"dequant_{which}"], states, atol=1e-4, rtol=0)


def test_inference_writes_the_originals_greedy_tokens(quantizer, arrays):
    (result,) = quantizer.inference(arrays["audio"][None])
    # The original stopped after so many; ours goes on.
    assert tuple(arrays["greedy_tokens"]) == result.tokens[: len(arrays["greedy_tokens"])]


def test_get_stoks_of_a_file_gives_the_originals_codes(asr, arrays, tmp_path):
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.round(arrays["audio"] * 32768).astype("<i2").tobytes())
    codes = np.asarray(asr.get_stoks(path))
    assert arrays["codes_audio"].shape == codes.shape
    # 16 bits round the samples, so a code in a hundred may be another one.
    assert int((arrays["codes_audio"] != codes).sum()) <= 1


def test_text_by_way_of_codes_is_that_of_inference(asr, quantizer, arrays):
    codes = asr.get_stoks(arrays["audio"])
    np.testing.assert_array_equal(arrays["codes_audio"], np.asarray(codes))
    (result,) = quantizer.inference(arrays["audio"][None])
    assert result.text == asr.decode_stoks(codes) == asr.transcribe_tensor(arrays["audio"][None])
    assert result.text
