"""Which draft a model gets: the one that is named, else the one beside it; and which ones are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.heads import HeadArrays, TagHead
from tercet.convert.head_fit import bound_to
from tercet.convert.head_store import write_head
from tercet.draft_loading import FoundDraft, check_draft_name, find_draft, known_costs
from tercet.engine.choice import Choice
from tercet.engine.cpu import OVERRIDE
from tercet.errors import (
    CheckpointError,
    FingerprintError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    TercetError,
)

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture
def model(random_checkpoint, tmp_path):
    """A model's folder, and the same opened."""
    folder = tmp_path / "model"
    save_hugging_face(random_checkpoint(GEOMETRY), folder)
    return open_checkpoint(folder)


@pytest.fixture
def of_model(random_checkpoint, tmp_path):
    """`of_model(name, seed=0, decoder_layers=1)`: the folder of a smaller model."""

    def make(name: str, seed: int = 0, **sizes) -> str:
        folder = tmp_path / name
        save_hugging_face(random_checkpoint(replace(GEOMETRY, **sizes), seed=seed), folder)
        return str(folder)

    return make


def found(model, name):
    return find_draft(model, "mine", name, offline=True)


def test_auto_is_what_lies_beside_the_model(model, random_draft):
    assert found(model, "auto") is None
    head = bound_to(random_draft(GEOMETRY), model, "mine")
    write_head(model.path / "draft.safetensors", head, compute_type="int8")
    draft = found(model, "auto")
    assert "mine's own" == draft.name
    assert 50 == draft.head.shortlist
    assert head.token_ids.tolist() == draft.head.token_ids.tolist()
    assert found(model, "none") is None


def test_ngram_needs_no_file(model):
    assert ("ngram", None, None) == (
        found(model, "ngram").name,
        found(model, "ngram").head,
        found(model, "ngram").model,
    )


def test_in_8_bits_a_draft_is_asked_for_by_name(model, random_draft):
    """There it costs more than it saves: `auto` takes none."""
    file = model.path / "draft.safetensors"
    write_head(file, bound_to(random_draft(GEOMETRY), model, "mine"))
    assert find_draft(model, "mine", "auto", offline=True, is_int8=True) is None
    assert find_draft(model, "mine", file, offline=True, is_int8=True).head is not None


def test_a_file_is_a_head_a_folder_a_smaller_model(model, of_model, random_draft, tmp_path):
    file = tmp_path / "my.safetensors"
    write_head(file, random_draft(GEOMETRY))
    assert 50 == found(model, file).head.shortlist
    smaller = of_model("smaller", decoder_layers=1)
    assert found(model, Path(smaller)).head is None
    draft = found(model, smaller)
    assert 1 == draft.model.geometry.decoder_layers
    assert draft.shares_encoder is False, "random weights again: another encoder"


def test_a_student_shares_its_teachers_encoder(model, tmp_path):
    student = tmp_path / "student"
    student.mkdir()
    arrays = load_file(model.path / "model.safetensors")
    kept = {k: v for k, v in arrays.items() if not k.startswith("model.decoder.layers.1.")}
    save_file(kept, student / "model.safetensors", {"format": "pt"})
    for file in model.path.glob("*.json"):
        (student / file.name).write_bytes(file.read_bytes())
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps({**config, "decoder_layers": 1}))
    assert found(model, str(student)).shares_encoder is True


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        (
            {"vocab_size": 51866},
            "has a vocabulary of 51866, 'mine' one of 51865; give a draft with",
        ),
        (
            {"decoder_layers": 3},
            "3 decoder layers of width 64, 'mine' 2 of 64; a draft must be smaller",
        ),
        ({"decoder_layers": 1, "n_text_ctx": 99}, "has 99 text positions, 'mine' has 448"),
        ({"decoder_layers": 1, "n_audio_ctx": 99}, "has 99 positions of sound, 'mine' has 1500"),
        ({}, "2 decoder layers of width 64, 'mine' 2 of 64; a draft must be smaller"),
    ],
)
def test_models_that_cannot_draft_are_one_line(model, of_model, sizes, line):
    with pytest.raises(OptionError) as caught:
        found(model, of_model("other", seed=1, **sizes))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda g: replace(g, vocab_size=51866),
            "was trained on an encoder (a vocabulary of 51866)",
        ),
        (lambda g: replace(g, width=32), "(width 32); 'mine' has width 64"),
        (lambda g: replace(g, decoder_layers=7), "decoder layers above"),
    ],
)
def test_heads_of_other_decoders_are_one_line(model, random_draft, tmp_path, change, line):
    file = tmp_path / "draft.safetensors"
    write_head(file, random_draft(change(GEOMETRY)))
    with pytest.raises(HeadError) as caught:
        found(model, file)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_of_another_encoder_is_refused(model, of_model, random_draft, tmp_path):
    other = open_checkpoint(of_model("other", seed=9, decoder_layers=2))
    write_head(tmp_path / "draft.safetensors", bound_to(random_draft(GEOMETRY), other, "theirs"))
    with pytest.raises(FingerprintError, match="was trained on the encoder of 'theirs'"):
        found(model, tmp_path / "draft.safetensors")


