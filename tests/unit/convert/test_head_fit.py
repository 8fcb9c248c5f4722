"""Whether a head fits an encoder: by shape, by fingerprint, by name; and binding it to one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint
from tercet.checkpoint.arrays import Int8Matrix, MemoryCheckpoint
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.convert import head_fit
from tercet.convert.conversion import Conversion, convert
from tercet.convert.fingerprint import fingerprint
from tercet.convert.head_fit import bound_to, check_fits
from tercet.convert.store import stored_arrays
from tercet.errors import CheckpointError, FingerprintError, HeadError

FILE = Path("folder") / "my-tags.safetensors"
GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


def tag_head(width=64, n_layers=None, **origin):
    return TagHead(
        layers="weighted" if n_layers else "each",
        n_layers=n_layers,
        width=width,
        hidden=width,
        has_projection=False,
        time_heads=1,
        layer_heads=0 if n_layers else 8,
        arrays=HeadArrays({}, path=FILE),
        origin=Origin(**origin),
    )


def quantizer(width=64, positions=1500, **origin):
    return Quantizer(
        width=width,
        heads=2,
        mlp_width=128,
        code_width=8,
        codebook_size=9,
        mask_code=8,
        positions=positions,
        arrays=HeadArrays({}, path=Path("codes.safetensors")),
        origin=Origin(**origin),
    )


@pytest.fixture(scope="module")
def floats(random_checkpoint):
    """An encoder that float16 holds exactly."""
    made = random_checkpoint(GEOMETRY)
    halves = {name: array.astype(np.float16) for name, array in made.arrays.items()}
    return MemoryCheckpoint(GEOMETRY, halves)


@pytest.fixture(scope="module")
def tuned(floats):
    """The same encoder after a little training."""
    rng = np.random.default_rng(3)
    arrays = dict(floats.arrays)
    for name in floats.names():
        if name.startswith("model.encoder.layers") and name.endswith("q_proj.weight"):
            noise = rng.normal(0, 0.05 * arrays[name].std(), arrays[name].shape)
            arrays[name] = (arrays[name] + noise).astype(np.float16)
    return MemoryCheckpoint(GEOMETRY, arrays)


@pytest.fixture(scope="module")
def native(floats, byte_tokenizer_file, tmp_path_factory):
    """The encoder in Tercet's stored form."""
    folder = tmp_path_factory.mktemp("native") / "out"
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    convert(floats, Conversion(folder=folder), name="m", tokenizer_file=tokenizer)
    return open_checkpoint(folder)


