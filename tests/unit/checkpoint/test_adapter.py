"""LoRA adapters of PEFT's layout: what is added to which array, and one line for what cannot be merged."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.checkpoint import Geometry, Int8Matrix, MemoryCheckpoint
from tercet.checkpoint.adapter import adapter_digest, open_adapter, with_adapter
from tercet.errors import CheckpointError, ModelNotFoundError

TINY = Geometry(
    n_mels=8,
    width=16,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=40,
    n_audio_ctx=20,
    n_text_ctx=12,
)
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 6}
QUERY = "model.encoder.layers.1.self_attn.q_proj"
FC1 = "model.decoder.layers.0.fc1"
CONV = "model.encoder.conv1"
Arrays = dict[str, np.ndarray]
Write = Callable[..., Path]


def pair(module: str, out: int, inner: int, rank: int = 4, seed: int = 0) -> Arrays:
    """A and B of one module, as PEFT names them."""
    rng = np.random.default_rng(seed)
    stem = f"base_model.model.{module}"
    return {
        f"{stem}.lora_A.weight": rng.normal(size=(rank, inner)).astype(np.float32),
        f"{stem}.lora_B.weight": rng.normal(size=(out, rank)).astype(np.float32),
    }


def product(arrays: Arrays, module: str) -> np.ndarray:
    stem = f"base_model.model.{module}"
    return arrays[f"{stem}.lora_B.weight"] @ arrays[f"{stem}.lora_A.weight"]


@pytest.fixture
def tiny(random_checkpoint: Callable[..., MemoryCheckpoint]) -> MemoryCheckpoint:
    return random_checkpoint(TINY)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(arrays, r=8)`: a PEFT folder."""

    def make(arrays: Arrays, folder: str = "lora", **config: Any) -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
        save_file(arrays, place / "adapter_model.safetensors")
        return place

    return make


def refusal(folder: Path, checkpoint: MemoryCheckpoint) -> str:
    with pytest.raises(CheckpointError) as caught:
        with_adapter(checkpoint, open_adapter(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_adapted_matrix_is_the_models_plus_the_scaled_product(
    tiny: MemoryCheckpoint, write: Write
) -> None:
    arrays = pair(QUERY, 16, 16) | pair(FC1, 64, 16, seed=1)
    merged = with_adapter(tiny, open_adapter(write(arrays)))
    for module in (QUERY, FC1):
        expected = tiny.read(f"{module}.weight") + 6 / 4 * product(arrays, module)
        np.testing.assert_allclose(merged.read(f"{module}.weight"), expected, rtol=1e-5, atol=1e-6)
    untouched = set(tiny.names()) - {f"{QUERY}.weight", f"{FC1}.weight"}
    assert tiny.names() == merged.names()
    for name in untouched:
        assert tiny.read(name) is merged.read(name)


def test_the_models_own_arrays_stay_as_they_are(tiny: MemoryCheckpoint, write: Write) -> None:
    before = tiny.read(f"{QUERY}.weight").copy()
    with_adapter(tiny, open_adapter(write(pair(QUERY, 16, 16)))).read(f"{QUERY}.weight")
    np.testing.assert_array_equal(before, tiny.read(f"{QUERY}.weight"))


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"use_rslora": True}, 6 / math.sqrt(4)),
        ({"alpha_pattern": {"q_proj": 10}}, 10 / 4),
        ({"alpha_pattern": {"encoder.layers.1.self_attn.q_proj": 10, "q_proj": 99}}, 10 / 4),
        ({"alpha_pattern": {r".*encoder.*q_proj": 10}}, 10 / 4),
        ({"alpha_pattern": {"proj": 10, "fc1": 10}}, 6 / 4),  # whole parts of names match
        ({"r": 9, "rank_pattern": {"q_proj": 4}}, 6 / 4),
        ({"r": 9, "rank_pattern": {"q_proj": 4}, "use_rslora": True}, 6 / math.sqrt(4)),
        ({"rank_pattern": None, "alpha_pattern": None}, 6 / 4),
    ],
)
def test_the_scale_follows_the_settings(
    tiny: MemoryCheckpoint, write: Write, config: dict[str, Any], scale: float
) -> None:
    arrays = pair(QUERY, 16, 16)
    merged = with_adapter(tiny, open_adapter(write(arrays, **config)))
    added = merged.read(f"{QUERY}.weight") - tiny.read(f"{QUERY}.weight")
    np.testing.assert_allclose(added, scale * product(arrays, QUERY), rtol=1e-4, atol=1e-5)