def test_other_heads_and_what_is_not_there(model, random_draft, tmp_path):
    tags = TagHead(
        layers="mean",
        n_layers=None,
        width=64,
        hidden=64,
        has_projection=False,
        time_heads=0,
        layer_heads=0,
        arrays=HeadArrays(
            {
                "classifier.norm.weight": np.ones(64, np.float32),
                "classifier.norm.bias": np.ones(64, np.float32),
                "classifier.proj.weight": np.ones((2, 64), np.float32),
                "classifier.proj.bias": np.ones(2, np.float32),
            }
        ),
        labels=("a", "b"),
    )
    write_head(tmp_path / "tags.safetensors", tags)
    with pytest.raises(HeadError, match="is no draft; give it as tags=FILE, not as draft="):
        found(model, tmp_path / "tags.safetensors")
    with pytest.raises(ModelNotFoundError, match="no such file"):
        found(model, "absent/draft.safetensors")
    with pytest.raises(ModelNotFoundError):
        found(model, "no-such-model")


def test_a_draft_that_was_cut_short_is_one_line(model, random_draft, tmp_path):
    file = tmp_path / "draft.safetensors"
    write_head(file, random_draft(GEOMETRY))
    whole = file.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 100, 0):
        file.write_bytes(whole[:length])
        with pytest.raises(TercetError) as caught:
            found(model, file)
        assert isinstance(caught.value, CheckpointError)
        assert "\n" not in str(caught.value)
        assert "torch.save" not in str(caught.value), "it was taken for a model"


@pytest.mark.parametrize("ids", [[5, 4, 6], [4, 4, 6], [4, 5.5, 6], [4, 5, 51865], [-1, 5, 6]])
def test_ids_that_are_none_are_one_line(model, random_draft, tmp_path, ids):
    head = random_draft(GEOMETRY, 3)
    arrays = {**head.arrays.values, "token_ids": np.array(ids, np.float32)}
    write_head(tmp_path / "draft.safetensors", replace(head, arrays=HeadArrays(arrays)))
    with pytest.raises(CheckpointError, match="token_ids are no ascending ids of a vocabulary of"):
        found(model, tmp_path / "draft.safetensors")


@pytest.mark.parametrize("name", [None, 3, "", True])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(OptionError, match=r"draft is .*; give 'auto', 'none', 'ngram'"):
        check_draft_name(name)
    check_draft_name(Path("any"))


def chosen(compute_type: str, device: str = "cpu") -> Choice:
    return Choice(
        encoder="onnx",
        decoder="onnx",
        compute_type=compute_type,
        device=device,
        arithmetic="f32",
        reason="",
    )


def test_costs_are_known_where_a_text_could_feel_what_a_clock_says(
    model, of_model, random_draft, monkeypatch
):
    """Of a head: its block (8 x 64^2 + 2 x 64 x 128) and 50 tokens; of the model two blocks and 51865.

    And what a call costs whatever its size, 0.08 of a step of base.
    """
    monkeypatch.setenv(OVERRIDE, "vnni")
    head = FoundDraft("head", head=random_draft(GEOMETRY))
    smaller = FoundDraft("smaller", model=open_checkpoint(Path(of_model("s", decoder_layers=1))))
    block, words = 14 * 64**2, 51865 * 64
    assert known_costs(head, model, chosen("float32")) is None
    known = known_costs(head, model, chosen("int8"))
    wanted = (8 * 64**2 + 2 * 64 * 128 + 50 * 64) / (2 * block + words)
    assert 0.08 + wanted == pytest.approx(known.draft)
    vnni = known.verify
    other = known_costs(smaller, model, chosen("int8"))
    assert 0.08 + (block + words) / (2 * block + words) == pytest.approx(other.draft)
    assert 0 == known_costs(FoundDraft("ngram"), model, chosen("int8")).draft
    monkeypatch.setenv(OVERRIDE, "avx2")
    assert known_costs(head, model, chosen("int8")).verify > vnni
    assert known_costs(head, model, chosen("float16", "cuda")).verify < vnni
