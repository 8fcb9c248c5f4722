"""Real base with heads made on the spot: three readings of one pass, on every engine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.engine import availability

CLIP = "librispeech-672"


class Counting:
    """An encoder that counts its runs."""

    def __init__(self, encoder) -> None:
        self.inner = encoder
        self.geometry = encoder.geometry
        self.runs = 0

    def encode(self, mel, *, real_frames=None):
        self.runs += 1
        return self.inner.encode(mel, real_frames=real_frames)


@pytest.fixture(scope="module")
def with_heads(base_model: Path, tag_head: Path, quantizer: Path) -> tercet.Model:
    return tercet.load_model(base_model, tags=tag_head, tokens=quantizer, threads=2)


def test_the_text_is_that_of_a_model_without_heads(shipped, with_heads, sound) -> None:
    expected = shipped.transcribe(sound(CLIP), language="en", temperature=0.0)
    heard = with_heads.listen(sound(CLIP), language="en", temperature=0.0)
    assert expected.text == heard.text
    assert [s.tokens for s in expected.segments] == [s.tokens for s in heard.segments]


def test_one_window_is_encoded_once_for_all_three(with_heads, sound) -> None:
    counting = Counting(with_heads._instruments.encoder)
    model = tercet.Model.__new__(tercet.Model)
    model.__dict__ |= with_heads.__dict__
    model._instruments = replace(with_heads._instruments, encoder=counting)
    heard = model.listen(sound(CLIP), language="en")
    assert 1 == counting.runs
    assert (("text", "tags", "tokens"),) == heard.encoder_passes


def test_json_is_openais_with_ours_beside_it(with_heads, sound) -> None:
    told = with_heads.listen(sound(CLIP), language="en").to_json()
    assert isinstance(told["text"], str)
    assert "en" == told["language"]
    assert {"id", "start", "end", "text", "tokens"} <= set(told["segments"][0])
    assert {"start_s", "end_s", "label", "score"} <= set(told["sound_events"][0])
    assert 25.0 == told["speech_tokens"]["rate_hz"]
    assert "tercet/1" == told["schema"]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_engines_agree_in_float32(base_model, tag_head, quantizer, sound, engine) -> None:
    if not availability.engine(engine).is_installed:
        pytest.skip(f"{engine} is not installed")
    names = {"tags": tag_head, "tokens": quantizer, "compute_type": "float32"}
    expected = tercet.load_model(base_model, engine="onnx", **names).listen(sound(CLIP))
    heard = tercet.load_model(base_model, engine=engine, **names).listen(sound(CLIP))
    assert expected.text == heard.text
    assert np.allclose(expected.tags.frames, heard.tags.frames, atol=1e-3)
    same = np.mean(expected.speech_tokens.ids == heard.speech_tokens.ids)
    assert same > 0.99  # random codebooks have near ties


def test_codes_become_text_again(with_heads, sound) -> None:
    """Random codes carry nothing; that something is written, and where, is all that can be asked."""
    tokens = with_heads.tokenize(sound(CLIP))
    text = with_heads.detokenize(tokens, language="en", temperature=0.0)
    assert "en" == text.language
    assert text.text == with_heads.detokenize(str(tokens), language="en", temperature=0.0).text
    assert all(0 <= s.start <= s.end <= tokens.duration_s for s in text.segments)


def test_a_head_for_another_encoder_is_refused(base_model, quantizer, tmp_path) -> None:
    from tercet.checkpoint.head_file import open_head
    from tercet.convert.head_store import write_head

    head = open_head(quantizer)
    marked = replace(head, origin=replace(head.origin, encoder_name="small.en", encoder=None))
    write_head(tmp_path / "small.safetensors", marked)
    with pytest.raises(tercet.ModelError, match=r"small\.en"):
        tercet.load_model("base", tokens=tmp_path / "small.safetensors")


def test_a_head_of_the_other_kind_says_where_it_belongs(base_model, tag_head, quantizer) -> None:
    with pytest.raises(tercet.HeadError, match="tokens="):
        tercet.load_model(base_model, tags=quantizer)
    with pytest.raises(tercet.HeadError, match="tags="):
        tercet.load_model(base_model, tokens=tag_head)