def test_a_convolution_is_adapted_tap_by_tap(tiny: MemoryCheckpoint, write: Write) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 8, 3)).astype(np.float32)
    b = rng.normal(size=(16, 4, 1)).astype(np.float32)
    stem = f"base_model.model.{CONV}"
    arrays = {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
    merged = with_adapter(tiny, open_adapter(write(arrays)))
    expected = np.stack([1.5 * b[:, :, 0] @ a[:, :, tap] for tap in range(3)], axis=2)
    added = merged.read(f"{CONV}.weight") - tiny.read(f"{CONV}.weight")
    np.testing.assert_allclose(added, expected, rtol=1e-4, atol=1e-5)


def test_a_module_that_was_trained_whole_replaces_the_models(
    tiny: MemoryCheckpoint, write: Write
) -> None:
    norm = np.full(16, 3.5, np.float32)
    arrays = pair(QUERY, 16, 16) | {"base_model.model.model.encoder.layer_norm.bias": norm}
    merged = with_adapter(tiny, open_adapter(write(arrays, modules_to_save=["layer_norm"])))
    np.testing.assert_array_equal(norm, merged.read("model.encoder.layer_norm.bias"))


def test_an_adapter_of_the_bare_encoder_and_decoder_fits_too(
    tiny: MemoryCheckpoint, write: Write
) -> None:
    arrays = pair(QUERY.removeprefix("model."), 16, 16)
    merged = with_adapter(tiny, open_adapter(write(arrays)))
    assert [f"{QUERY}.weight"] == list(merged.sums)


@pytest.mark.parametrize(
    ("module", "out", "changes_encoder"), [(QUERY, 16, True), (FC1, 64, False)]
)
def test_it_is_known_whether_the_encoder_is_another(
    tiny: MemoryCheckpoint, write: Write, module: str, out: int, *, changes_encoder: bool
) -> None:
    merged = with_adapter(tiny, open_adapter(write(pair(module, out, 16))))
    assert changes_encoder is merged.changes_encoder


def test_its_weights_may_be_named_alone_and_its_settings_lie_beside_them(
    tiny: MemoryCheckpoint, write: Write
) -> None:
    folder = write(pair(QUERY, 16, 16))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        adapter = open_adapter(folder / name)
        assert folder / "adapter_model.safetensors" == adapter.path
        assert with_adapter(tiny, adapter).changes_encoder


def test_a_digest_is_of_settings_and_weights_wherever_they_lie(write: Write) -> None:
    arrays = pair(QUERY, 16, 16)
    first = adapter_digest(write(arrays))
    assert first == adapter_digest(write(arrays, "copy"))
    assert first == adapter_digest(write(arrays) / "adapter_model.safetensors")
    assert 3 == len(
        {
            first,
            adapter_digest(write(arrays, "louder", lora_alpha=7)),
            adapter_digest(write(pair(QUERY, 16, 16, seed=1), "other")),
        }
    )


@pytest.mark.parametrize(
    ("arrays", "config", "said"),
    [
        (pair(QUERY, 24, 24), {}, "has shape [4, 24], and memory needs [4, 16]"),
        (pair(QUERY, 24, 16), {}, "has shape [24, 4], and memory needs [16, 4]"),
        (pair(QUERY, 16, 16), {"r": 8}, "has shape [4, 16], and memory needs [8, 16]"),
        (pair("model.encoder.layers.7.fc1", 64, 16), {}, "a module that memory lacks"),
        (pair("model.encoder.layers.0.gate", 64, 16), {}, "layers.0.gate.lora_A.weight is for a"),
        (pair("proj_out", 40, 16), {}, "the token embedding or the output layer"),
        ({"x.lora_embedding_A": np.zeros((2, 2), np.float32)}, {}, "is for a module that"),
        ({}, {}, "no LoRA weights"),
        (dict(list(pair(QUERY, 16, 16).items())[:1]), {}, "q_proj.lora_A.weight has no"),
        (dict(list(pair(QUERY, 16, 16).items())[1:]), {}, "lora_B.weight has no lora_A"),
        ({"base_model.model.model.encoder.layer_norm.bias": np.zeros(16, np.float32)}, {},
         "no LoRA weights"),
        (pair(QUERY, 16, 16) | {f"base_model.model.{QUERY}.lora_magnitude_vector": np.ones(16)}, {},
         "lora_magnitude_vector is for a module"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_one_line(
    tiny: MemoryCheckpoint, write: Write, arrays: Arrays, config: dict[str, Any], said: str
) -> None:
    folder = write(arrays, **config)
    line = refusal(folder, tiny)
    assert said in line
    assert line.startswith(str(folder / "adapter_model.safetensors"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "an adapter of kind 'IA3'; only plain LoRA"),
        ({"peft_type": None}, "an adapter of kind None"),
        ({"use_dora": True}, "an adapter DoRA"),
        ({"lora_bias": True}, "LoRA with biases of its own"),
        ({"bias": "all"}, "LoRA that trained biases (bias 'all')"),
        ({"init_lora_weights": "pissa_niter_4"}, "began as 'pissa_niter_4'"),
        ({"layer_replication": [[0, 2]]}, "replicated layers"),
        ({"r": 0}, "r is 0, not a rank"),
        ({"r": None}, "r is None, not a rank"),
        ({"lora_alpha": "much"}, "lora_alpha is 'much', not a number"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern 'q_proj' is -1"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern 'q_proj' is None"),
        ({"alpha_pattern": {"(": 3}}, "has the pattern '(', which is none"),
        ({"rank_pattern": [3]}, "'rank_pattern' is no object"),
    ],
)
def test_settings_of_another_kind_or_damaged_are_one_line(
    tiny: MemoryCheckpoint, write: Write, config: dict[str, Any], said: str
) -> None:
    folder = write(pair(QUERY, 16, 16), **config)
    line = refusal(folder, tiny)
    assert said in line
    assert line.startswith(str(folder / "adapter_config.json"))


def test_a_file_that_is_missing_is_named(tiny: MemoryCheckpoint, write: Write) -> None:
    folder = write(pair(QUERY, 16, 16))
    (folder / "adapter_model.safetensors").rename(folder / "kept.safetensors")
    assert f"{folder / 'adapter_model.safetensors'}: missing" in refusal(folder, tiny)
    (folder / "adapter_config.json").unlink()
    assert f"{folder / 'adapter_config.json'}: missing" in refusal(folder, tiny)
    assert "adapter_config.json: missing" in refusal(folder / "kept.safetensors", tiny)
    with pytest.raises(ModelNotFoundError, match=r"nowhere: no such file or folder"):
        open_adapter(folder / "nowhere")


def test_a_file_cut_short_is_said_to_be_damaged(tiny: MemoryCheckpoint, write: Write) -> None:
    file = write(pair(QUERY, 16, 16)) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    assert "damaged or cut short" in refusal(file, tiny)


def test_numbers_that_are_none_are_found_when_they_are_merged(
    tiny: MemoryCheckpoint, write: Write
) -> None:
    arrays = pair(QUERY, 16, 16)
    arrays[f"base_model.model.{QUERY}.lora_B.weight"][3, 2] = np.nan
    merged = with_adapter(tiny, open_adapter(write(arrays)))
    with pytest.raises(CheckpointError, match=r"is not finite"):
        merged.read(f"{QUERY}.weight")


def test_a_model_in_8_bits_is_told_to_bring_its_full_weights(
    tiny: MemoryCheckpoint, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = Int8Matrix(np.zeros((16, 16), np.int8), np.ones((16, 1), np.float32))
    monkeypatch.setattr(MemoryCheckpoint, "read_int8", lambda self, name: stored)
    line = refusal(write(pair(QUERY, 16, 16)), tiny)
    assert "in 8 bits, and this adapter needs the full ones" in line
    assert "openai/whisper-base" in line
