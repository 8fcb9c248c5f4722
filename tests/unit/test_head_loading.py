"""Which heads a model gets: those that are named, else those beside it, and only such as fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.checkpoint import Checkpoint, Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.adapter import AdaptedCheckpoint, open_adapter, with_adapter
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import Head, HeadArrays, Origin, Quantizer, TagHead
from tercet.convert.head_fit import bound_to
from tercet.convert.head_store import write_head
from tercet.errors import FingerprintError, HeadError
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


def with_lora(model: Checkpoint, module: str, folder: Path) -> AdaptedCheckpoint:
    """The model with an adapter of rank 1 on one of its `fc1`."""
    folder.mkdir()
    stem = f"base_model.model.model.{module}"
    arrays = {
        f"{stem}.lora_A.weight": np.ones((1, 64), np.float32),
        f"{stem}.lora_B.weight": np.ones((256, 1), np.float32),
    }
    save_file(arrays, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 1}')
    return with_adapter(model, open_adapter(folder))


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


def test_a_head_of_another_kind_is_named_for_what_it_is(model, tmp_path, random_draft) -> None:
    files = {name: tmp_path / f"{name}.safetensors" for name in ("tags", "tokens", "draft")}
    write_head(files["tags"], tag_head("t"))
    write_head(files["tokens"], quantizer("q"))
    write_head(files["draft"], random_draft(GEOMETRY))
    for asked, given, line in (
        ("tags", "tokens", "is a quantizer; give it as tokens=FILE, not as tags="),
        ("tokens", "tags", "is a tag head; give it as tags=FILE, not as tokens="),
        ("tags", "draft", "is a draft; give it as draft=FILE, not as tags="),
        ("tokens", "draft", "is a draft; give it as draft=FILE, not as tokens="),
    ):
        named = {"tags": None, "tokens": None, asked: files[given]}
        with pytest.raises(HeadError, match=line):
            find_heads(model, "mine", **named, offline=True)


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


@pytest.mark.parametrize(
    ("module", "expected"),
    [("encoder.layers.0.fc1", (None, None)), ("decoder.layers.0.fc1", ("tags beside", None))],
)
def test_heads_beside_a_model_are_left_aside_where_an_adapter_changes_its_encoder(
    model, tmp_path, module, expected
) -> None:
    write_head(model.path / "tags.safetensors", tag_head("tags beside"))
    write_head(tmp_path / "mine.safetensors", tag_head("mine"))
    adapted = with_lora(model, module, tmp_path / "lora")
    assert expected == named(adapted)
    assert ("mine", None) == named(adapted, tags=tmp_path / "mine.safetensors")


def test_a_head_that_knows_its_encoder_is_refused_where_an_adapter_changes_it(
    model, tmp_path
) -> None:
    bound = bound_to(tag_head("bound"), model, "mine")
    write_head(tmp_path / "bound.safetensors", bound)
    assert ("bound", None) == named(model, tags=tmp_path / "bound.safetensors")
    adapted = with_lora(model, "encoder.layers.0.fc1", tmp_path / "lora")
    with pytest.raises(FingerprintError, match=r"has another \(its weights are others\)"):
        named(adapted, tags=tmp_path / "bound.safetensors")
