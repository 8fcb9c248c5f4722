"""Which heads a model gets: those that are named, else those beside it, and only such as fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import Head, HeadArrays, Origin, Quantizer, TagHead
from tercet.convert.head_store import write_head
from tercet.errors import HeadError
from tercet.head_loading import find_heads

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


def filled(head: Head) -> Head:
    arrays = {name: np.ones(shape, np.float32) for name, shape in head_shapes(head).items()}
    return replace(head, arrays=HeadArrays(arrays))


def tag_head(name: str, width: int = 64) -> Head:
    return filled(
        TagHead(
            layers="mean",
            n_layers=None,
            width=width,
            hidden=width,
            has_projection=False,
            time_heads=0,
            layer_heads=0,
            arrays=HeadArrays({}),
            labels=("a", "b"),
            origin=Origin(name=name),
        )
    )


def quantizer(name: str) -> Head:
    return filled(
        Quantizer(
            width=64,
            heads=2,
            mlp_width=64,
            code_width=4,
            codebook_size=9,
            mask_code=8,
            arrays=HeadArrays({}),
            origin=Origin(name=name),
        )
    )


@pytest.fixture
def model(tmp_path, random_checkpoint, byte_tokenizer_file):
    """A model in a folder of its own."""
    folder = tmp_path / "model"
    tokenizer_file = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(random_checkpoint(GEOMETRY), folder, tokenizer_file=tokenizer_file)
    return open_checkpoint(folder)


def named(model, tags: str | Path | None = None, tokens: str | Path | None = None):
    """The names of the heads that were found."""
    found = find_heads(model, "mine", tags, tokens, offline=True)
    return tuple(head and head.origin.name for head in (found.tags, found.codes))


def test_a_model_gets_the_heads_beside_it_unless_others_are_named(model, tmp_path) -> None:
    assert (None, None) == named(model)
    write_head(model.path / "tags.safetensors", tag_head("its tags"))
    write_head(model.path / "tokens.safetensors", quantizer("its codes"))
    write_head(tmp_path / "other.safetensors", tag_head("other tags"))
    assert ("its tags", "its codes") == named(model)
    assert ("other tags", "its codes") == named(model, tags=tmp_path / "other.safetensors")


def test_none_is_no_head_though_one_lies_beside_the_model(model) -> None:
    write_head(model.path / "tags.safetensors", tag_head("its tags"))
    write_head(model.path / "tokens.safetensors", quantizer("its codes"))
    assert (None, "its codes") == named(model, tags="none")
    assert ("its tags", None) == named(model, tokens="none")


def test_a_head_that_does_not_fit_or_is_of_the_other_kind_is_refused(model, tmp_path) -> None:
    write_head(tmp_path / "wide.safetensors", tag_head("wide", width=32))
    with pytest.raises(HeadError, match="width 32"):
        named(model, tags=tmp_path / "wide.safetensors")
    write_head(model.path / "tags.safetensors", quantizer("codes"))
    with pytest.raises(HeadError, match="is a quantizer; give it as tokens="):
        named(model)


def test_progress_is_told_while_a_head_is_fetched(model, tmp_path, monkeypatch) -> None:
    write_head(tmp_path / "fetched.safetensors", tag_head("fetched"))

    def find(name, *, offline, on_progress):
        on_progress(5, 10)
        return tmp_path / "fetched.safetensors"

    monkeypatch.setattr("tercet.hub.heads.find_head", find)
    told: list[tuple[int, int]] = []
    move = lambda done, total: told.append((done, total))  # noqa: E731
    found = find_heads(
        model, "mine", "owner/name:f.safetensors", None, offline=None, on_progress=move
    )
    assert ("fetched", [(5, 10)]) == (found.tags.origin.name, told)
