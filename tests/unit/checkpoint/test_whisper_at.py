"""Whisper-AT's files: every mode is known by its names and shapes, and a bad file is one line."""

import math
import zipfile

import numpy as np
import pytest

from tercet.audio.convention import SHARED
from tercet.checkpoint.head_naming import check_head
from tercet.checkpoint.whisper_at import WHISPER_AT_KEYS, looks_like_whisper_at, open_whisper_at
from tercet.errors import (
    CheckpointError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    UnsafePickleError,
)

torch = pytest.importorskip("torch")

D, LAYERS = 16, 3


def block(name: str, d: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.attn.key.weight": (d, d)}
    for part in ("query", "value", "out"):
        shapes |= {f"{name}.attn.{part}.weight": (d, d), f"{name}.attn.{part}.bias": (d,)}
    for norm in ("attn_ln", "mlp_ln"):
        shapes |= {f"{name}.{norm}.weight": (d,), f"{name}.{norm}.bias": (d,)}
    shapes |= {f"{name}.mlp.0.weight": (4 * d, d), f"{name}.mlp.0.bias": (4 * d,)}
    return shapes | {f"{name}.mlp.2.weight": (d, 4 * d), f"{name}.mlp.2.bias": (d,)}


def shapes_of(mode: str, labels: int = 527) -> dict[str, tuple[int, ...]]:
    """What a file of this mode holds (16 wide, 3 layers)."""
    shapes: dict[str, tuple[int, ...]] = {}
    d = D
    if "_down_" in mode:
        d = int(mode.split("_")[3])
        shapes |= {"down_layer.0.weight": (D,), "down_layer.0.bias": (D,)}
        shapes |= {"down_layer.1.weight": (d, D), "down_layer.1.bias": (d,)}
    if mode.startswith("wa"):
        shapes["layer_weight"] = (LAYERS,)
    if "_tr" in mode:
        shapes |= block("time_tr", d)
    if mode.startswith(("lw", "tl")):
        shapes |= block("layer_tr", d)
    shapes |= {"mlp_layer.0.weight": (d,), "mlp_layer.0.bias": (d,)}
    return shapes | {"mlp_layer.1.weight": (labels, d), "mlp_layer.1.bias": (labels,)}


def weights_of(mode: str, prefix: str = "at_model.", labels: int = 527) -> dict:
    rng = np.random.default_rng(0)
    return {
        prefix + name: torch.from_numpy(rng.normal(size=shape).astype(np.float32))
        for name, shape in shapes_of(mode, labels).items()
    }


@pytest.fixture
def saved(tmp_path):
    """`saved(value, name)`: the path of a file that torch.save wrote."""

    def save(value, name="head.pth"):
        torch.save(value, tmp_path / name)
        return tmp_path / name

    return save


def error_of(path, kind=CheckpointError, **options):
    with pytest.raises(kind) as caught:
        open_whisper_at(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or kind is OptionError
    return message


MODES = {
    "last_mlp": (4, "last", None, D, 0, 0),
    "mean_mlp": (4, "mean", None, D, 0, 0),
    "wa_mlp": (5, "weighted", LAYERS, D, 0, 0),
    "last_tr_8": (19, "last", None, D, 8, 0),
    "mean_tr_2": (19, "mean", None, D, 2, 0),
    "wa_tr_1": (20, "weighted", LAYERS, D, 1, 0),
    "wa_tr_8": (20, "weighted", LAYERS, D, 8, 0),
    "wa_down_tr_8_2": (24, "weighted", LAYERS, 8, 2, 0),
    "lw_tr_1_8": (34, "each", None, D, 1, 8),
    "lw_tr_2_4": (34, "each", None, D, 2, 4),
    "lw_down_tr_24_1_8": (38, "each", None, 24, 1, 8),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_training_mode_opens_to_the_head_that_it_names(saved, mode):
    tensors, layers, n_layers, hidden, time_heads, layer_heads = MODES[mode]
    weights = weights_of(mode, "module.")
    assert tensors == len(weights)
    head = open_whisper_at(saved(weights), mode=mode)
    assert (layers, n_layers, D, hidden) == (head.layers, head.n_layers, head.width, head.hidden)
    assert (time_heads, layer_heads, mode) == (head.time_heads, head.layer_heads, head.mode)
    assert ("_down_" in mode) == head.has_projection
    check_head(head)


@pytest.mark.parametrize("mode", ["wa_mlp", "lw_tr_1_8", "lw_down_tr_24_1_8"])
def test_names_and_shapes_are_enough_for_a_head_that_they_tell(saved, mode):
    assert mode == open_whisper_at(saved(weights_of(mode))).mode


def test_the_package_calls_lw_tl(saved):
    path = saved(weights_of("tl_tr_1_8"))
    assert "lw_tr_2_4" == open_whisper_at(path, mode="tl_tr_2_4").mode


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("last_mlp", "give mode last_mlp, or mean_mlp"),
        ("mean_tr_2", "give mode last_tr_H, .*or mean_tr_H"),
        ("wa_tr_8", "how many heads.*give mode wa_tr_H"),
        ("wa_down_tr_8_2", "how many heads.*give mode wa_down_tr_D_H"),
    ],
)
def test_a_head_that_names_and_shapes_do_not_tell_is_asked_for(saved, mode, words):
    path = saved(weights_of(mode))
    with pytest.raises(HeadError, match=rf"{words}.*\(tercet convert --head_mode\)"):
        open_whisper_at(path)


@pytest.mark.parametrize(
    ("kept", "mode"),
    [
        ("lw_tr_1_8", "wa_tr_8"),
        ("lw_tr_1_8", "lw_down_tr_16_1_8"),
        ("lw_tr_1_8", "last_tr_8"),
        ("lw_down_tr_24_1_8", "lw_down_tr_512_1_8"),
        ("lw_down_tr_24_1_8", "lw_tr_1_8"),
        ("last_mlp", "last_tr_8"),
        ("last_mlp", "wa_mlp"),
        ("last_tr_8", "last_mlp"),
        ("last_tr_8", "lw_tr_1_8"),
        ("wa_mlp", "mean_mlp"),
        ("wa_tr_8", "wa_mlp"),
    ],
)
def test_a_mode_that_the_file_does_not_have_is_an_error(saved, kept, mode):
    message = error_of(saved(weights_of(kept)), OptionError, mode=mode)
    assert f"mode '{mode}' does not fit" in message


@pytest.mark.parametrize(
    "mode",
    [
        "",
        "tr",
        "last",
        "last_tr",
        "lw_tr_1",
        "lw_tr_1_8_8",
        "wa_down_tr_8",
        "lw_mlp",
        "last_tr_0",
        "last_mlp_3",
        "best_tr_8",
        "lw_tr_1_8\n",
        "last_tr_٣",
    ],
)
def test_a_mode_that_nobody_has_is_an_error(saved, mode):
    with pytest.raises(OptionError, match=r"^mode is .*; give last_mlp"):
        open_whisper_at(saved(weights_of("last_mlp")), mode=mode)


def test_heads_that_do_not_divide_the_width_are_an_error(saved):
    message = error_of(saved(weights_of("wa_tr_8")), OptionError, mode="wa_tr_5")
    assert "5 heads do not divide its width 16" in message


@pytest.mark.parametrize("prefix", ["at_model.", "module.", "", "module.at_model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_prefixes_and_wrappings_are_seen_through(saved, prefix, wrapper):
    weights = weights_of("lw_tr_1_8", prefix)
    path = saved(weights if wrapper is None else {"epoch": 3, wrapper: weights})
    head = open_whisper_at(path)
    expected = weights[f"{prefix}layer_tr.mlp.2.weight"].numpy()
    np.testing.assert_array_equal(expected, head.arrays.read("layer_block.fc2.weight"))


def test_the_head_of_a_whole_model_is_found_in_it(saved):
    rest = {"encoder.conv1.weight": torch.zeros(2, 2, 3), "decoder.ln.bias": torch.zeros(2)}
    path = saved({"dims": {"n_mels": 80}, "model_state_dict": weights_of("lw_tr_1_8") | rest})
    assert 34 == len(open_whisper_at(path).arrays.names())


def test_half_precision_stays_half(saved):
    weights = {name: one.half() for name, one in weights_of("wa_mlp").items()}
    head = open_whisper_at(saved(weights))
    assert np.float16 == head.arrays.read("classifier.proj.weight").dtype


def test_what_the_file_does_not_say_is_what_the_package_does(saved):
    head = open_whisper_at(saved(weights_of("lw_tr_1_8"), "medium.en_ori.pth"))
    assert None is head.labels
    assert (5, 1, SHARED) == (head.window_frames, head.hop_frames, head.convention)
    [threshold] = head.thresholds
    assert -1 == pytest.approx(math.log(threshold / (1 - threshold)))
    origin = head.origin
    assert ("medium.en_ori", "medium.en") == (origin.name, origin.encoder_name)
    assert "BSD-2-Clause" == origin.licence
    assert "Whisper-AT" in origin.source
    assert None is origin.encoder


def test_a_name_can_be_given(saved):
    head = open_whisper_at(saved(weights_of("wa_mlp")), name="mine")
    assert ("mine", "") == (head.origin.name, head.origin.encoder_name)


def test_other_numbers_of_labels_have_placeholders_or_given_names(saved):
    path = saved(weights_of("wa_mlp", labels=3))
    assert ("class 0", "class 1", "class 2") == open_whisper_at(path).labels
    assert ("a", "b", "c") == open_whisper_at(path, labels=["a", "b", "c"]).labels
    assert "2 labels for a head of 3" in error_of(path, OptionError, labels=["a", "b"])


def test_the_table_names_every_module_once():
    assert 20 == len(WHISPER_AT_KEYS) == len(set(WHISPER_AT_KEYS.values()))


def test_names_alone_tell_whether_a_file_holds_a_head():
    assert looks_like_whisper_at(weights_of("last_mlp"))
    assert looks_like_whisper_at(weights_of("lw_tr_1_8", ""))
    assert not looks_like_whisper_at(["encoder.conv1.weight", "mlp.0.weight", "mlp_layer.0.weight"])
    assert not looks_like_whisper_at(["other_mlp_layer.1.weight"])


# Bad files


def test_no_file_is_one_line(tmp_path):
    assert "no such file" in error_of(tmp_path / "none.pth", ModelNotFoundError)
    assert "no such file" in error_of(tmp_path, ModelNotFoundError)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"encoder.conv1.weight": torch.zeros(2)}, "a Whisper model without a tag head"),
        ({"model.encoder.conv1.weight": torch.zeros(2)}, "a Whisper model without a tag head"),
        ({"dims": {}, "model_state_dict": {}}, "a Whisper model without a tag head"),
        ({"state_dict": {"model.rq.layers.0._codebook.embed": torch.zeros(2)}}, "a quantizer"),
        ({"weight": torch.zeros(2)}, "no tag head of Whisper-AT"),
        ({}, "no tag head of Whisper-AT"),
        ([torch.zeros(2)], "not named tensors"),
    ],
)
def test_another_kind_of_file_is_told_apart(saved, state, words):
    assert words in error_of(saved(state))


