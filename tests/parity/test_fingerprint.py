"""Fingerprints of the same encoder in every layout, and of the real one with its outliers."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load_file

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.arrays import Int8Matrix, MemoryCheckpoint
from tercet.checkpoint.naming import openai_slots
from tercet.convert.fingerprint import Fingerprint, Storage, deviation, fingerprint, matches
from tercet.convert.store import stored_arrays

GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=2,
    encoder_heads=4,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture(scope="module")
def halves(random_checkpoint):
    """Random weights that float16 holds exactly."""
    made = random_checkpoint(GEOMETRY)
    arrays = {name: array.astype(np.float16) for name, array in made.arrays.items()}
    return MemoryCheckpoint(GEOMETRY, arrays)


def test_the_hash_is_the_same_in_every_layout(halves, peer, tmp_path):
    expected = fingerprint(halves)
    for dtype in ("float32", "float16"):
        save_hugging_face(halves, tmp_path / dtype, dtype=dtype)
        assert expected.digest == fingerprint(open_checkpoint(tmp_path / dtype)).digest
    write_openai(halves, tmp_path / "a.pt", peer("torch"))
    assert expected.digest == fingerprint(open_checkpoint(tmp_path / "a.pt")).digest
    write_ctranslate2(tmp_path / "float32", tmp_path / "ctranslate2", peer)
    converted = open_checkpoint(tmp_path / "ctranslate2")
    assert "ctranslate2" == converted.layout
    assert expected.digest == fingerprint(converted).digest


def write_openai(checkpoint, path, torch):
    g = checkpoint.geometry
    dims = {
        "n_mels": g.n_mels,
        "n_audio_ctx": g.n_audio_ctx,
        "n_audio_state": g.width,
        "n_audio_head": g.encoder_heads,
        "n_audio_layer": g.encoder_layers,
        "n_vocab": g.vocab_size,
        "n_text_ctx": g.n_text_ctx,
        "n_text_state": g.width,
        "n_text_head": g.decoder_heads,
        "n_text_layer": g.decoder_layers,
    }
    slots = openai_slots(g).items()
    state = {slot.key: torch.from_numpy(checkpoint.read(name)) for name, slot in slots}
    torch.save({"dims": dims, "model_state_dict": state}, path)


def write_ctranslate2(source, folder, peer):
    """What CTranslate2's converter does, but without a tokenizer."""
    peer("ctranslate2")
    transformers = peer("transformers")
    from ctranslate2.converters.transformers import WhisperLoader

    model = transformers.WhisperForConditionalGeneration.from_pretrained(source)
    spec = WhisperLoader().get_model_spec(model)
    spec.register_vocabulary([str(i) for i in range(GEOMETRY.vocab_size)])
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [1], [2]
    spec.config.lang_ids, spec.config.alignment_heads = [50259], [[0, 0]]
    spec.validate()
    spec.optimize(quantization="float16")
    folder.mkdir()
    spec.save(str(folder))


# Real weights


class Stored(MemoryCheckpoint):
    """The stored form, in memory."""

    def read_int8(self, name):
        scales = self.arrays.get(f"{name}_scale")
        return None if scales is None else Int8Matrix(self.arrays[name], scales.astype(np.float32))


@pytest.fixture(scope="module")
def genuine(genuine_base):
    """The genuine encoder, in memory."""
    opened = open_checkpoint(genuine_base)
    names = [name for name in opened.names() if name.startswith("model.encoder.")]
    return MemoryCheckpoint(opened.geometry, {n: opened.read(n) for n in names}, opened.path)


@pytest.fixture(scope="module")
def statistics(request):
    return load_file(request.config.rootpath / "recipes" / "base" / "calibration.safetensors")


@pytest.fixture(scope="module")
def shipped(base_model):
    """(the shipped checkpoint, the fingerprint and the storage that its metadata tell)."""
    opened = open_checkpoint(base_model)
    mark = Fingerprint.from_json(opened.metadata["encoder"], opened.path)
    storage = Storage(exponents=opened.smoothing, rounding=opened.metadata["rounding"])
    return opened, mark, storage


@pytest.fixture(scope="module", params=[(1, 2), (8, 1)], ids=["rank 1", "rank 8"])
def adapted(request, genuine):
    """With a merged adapter on queries and values, 1 % of their size."""
    rank, seed = request.param
    rng = np.random.default_rng(seed)
    arrays = dict(genuine.arrays)
    for name, array in genuine.arrays.items():
        if name.endswith(("self_attn.q_proj.weight", "self_attn.v_proj.weight")):
            wide = array.astype(np.float32)
            low = rng.normal(size=(len(wide), rank)) @ rng.normal(size=(rank, len(wide)))
            low *= 0.01 * np.linalg.norm(wide) / np.linalg.norm(low)
            arrays[name] = wide + low.astype(np.float32)
    return dataclasses.replace(genuine, arrays=arrays)


def stored(checkpoint, statistics):
    arrays = stored_arrays(checkpoint, statistics)
    exponents = {n.removeprefix("smooth."): a for n, a in arrays.items() if n.startswith("smooth.")}
    return Stored(checkpoint.geometry, arrays), exponents


def test_the_shipped_encoder_is_the_genuine_one(genuine, shipped):
    opened, mark, storage = shipped
    assert mark.digest == fingerprint(genuine).digest
    assert matches(genuine, mark)
    assert matches(opened, mark, storage)


def test_a_plain_8_bit_copy_of_the_genuine_encoder_matches(genuine, shipped):
    copied, _ = stored(genuine, None)
    assert matches(copied, shipped[1])
    assert 0.9 <= np.mean(list(deviation(copied, shipped[1]).values())) <= 1.1


def test_a_merged_adapter_does_not_match_in_any_form(adapted, shipped, statistics):
    _, mark, storage = shipped
    assert not matches(adapted, mark)
    narrow = {name: array.astype(np.float16) for name, array in adapted.arrays.items()}
    assert not matches(dataclasses.replace(adapted, arrays=narrow), mark)
    plain, _ = stored(adapted, None)
    assert not matches(plain, mark)
    folded, exponents = stored(adapted, statistics)
    assert not matches(folded, mark, dataclasses.replace(storage, exponents=exponents))
