"""Writing heads: the same head comes back, the same bytes go out, codebooks keep every bit."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.audio.convention import ICHIGO, WHISPER_AT_TRAINING
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.checkpoint.safetensors_file import open_safetensors
from tercet.convert.head_store import codebook_fingerprint, write_head
from tercet.errors import CheckpointError, OptionError, OutputError


def filled(head, seed=0):
    """The head with random arrays."""
    rng = np.random.default_rng(seed)
    shapes = head_shapes(head)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return replace(head, arrays=HeadArrays(values))


def tag_head(**changes):
    given = {
        "layers": "each", "n_layers": None, "width": 64, "hidden": 64, "has_projection": True,
        "time_heads": 1, "layer_heads": 8, "arrays": HeadArrays({}), "labels": ("a", "b", "c"),
        "convention": WHISPER_AT_TRAINING,
    }  # fmt: skip
    return filled(TagHead(**(given | changes)))


def quantizer(**changes):
    given = {
        "width": 64, "heads": 2, "mlp_width": 128, "code_width": 8, "codebook_size": 33,
        "mask_code": 32, "depth": 2, "positions": 40, "has_state_mean": True,
        "arrays": HeadArrays({}), "convention": ICHIGO,
    }  # fmt: skip
    return filled(Quantizer(**(given | changes)))


def round_trip(head, path, **options):
    write_head(path, head, **options)
    return open_head(path)


def assert_same(expected, got):
    assert replace(expected, arrays=got.arrays) == got
    assert expected.arrays.names() == got.arrays.names()
    for name in expected.arrays.names():
        np.testing.assert_array_equal(expected.arrays.read(name), got.arrays.read(name), name)


text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)
origins = st.builds(
    Origin,
    name=text, licence=text, source=text, encoder_name=text,
    encoder=st.none() | st.just({"sha256": "0", "matrices": {}, "sketch": ""}),
)  # fmt: skip
labels = st.lists(text.filter(str.strip), min_size=1, max_size=5, unique=True).map(tuple)


@given(origin=origins, names=labels, threshold=st.floats(0, 1), mode=st.sampled_from("lmwe"))
@settings(max_examples=60, deadline=None)
def test_any_tag_head_comes_back_as_it_was(tmp_path_factory, origin, names, threshold, mode):
    layers = {"l": "last", "m": "mean", "w": "weighted", "e": "each"}[mode]
    head = tag_head(
        layers=layers, n_layers=3 if layers == "weighted" else None, labels=names, origin=origin,
        layer_heads=2 if layers == "each" else 0, width=8, hidden=8,
        thresholds=(threshold,) * len(names),
    )  # fmt: skip
    assert_same(head, round_trip(head, tmp_path_factory.mktemp("head") / "a.safetensors"))


@given(
    depth=st.integers(1, 3), blocks=st.integers(0, 2), mask=st.none() | st.integers(0, 4),
    how=st.sampled_from(["mean", "stride", "conv"]), rope=st.booleans(),
    mult=st.floats(0.01, 100),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_quantizer_comes_back_as_it_was(tmp_path_factory, depth, blocks, mask, how, rope, mult):
    if blocks == 0:
        blocks = 1
    head = quantizer(
        depth=depth, blocks=blocks, mask_code=mask, codebook_size=5, width=8, downsampling=how,
        has_rope=rope, query_mult=mult, has_state_mean=rope,
    )  # fmt: skip
    assert_same(head, round_trip(head, tmp_path_factory.mktemp("head") / "a.safetensors"))


@pytest.mark.parametrize("compute_type", ["float32", "float16", "int8"])
@pytest.mark.parametrize("make", [tag_head, quantizer])
def test_the_same_head_gives_the_same_bytes(tmp_path, make, compute_type):
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in paths:
        write_head(path, make(), compute_type=compute_type)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # And those of the file that was opened from it.
    write_head(paths[1], open_head(paths[0]), compute_type=compute_type)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_order_in_which_a_fingerprint_was_made_does_not_show(tmp_path):
    written = []
    for keys in (("sha256", "sketch"), ("sketch", "sha256")):
        origin = Origin(encoder=dict.fromkeys(keys, "0"))
        write_head(tmp_path / "a.safetensors", replace(tag_head(), origin=origin))
        written.append((tmp_path / "a.safetensors").read_bytes())
    assert written[0] == written[1]


def types_in(path):
    source = open_safetensors(path)
    return {name: source.dtype(name) for name in source.entries}


def test_int8_keeps_in_floats_what_codes_are_decided_by(tmp_path):
    write_head(tmp_path / "a.safetensors", quantizer(), compute_type="int8")
    found = types_in(tmp_path / "a.safetensors")
    assert {"float32"} == {kind for name, kind in found.items() if name.endswith("codebook")}
    for name in ("levels.1.project_in.weight", "state_mean", "mlp.fc1.bias"):
        assert "float16" == found[name]
    matrices = {name for name, kind in found.items() if kind == "int8"}
    assert {"mlp.fc1.weight", "embed_positions.weight", "levels.0.project_out.weight"} < matrices
    assert {f"{name}_scale" for name in matrices} == {n for n in found if n.endswith("_scale")}


@pytest.mark.parametrize(("compute_type", "error"), [("float16", 2**-11), ("int8", 0.5 / 127)])
def test_narrow_types_err_by_their_rounding_alone(tmp_path, compute_type, error):
    for head in (tag_head(), quantizer()):
        found = round_trip(head, tmp_path / "a.safetensors", compute_type=compute_type)
        for name in head.arrays.names():
            exact = head.arrays.read(name)
            most = error * np.abs(exact).max() * 1.002  # scales are rounded up to float16
            assert most >= np.abs(exact - found.arrays.read(name)).max(), name


def test_int8_is_a_quarter_and_float16_half_of_float32(tmp_path):
    head = tag_head(width=512, hidden=512)
    sizes = {}
    for compute_type in ("float32", "float16", "int8"):
        write_head(tmp_path / "a.safetensors", head, compute_type=compute_type)
        sizes[compute_type] = (tmp_path / "a.safetensors").stat().st_size
    assert 0.5 == pytest.approx(sizes["float16"] / sizes["float32"], abs=0.01)
    assert 0.26 == pytest.approx(sizes["int8"] / sizes["float32"], abs=0.01)


def test_numbers_beyond_float16_stay_as_they_are(tmp_path):
    head = tag_head()
    head.arrays.values["classifier.proj.bias"][0] = 1e6
    found = round_trip(head, tmp_path / "a.safetensors", compute_type="float16")
    np.testing.assert_array_equal(
        head.arrays.read("classifier.proj.bias"), found.arrays.read("classifier.proj.bias")
    )


# Fingerprints of codebooks


def test_a_fingerprint_is_the_hash_that_its_docstring_tells():
    head = quantizer()
    books = b"".join(head.arrays.read(f"levels.{i}.codebook").tobytes() for i in range(2))
    assert hashlib.sha256(b"[2, 33, 8]\n" + books).hexdigest()[:16] == codebook_fingerprint(head)


@pytest.mark.parametrize("compute_type", ["float32", "float16", "int8"])
def test_a_fingerprint_survives_storage_in_any_type(tmp_path, compute_type):
    head = quantizer()
    found = round_trip(head, tmp_path / "a.safetensors", compute_type=compute_type)
    assert codebook_fingerprint(head) == codebook_fingerprint(found)


def test_another_row_or_another_shape_has_another_fingerprint():
    head = quantizer()
    known = codebook_fingerprint(head)
    changed = quantizer()
    changed.arrays.values["levels.1.codebook"][-1, -1] += np.float32(1e-6)
    assert known != codebook_fingerprint(changed)
    reshaped = {n: a.reshape(66, 4) for n, a in head.arrays.values.items() if "codebook" in n}
    other = replace(head, codebook_size=66, code_width=4, arrays=HeadArrays(reshaped))
    assert known != codebook_fingerprint(other)


def test_other_projections_do_not_change_the_fingerprint():
    other = quantizer()
    other.arrays.values["levels.0.project_in.weight"][:] = 0
    assert codebook_fingerprint(quantizer()) == codebook_fingerprint(other)


# What cannot be written


def test_another_type_is_one_line(tmp_path):
    with pytest.raises(OptionError, match="a head has float32, float16, int8"):
        write_head(tmp_path / "a.safetensors", tag_head(), compute_type="int4")


@pytest.mark.parametrize("compute_type", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", ["mlp.fc1.weight", "mlp.fc1.bias", "levels.0.codebook"])
def test_a_damaged_head_is_not_written(tmp_path, compute_type, name):
    head = quantizer()
    head.arrays.values[name].flat[0] = np.nan
    with pytest.raises(CheckpointError, match=f"{name} holds NaN or infinity"):
        write_head(tmp_path / "a.safetensors", head, compute_type=compute_type)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (replace(tag_head(), hop_frames=4), "hop_frames 4 does not divide"),
        (replace(tag_head(), labels=("a", "a", "b")), "there twice"),
        (replace(tag_head(), labels=("a", "b")), "instead of"),
        (replace(tag_head(), arrays=HeadArrays({})), "is missing"),
    ],
)
def test_a_head_that_could_not_be_opened_again_is_not_written(tmp_path, head, said):
    with pytest.raises(CheckpointError, match=said):
        write_head(tmp_path / "a.safetensors", head)
    assert [] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line_and_keeps_what_was_there(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="cannot be written"):
        write_head(tmp_path / "absent" / "a.safetensors", tag_head())
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")

    def full(self, target):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_head(path, tag_head())
    assert [(path, b"before")] == [(one, one.read_bytes()) for one in tmp_path.iterdir()]