@pytest.mark.parametrize("mode", ["lw_down_tr_24_1_8", "wa_tr_8"])
def test_every_missing_tensor_is_an_error(saved, mode):
    weights = weights_of(mode)
    for key in weights:
        rest = {name: one for name, one in weights.items() if name != key}
        with pytest.raises((CheckpointError, OptionError, HeadError)) as caught:
            open_whisper_at(saved(rest), mode=mode)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("time_tr.attn.query.weight", (D, D + 1)),
        ("time_tr.attn.query.weight", (D * D,)),
        ("layer_tr.mlp.0.weight", (2 * D, D)),
        ("mlp_layer.1.bias", (526,)),
        ("mlp_layer.1.weight", (527,)),
        ("mlp_layer.1.weight", (0, D)),
        ("mlp_layer.0.weight", (D, 1)),
    ],
)
def test_an_odd_shape_is_an_error(saved, key, shape):
    weights = weights_of("lw_tr_1_8") | {f"at_model.{key}": torch.zeros(shape)}
    assert f"{key} has shape {list(shape)}" in error_of(saved(weights))


def test_more_labels_than_the_file_has_bytes_for_take_no_memory(saved):
    vast = torch.zeros(1, D).expand(10**11, D)
    weights = weights_of("lw_tr_1_8") | {"at_model.mlp_layer.1.weight": vast}
    assert "reaches outside its storage" in error_of(saved(weights))


