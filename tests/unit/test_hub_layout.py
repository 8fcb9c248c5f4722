"""Which files a folder lacks, and whether what it holds is a Whisper; told without reading weights."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tercet.hub.layout import holds_model, holds_whisper, missing_files, model_files
from tercet.hub.transfer import matches

SHARDS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder with these files; a config's keys as keywords."""

    def make(*names: str, **config: object) -> Path:
        for name in names:
            (tmp_path / name).write_text("{}")
        if INDEX in names:
            weight_map = {str(n): shard for n, shard in enumerate(SHARDS)}
            (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
        if config:
            (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["config.json", "model.safetensors", "tokenizer.json"], []),
        (["config.json", "model.safetensors"], ["tokenizer.json"]),
        (["config.json", "tokenizer.json"], ["model.safetensors"]),
        (["model.bin"], ["config.json", "tokenizer.json"]),
        (["config.json", "vocabulary.txt", "tokenizer.json"], ["model.bin"]),
        (["config.json", INDEX, *SHARDS, "tokenizer.json"], []),
        (["config.json", INDEX, SHARDS[0], SHARDS[2]], [SHARDS[1], "tokenizer.json"]),
        (["config.json", INDEX], [*SHARDS, "tokenizer.json"]),
        ([SHARDS[1]], ["config.json", INDEX, SHARDS[0], SHARDS[2], "tokenizer.json"]),
        ([], ["config.json", "model.safetensors", "tokenizer.json"]),
    ],
)
def test_all_that_is_missing_is_named(
    folder_of: Callable[..., Path], there: list[str], missing: list[str]
) -> None:
    assert missing == missing_files(folder_of(*there))


def test_a_link_that_leads_nowhere_is_a_missing_file(folder_of: Callable[..., Path]) -> None:
    folder = folder_of("config.json", "tokenizer.json")
    (folder / "model.safetensors").symlink_to(folder / "gone")
    assert ["model.safetensors"] == missing_files(folder)
    assert not holds_model(folder)


def test_an_index_that_cannot_be_read_is_itself_what_is_missing(
    folder_of: Callable[..., Path],
) -> None:
    folder = folder_of("config.json", INDEX, *SHARDS, "tokenizer.json")
    (folder / INDEX).write_text("{ damaged")
    assert [INDEX] == missing_files(folder)


@pytest.mark.parametrize(
    ("expected", "weights", "config"),
    [
        (True, "model.safetensors", {"model_type": "whisper"}),
        (False, "model.safetensors", {"model_type": "bert"}),
        (True, "model.safetensors", {"tercet_format": 1}),
        (True, "model.bin", {"suppress_ids": [1], "lang_ids": [2]}),
        (False, "model.bin", {"bos_token": "<s>"}),
        (False, "README.md", {"model_type": "whisper"}),
    ],
)
def test_a_whisper_is_told_from_other_models_by_its_config(
    folder_of: Callable[..., Path], expected: bool, weights: str, config: dict[str, object]
) -> None:
    assert expected == holds_whisper(folder_of(weights, **config))


def test_a_config_that_is_no_object_is_no_whispers(folder_of: Callable[..., Path]) -> None:
    folder = folder_of("model.safetensors")
    (folder / "config.json").write_text("[1]")
    assert not holds_whisper(folder)


def test_one_form_of_the_weights_is_fetched_with_what_describes_it() -> None:
    repository = [
        "README.md", "config.json", "flax_model.msgpack", "merges.txt", "model.safetensors",
        "onnx/config.json", "onnx/model.safetensors", "pytorch_model.bin", "vocab.json",
    ]  # fmt: skip
    assert ["config.json", "merges.txt", "model.safetensors", "vocab.json"] == model_files(
        repository
    )


def test_heads_beside_a_model_are_fetched_with_it_and_cards_are_not() -> None:
    repository = ["TAGS_CARD.md", "config.json", "model.safetensors", "tags.safetensors"]
    assert ["config.json", "model.safetensors", "tags.safetensors"] == model_files(repository)


@pytest.mark.parametrize("body", [b"", b"hello\n", b"x" * 300_000])
def test_a_checksum_is_sha256_or_gits(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "file").write_bytes(body)
    git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    for checksum in (hashlib.sha256(body).hexdigest(), git):
        assert matches(tmp_path / "file", checksum)
        other = ("0" if checksum[0] != "0" else "1") + checksum[1:]
        assert not matches(tmp_path / "file", other)


def test_gits_name_of_the_empty_file_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert matches(tmp_path / "file", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
