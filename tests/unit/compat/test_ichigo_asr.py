"""ichigo_asr's model over one that computes nothing."""

import numpy as np
import pytest

import tercet.compat.ichigo_asr as ichigo_asr
from tercet.compat.ichigo import load_model
from tercet.errors import ChannelError, HeadError, LanguageError, OptionError, TokensError

SIZE = "merge-medium-vi-2d-2560c-dim64"


@pytest.fixture
def opened(fake, monkeypatch):
    """`opened(**arguments)`: `load_model` over a fake, and what `tercet.load_model` was asked for."""

    def make(**arguments):
        asked = []

        def open_model(whisper, **options):
            asked.append((whisper, options))
            return fake().model

        monkeypatch.setattr(ichigo_asr, "open_model", open_model)
        return load_model(**({"ref": "q.pth", "whisper": "base"} | arguments)), asked

    return make


@pytest.mark.parametrize(
    ("arguments", "quantizer"),
    [
        ({"ref": "owner/name:file.pth"}, "owner/name:file.pth"),
        ({"ref": None, "repo_id": "owner/name", "filename": "file.pth"}, "owner/name:file.pth"),
    ],
)
def test_the_whisper_is_opened_when_it_is_needed(opened, arguments, quantizer):
    model, asked = opened(**arguments)
    assert [] == asked
    model.ensure_whisper("cuda:0", language="German")
    model.ensure_whisper("cpu")
    assert [("base", {"tokens": quantizer, "device": "cuda"})] == asked


def test_a_size_names_the_whisper_and_the_number_of_codes(opened):
    model, asked = opened(size=SIZE, whisper=None)
    with pytest.raises(HeadError, match=r"has 101 codes.*2561"):
        model.setup()
    assert "medium" == asked[0][0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"whisper": None, "size": "small"},
        {"whisper": None},
        {"local_dir": "here"},
        {"ref": None},
    ],
)
def test_other_arguments_are_refused(opened, arguments):
    with pytest.raises(OptionError):
        opened(**arguments)


def test_quantize_gives_a_row_per_recording(opened, stairs, peer):
    torch = peer("torch")
    model, _ = opened()
    codes = model.quantize(torch.from_numpy(stairs(2)[None]))
    assert (torch.int64, [[1] * 50]) == (codes.dtype, codes.tolist())
    assert [[2] * 50, [3] * 50] == model.quantize(np.stack([stairs(2)] * 2)).tolist()
    with pytest.raises(ChannelError, match="batch, samples"):
        model.quantize(stairs(2)[:, None])


def test_dequantize_gives_states_for_the_decoder(opened):
    model, _ = opened()
    states = np.asarray(model.dequantize([[7, 7]]))
    assert (np.float32, (1, 5, 4)) == (states.dtype, states.shape)
    assert 7 == states[0, 0, 0]
    assert 0 == np.asarray(model.dequantize([]))[0, 0, 0]
    with pytest.raises(TokensError):
        model.dequantize([101])
    with pytest.raises(OptionError, match="750"):
        model.dequantize([1] * 751)


def test_inference_gives_one_result(opened, stairs):
    model, _ = opened()
    model.eval().ensure_whisper(language="en")
    (result,) = model.inference(stairs(2)[None])
    assert ("w301", "en", 0.0) == (result.text, result.language, result.temperature)
    assert result.avg_logprob > -0.1


def test_codebook_stats_are_of_what_was_quantized(opened, stairs):
    model, _ = opened()
    assert 0 == model.get_codebook_stats()["used_codes"]
    for _ in range(4):
        model.quantize(stairs(1))
    stats = model.get_codebook_stats()
    assert (4, pytest.approx(2.0)) == (stats["used_codes"], stats["entropy"])
    assert stats["utilization"] == pytest.approx(100 * 4 / 101)
    assert ([0, 25, 25, 25, 25, 0], 101) == (
        stats["usage_per_code"][:6],
        len(stats["usage_per_code"]),
    )


def test_what_comes_later_or_too_late_is_refused(opened):
    model, asked = opened()
    with pytest.raises(OptionError, match="prompt comes in a later release"):
        model.ensure_whisper(prompt="You are a professional transcriptionist")
    with pytest.raises(LanguageError):
        model.ensure_whisper(language="demo")
    with pytest.raises(OptionError, match="cuda"):
        model.to("cuda")
    assert model is model.to("cpu")
    assert 1 == len(asked)