def test_an_unknown_tensor_is_an_error(saved):
    weights = weights_of("lw_tr_1_8") | {"at_model.time_tr.lora_A": torch.zeros(2)}
    assert "time_tr.lora_A unknown" in error_of(saved(weights))
    weights = weights_of("lw_tr_1_8") | {"at_model.layer_weight": torch.zeros(3)}
    assert "layer_weight unknown" in error_of(saved(weights))


def test_a_file_cut_short_is_one_line(saved):
    path = saved(weights_of("lw_tr_1_8"))
    whole = path.read_bytes()
    for kept in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:kept])
        error_of(path)


def test_a_file_whose_tensors_lost_their_bytes_is_one_line(saved, tmp_path):
    path = saved(weights_of("wa_mlp"))
    hollow = tmp_path / "hollow.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(hollow, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 8 if "/data/" in name else None])
    assert "reaches outside its storage" in error_of(hollow)


def test_a_file_that_wants_to_run_code_is_refused(saved):
    class Call:
        def __reduce__(self):
            import os

            return os.system, ("true",)

    with pytest.raises(UnsafePickleError):
        open_whisper_at(saved(weights_of("wa_mlp") | {"extra": Call()}))


def test_a_web_page_is_one_line(tmp_path):
    path = tmp_path / "tiny_ori.pth"
    path.write_text("<!doctype html><title>Not found</title>")
    assert "not a file that torch.save wrote" in error_of(path)