@pytest.fixture(scope="module")
def folded(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    """Float32 weights, of which float16 copies have another digest, stored with outliers folded away."""
    folder = tmp_path_factory.mktemp("folded") / "out"
    groups = ("self_attn", "out_proj", "fc1")
    names = [f"layers.{layer}.{group}" for layer in range(2) for group in groups]
    statistics = {name: np.geomspace(0.3, 9, 64).astype(np.float16) for name in names}
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    convert(
        random_checkpoint(GEOMETRY),
        Conversion(folder=folder),
        name="m",
        tokenizer_file=tokenizer,
        statistics=statistics,
    )
    return open_checkpoint(folder)


class Eight(MemoryCheckpoint):
    """An 8-bit copy that says nothing of its original."""

    def read_int8(self, name):
        scales = self.arrays.get(f"{name}_scale")
        return None if scales is None else Int8Matrix(self.arrays[name], scales.astype(np.float32))


@pytest.fixture(scope="module")
def eight(floats):
    return Eight(GEOMETRY, stored_arrays(floats, None))


def refused(head, checkpoint, error, model_name="base"):
    with pytest.raises(error) as caught:
        check_fits(head, checkpoint, model_name=model_name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Shape


def test_another_width_names_both(floats):
    said = refused(tag_head(width=1024, encoder_name="medium"), floats, HeadError)
    assert said.startswith(
        "my-tags.safetensors was trained on 'medium' (width 1024); 'base' has width 64"
    )
    said = refused(quantizer(width=1280), floats, HeadError)
    assert said.startswith("codes.safetensors was trained on an encoder (width 1280); 'base' has")


def test_a_head_of_a_number_of_layers_needs_that_number(floats):
    check_fits(tag_head(n_layers=2), floats, model_name="base")
    said = refused(tag_head(n_layers=6), floats, HeadError)
    assert "(layers 6); 'base' has layers 2" in said


def test_a_quantizer_needs_its_number_of_states(floats):
    check_fits(quantizer(), floats, model_name="base")
    assert "(positions 750); 'base' has positions 1500" in refused(
        quantizer(positions=750), floats, HeadError
    )


@pytest.mark.parametrize("downsample", [3, 50])
def test_codes_that_do_not_fit_the_grid_of_cuts_are_refused_at_once(floats, downsample):
    said = refused(replace(quantizer(), downsample=downsample), floats, HeadError)
    assert f"codes.safetensors has a code for every {downsample} states" in said
    check_fits(replace(quantizer(), downsample=4), floats, model_name="base")


def test_the_vocabulary_does_not_matter(random_checkpoint):
    for vocab_size in (51864, 51866):
        geometry = replace(GEOMETRY, vocab_size=vocab_size)
        check_fits(tag_head(), MemoryCheckpoint(geometry, {}), model_name="x")


# Fingerprint


def bound(checkpoint, name="mine"):
    return tag_head(encoder_name=name, encoder=fingerprint(checkpoint).to_json())


def test_a_head_fits_the_encoder_that_it_was_trained_on_in_every_form(floats, native, eight):
    for checkpoint in (floats, native, eight):
        check_fits(bound(floats), checkpoint, model_name="anything")


def test_a_head_of_another_encoder_is_refused_and_both_are_named(floats, tuned, native, eight):
    for checkpoint in (floats, native, eight):
        said = refused(bound(tuned, "tuned"), checkpoint, FingerprintError, "small")
        assert "my-tags.safetensors was trained on the encoder of 'tuned'; 'small' has" in said
        assert "tercet convert --encoder" in said


def test_a_stored_model_is_compared_by_its_digest_alone(floats, native, monkeypatch):
    monkeypatch.setattr(head_fit, "matches", lambda *_: pytest.fail("a sketch was compared"))
    check_fits(bound(floats), native, model_name="base")


def test_a_folded_copy_of_a_float32_encoder_is_known_to_a_head_of_its_float16_copy(
    floats, tuned, folded
):
    head = bound(floats)
    assert head.origin.encoder["sha256"] != folded.metadata["encoder"]["sha256"]
    check_fits(head, folded, model_name="base")
    refused(bound(tuned), folded, FingerprintError)


def test_a_damaged_fingerprint_is_one_line_that_names_the_head(floats):
    head = tag_head(encoder={"sha256": "0", "matrices": {}, "sketch": "!"})
    assert "my-tags.safetensors: damaged fingerprint" in refused(head, floats, CheckpointError)


def test_a_model_whose_rounding_is_damaged_is_one_line(native, tuned):
    for rounding in ([], {"a": "x"}, {"a": 0}):
        broken = replace(native, metadata={**native.metadata, "rounding": rounding})
        assert "'rounding' is damaged" in refused(bound(tuned), broken, CheckpointError)


# Names, where there is no fingerprint


@pytest.mark.parametrize(
    ("trained_on", "model_name"),
    [
        ("large-v3", "distil-large-v3"),
        ("large-v3", "distil-large-v3.5"),
        ("large-v3", "large"),
        ("small.en", "distil-small.en"),
        ("medium", "openai/whisper-medium"),
        ("medium", "folder/of/mine"),
        ("", "medium"),
    ],
)
def test_a_name_that_means_the_same_encoder_or_none_is_no_hindrance(floats, trained_on, model_name):
    check_fits(tag_head(encoder_name=trained_on), floats, model_name=model_name)


@pytest.mark.parametrize(
    ("trained_on", "model_name"),
    [
        ("large-v1", "large-v2"),
        ("large-v3", "turbo"),
        ("medium", "medium.en"),
        ("medium", "Systran/faster-whisper-medium.en"),
    ],
)
def test_a_known_encoder_of_the_same_shape_is_refused_by_name(floats, trained_on, model_name):
    said = refused(
        tag_head(encoder_name=trained_on), floats, FingerprintError, model_name=model_name
    )
    assert f"trained on the encoder of {trained_on!r}; {model_name!r} has another" in said


# Binding


def test_binding_carries_the_originals_fingerprint(floats, native):
    expected = fingerprint(floats).to_json()
    for checkpoint in (floats, native):
        head = bound_to(tag_head(licence="MIT"), checkpoint, "mine")
        assert ("mine", "MIT") == (head.origin.encoder_name, head.origin.licence)
        assert expected == head.origin.encoder


def test_a_bound_head_fits_its_model_and_no_other(floats, tuned):
    head = bound_to(tag_head(encoder_name="large-v1"), floats, "mine")
    check_fits(head, floats, model_name="large-v2")
    assert "'mine'" in refused(head, tuned, FingerprintError)


def test_a_head_is_not_bound_to_what_has_another_shape(floats):
    with pytest.raises(HeadError, match="width 32"):
        bound_to(tag_head(width=32), floats, "mine")


def test_a_head_is_not_bound_to_8_bits_that_tell_no_original(eight):
    with pytest.raises(HeadError, match="'mine' has its encoder in 8 bits"):
        bound_to(tag_head(), eight, "mine")
