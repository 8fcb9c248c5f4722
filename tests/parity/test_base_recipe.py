"""The recipe of `tercet-base`: the genuine weights give the committed files, bit for bit."""

import hashlib
import subprocess
import sys

import pytest

from tercet.checkpoint import Geometry, save_hugging_face


@pytest.fixture(scope="module")
def recipe(request):
    return request.config.rootpath / "recipes" / "base" / "make.py"


@pytest.fixture(scope="module")
def made(recipe, genuine_base, tmp_path_factory):
    """What the recipe writes (another process, so another seed of every hash)."""
    folder = tmp_path_factory.mktemp("made") / "new" / "tercet_base"
    command = [sys.executable, str(recipe), str(genuine_base), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def checksums(folder):
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return dict(reversed(line.split("  ")) for line in lines)


def digests(folder, names):
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}


HEADS = {  # trained, not made: recipes/tags, recipes/tokens, recipes/draft, recipes/text
    "tags.safetensors",
    "tokens.safetensors",
    "draft.safetensors",
    "true-length/adapter_config.json",
    "true-length/adapter_model.safetensors",
}


def test_the_genuine_weights_give_the_committed_files(made, base_model):
    shipped = checksums(base_model)
    expected = {name: digest for name, digest in shipped.items() if name not in HEADS}
    assert {"model.safetensors", "config.json", "tokenizer.json"} < set(expected)
    assert expected == digests(made, expected)
    assert expected == checksums(made)
    assert sorted([*expected, "SHA256SUMS"]) == sorted(path.name for path in made.iterdir())


def test_the_shipped_files_are_whole_and_small(base_model):
    expected = checksums(base_model)
    assert expected == digests(base_model, expected)
    assert 60e6 < sum((base_model / name).stat().st_size for name in expected) < 100e6


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
def test_without_a_source_the_recipe_tells_its_usage(recipe, arguments):
    done = subprocess.run(
        [sys.executable, str(recipe), *arguments], capture_output=True, text=True, check=False
    )
    assert 1 == done.returncode
    assert "usage: python recipes/base/make.py SOURCE" in done.stderr


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("absent", "no such file or folder"),
        ("bare", "has no tokenizer.json"),
        ("other", "calibration has no 16 numbers for layers.0.self_attn"),
    ],
)
def test_a_source_that_is_not_base_is_one_line_and_leaves_nothing(
    recipe, random_checkpoint, tmp_path, source, said
):
    geometry = Geometry(
        n_mels=8,
        width=16,
        encoder_layers=1,
        encoder_heads=1,
        decoder_layers=1,
        decoder_heads=1,
        vocab_size=60,
    )
    for name in ("bare", "other"):
        save_hugging_face(random_checkpoint(geometry), tmp_path / name)
    (tmp_path / "other" / "tokenizer.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, str(recipe), str(tmp_path / source), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 1 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines())
    assert source in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
