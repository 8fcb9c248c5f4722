"""Ichigo's and WhisperSpeech's files: every layout gives the same arrays, every fault one line."""

import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.convention import ICHIGO
from tercet.checkpoint.head_naming import check_head
from tercet.checkpoint.ichigo import looks_like_ichigo, open_ichigo
from tercet.checkpoint.torch_file import open_torch_file
from tercet.errors import CheckpointError, TercetError, UnsafePickleError

torch = pytest.importorskip("torch")

FIXTURES = Path(__file__).parents[2] / "parity" / "fixtures"
CONFIG = {
    "codebook_dim": 4,
    "vq_codes": 6,
    "q_depth": 1,
    "n_head": 2,
    "head_width": 8,
    "ffn_mult": 2,
    "depth": 1,
    "use_cosine_sim": True,
    "downsample": 2,
    "whisper_model_name": "medium",
}
TUNABLES = {
    "init_std": 1.5,
    "query_mult": 2,
    "rope": True,
    "mask_embs": True,
    "downsample_conv": False,
    "downsample_mean": True,
    "codebook_dim": 32,
    "random": False,
    "output_mult": None,
}


def state_dict(
    *, width=16, rows=7, code_width=4, depth=1, head_width=8, metrics=True, positions=12
):
    """A quantizer as Ichigo's training names it, random."""
    random = torch.Generator().manual_seed(7)

    def make(*shape):
        return torch.randn(*shape, generator=random)

    state = {"mlp.0.weight": make(2 * width, width), "mlp.0.bias": make(2 * width)}
    state |= {"mlp.2.weight": make(width, 2 * width), "mlp.2.bias": make(width)}
    for norm in ("mlp_ln", "_out_blocks.0.attn_ln", "_out_blocks.0.mlp_ln", "ln_post"):
        state |= {f"{norm}.weight": make(width), f"{norm}.bias": make(width)}
    for level in range(depth):
        at = f"rq.layers.{level}"
        state |= {f"{at}.project_in.weight": make(code_width, width)}
        state |= {f"{at}.project_in.bias": make(code_width), f"{at}.project_out.bias": make(width)}
        state |= {f"{at}.project_out.weight": make(width, code_width)}
        state |= {f"{at}._codebook.embed": make(1, rows, code_width)}
        if metrics:
            state |= {f"{at}._codebook.embed_avg": make(1, rows, code_width)}
            state |= {f"{at}._codebook.cluster_size": make(1, rows)}
            state |= {f"{at}._codebook.initted": torch.ones(1)}
    state["positional_embedding.weight"] = make(positions, width)
    for part in ("query", "key", "value", "out"):
        state[f"_out_blocks.0.attn.{part}.weight"] = make(width, width)
        if part != "key":
            state[f"_out_blocks.0.attn.{part}.bias"] = make(width)
    for index, (out, into) in ((0, (2 * width, width)), (2, (width, 2 * width))):
        state[f"_out_blocks.0.mlp.{index}.weight"] = make(out, into)
        state[f"_out_blocks.0.mlp.{index}.bias"] = make(out)
    frequencies = 10000.0 ** -(torch.arange(0, head_width, 2) / head_width)
    state["_out_blocks.0.attn.rotary.inv_freq"] = frequencies
    if metrics:
        state |= {"val_true": torch.zeros(1), "val_total": torch.zeros(1)}
        state["_codebook_usage"] = torch.zeros(rows)
    return state


def lightning(state):
    return {
        "epoch": 4,
        "global_step": 99,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model.{key}": value for key, value in state.items()},
    }


def whisperspeech(state, config=None, tunables=None):
    return {
        "config": CONFIG | (config or {}),
        "tunables": TUNABLES | (tunables or {}),
        "state_dict": {key: value for key, value in state.items() if key != "_codebook_usage"},
    }


@pytest.fixture
def save(tmp_path):
    """`save(value, "name.pth")`: the path of a file that torch wrote."""

    def write(value, name="ichigo.pth"):
        torch.save(value, tmp_path / name)
        return tmp_path / name

    return write


def same_arrays(state, head, names):
    return [
        ours
        for ours, theirs in names.items()
        if not np.array_equal(state[theirs].numpy().squeeze(), head.arrays.read(ours))
    ]


NAMES = {
    "mlp.fc1.weight": "mlp.0.weight",
    "mlp.fc2.bias": "mlp.2.bias",
    "mlp.norm.weight": "mlp_ln.weight",
    "levels.0.project_in.weight": "rq.layers.0.project_in.weight",
    "levels.0.project_out.bias": "rq.layers.0.project_out.bias",
    "levels.0.codebook": "rq.layers.0._codebook.embed",
    "embed_positions.weight": "positional_embedding.weight",
    "blocks.0.self_attn.q_proj.bias": "_out_blocks.0.attn.query.bias",
    "blocks.0.self_attn.k_proj.weight": "_out_blocks.0.attn.key.weight",
    "blocks.0.self_attn.v_proj.weight": "_out_blocks.0.attn.value.weight",
    "blocks.0.self_attn.out_proj.weight": "_out_blocks.0.attn.out.weight",
    "blocks.0.self_attn_layer_norm.bias": "_out_blocks.0.attn_ln.bias",
    "blocks.0.fc1.weight": "_out_blocks.0.mlp.0.weight",
    "blocks.0.fc2.weight": "_out_blocks.0.mlp.2.weight",
    "blocks.0.final_layer_norm.weight": "_out_blocks.0.mlp_ln.weight",
    "layer_norm.weight": "ln_post.weight",
}


def test_a_lightning_checkpoint_opens_with_ichigos_settings(save):
    state = state_dict()
    head = open_ichigo(save(lightning(state)))
    check_head(head)
    assert [] == same_arrays(state, head, NAMES)
    assert (16, 2, 32, 4, 7) == (
        head.width, head.heads, head.mlp_width, head.code_width, head.codebook_size,
    )  # fmt: skip
    assert (6, 1, 1, 2, "mean") == (
        head.mask_code, head.depth, head.blocks, head.downsample, head.downsampling,
    )  # fmt: skip
    assert (True, 2.0, 12, False) == (
        head.has_rope, head.query_mult, head.positions, head.has_state_mean,
    )  # fmt: skip
    assert ICHIGO == head.convention
    assert ("ichigo", "CC-BY-NC-SA-4.0") == (head.origin.name, head.origin.licence)


def test_a_whisperspeech_model_opens_with_the_settings_in_it(save):
    state = state_dict()
    tunables = {"query_mult": 3.5, "downsample_mean": False}
    value = whisperspeech(state, {"downsample": 3}, tunables)
    head = open_ichigo(save(value, "vq.model"), name="seven languages")
    check_head(head)
    assert [] == same_arrays(state, head, NAMES)
    assert (6, 3, "stride", 3.5) == (
        head.mask_code, head.downsample, head.downsampling, head.query_mult,
    )  # fmt: skip
    assert ("seven languages", "MIT", "medium") == (
        head.origin.name, head.origin.licence, head.origin.encoder_name,
    )  # fmt: skip


def test_what_old_tunables_lack_has_the_value_it_had_then(save):
    state = state_dict(rows=6)
    del state["_out_blocks.0.attn.rotary.inv_freq"]
    value = whisperspeech(state) | {"tunables": {}}
    head = open_ichigo(save(value))
    assert (None, False, 1.0, "stride") == (
        head.mask_code, head.has_rope, head.query_mult, head.downsampling,
    )  # fmt: skip


def test_other_versions_names_give_the_same_arrays(save):
    state = state_dict()
    renamed = {
        key.replace("_out_blocks.", "out_blocks.").replace(
            "rq.layers.0.project", "rq.project"
        ): value
        for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    for value in (lightning(renamed), whisperspeech(renamed)):
        assert [] == same_arrays(state, open_ichigo(save(value)), NAMES)


def test_residual_levels_have_arrays_of_their_own(save):
    state = state_dict(depth=3)
    head = open_ichigo(save(lightning(state)))
    check_head(head)
    names = {
        ours.replace("levels.0", f"levels.{level}"): theirs.replace("layers.0", f"layers.{level}")
        for ours, theirs in NAMES.items()
        for level in range(3)
    }
    assert (3, []) == (head.depth, same_arrays(state, head, names))


@pytest.mark.parametrize(("rows", "mask"), [(2561, 2048), (513, 512), (2049, 2048), (1025, 1024)])
def test_the_mask_is_the_last_row_except_in_the_merged_layout(save, rows, mask):
    assert mask == open_ichigo(save(lightning(state_dict(rows=rows)))).mask_code


@pytest.mark.parametrize("kind", ["with metrics", "without"])
def test_what_training_counted_may_be_there_or_not(save, kind):
    state = state_dict(metrics=kind == "with metrics")
    assert [] == same_arrays(state, open_ichigo(save(lightning(state))), NAMES)


def test_a_convolution_is_found_by_its_weights(save):
    state = state_dict()
    state["downsample_conv.weight"] = torch.ones(16, 16, 3)
    state["downsample_conv.bias"] = torch.ones(16)
    head = open_ichigo(save(whisperspeech(state, tunables={"downsample_conv": True})))
    check_head(head)
    assert "conv" == head.downsampling


def test_heads_are_64_wide_where_nothing_says_otherwise(save):
    state = state_dict(width=128, head_width=64)
    del state["_out_blocks.0.attn.rotary.inv_freq"]
    assert 2 == open_ichigo(save(lightning(state))).heads


def test_half_precision_stays_as_it_is_stored(save):
    state = {key: value.half() for key, value in state_dict().items()}
    head = open_ichigo(save(lightning(state)))
    assert np.float16 == head.arrays.read("levels.0.codebook").dtype


def full_size(width):
    """The 36 tensors of the real size, zeros that take no room; of another width, scaled."""
    listed = json.loads((FIXTURES / "ichigo_fullsize_state_dict.json").read_text())["state_dict"]
    scale = {1024: width, 4096: 4 * width}
    state = {}
    for key, shape in listed.items():
        shape = [scale.get(size, size) for size in shape]
        state[key] = torch.zeros(shape)
    frequencies = 10000.0 ** -(torch.arange(0, 64, 2) / 64)
    state["_out_blocks.0.attn.rotary.inv_freq"] = frequencies
    return state


@pytest.mark.parametrize(
    ("width", "heads", "encoder", "parameters"),
    [(1024, 16, "medium", 22_661_184), (1280, 20, "large-v3", 34_880_064)],
)
def test_the_real_sizes_open_with_all_their_parameters(save, width, heads, encoder, parameters):
    state = full_size(width)
    assert 36 == len(state)
    head = open_ichigo(save(lightning(state)))
    check_head(head)
    assert (width, heads, 4 * width, 64, 2561, 2048) == (
        head.width, head.heads, head.mlp_width, head.code_width, head.codebook_size, head.mask_code,
    )  # fmt: skip
    assert encoder == head.origin.encoder_name
    counted = sum(
        math.prod(head.arrays.shape(name))
        for name in head.arrays.names()
        if not name.endswith("codebook")
    )
    assert parameters == counted


class Touch:
    """What a hostile file would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


class TrainerState:
    """A class that whoever opens the file does not have."""

    def __init__(self):
        self.best = torch.ones(3)
        self.folder = Path("checkpoints")


def test_what_lightning_adds_is_passed_over_and_nothing_of_it_runs(save):
    state = state_dict()
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    value = lightning(state) | {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"base_lrs": [1e-3], "_step_count": 1}],
        "hyper_parameters": {"phase": 2, "strategy": "ddp", "resume_from": Path("x"), "lr0": 1e-3},
        "hparams_name": "kwargs",
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9), "kth": {1, 2}}},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": TrainerState()}},
        "MixedPrecision": {"scale": 65536.0, "_growth_tracker": 3},
        "rng": np.random.default_rng(0).bit_generator.state,
        "dtype": torch.float16,
    }
    head = open_ichigo(save(value))
    assert [] == same_arrays(state, head, NAMES)


def test_a_file_that_wants_to_run_something_is_refused(save, tmp_path):
    value = lightning(state_dict()) | {"callbacks": Touch(tmp_path / "touched")}
    with pytest.raises(UnsafePickleError, match="nothing was run"):
        open_ichigo(save(value))
    assert not (tmp_path / "touched").exists()


def without(key):
    return lambda state: state.pop(key)


def put(key, *shape):
    return lambda state: state.__setitem__(key, torch.ones(shape))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("ln_post.weight"), "ln_post.weight is missing"),
        (without("rq.layers.0._codebook.embed"), "rq.layers.0._codebook.embed is missing"),
        (without("positional_embedding.weight"), "positional_embedding.weight is missing"),
        (without("rq.layers.0.project_in.bias"), "rq.layers.0.project_in.bias is missing"),
        (put("adapter.weight", 3), "'adapter.weight' is unknown"),
        (put("two\nlines", 3), "is unknown"),
        (put("_out_blocks.0.cross_attn.query.weight", 16, 16), "unknown"),
        (put("out_blocks.0.attn_ln.bias", 16), "there twice"),
        (put("_out_blocks.2.attn_ln.bias", 16), "blocks are missing"),
        (put("rq.layers.2._codebook.embed", 1, 7, 4), "levels or blocks are missing"),
        (put("rq.layers.0._codebook.embed", 2, 7, 4), "is no matrix"),
        (put("rq.layers.0._codebook.embed", 1, 0, 4), "has shape [1, 0, 4]"),
        (put("rq.layers.0._codebook.embed", 1, 7, 5), "instead of [5, 16]"),
        (put("mlp.2.weight", 16, 16), "has shape [16, 16] instead of [16, 32]"),
        (put("mlp.2.weight", 1, 1, 1, 1, 1), "has shape [1, 1, 1, 1, 1]"),
        (put("positional_embedding.weight", 11, 16), "no multiple of 2"),
        (put("_out_blocks.0.attn.rotary.inv_freq", 4), "rotary positions with base 10000"),
        (put("_out_blocks.0.attn.rotary.inv_freq"), "rotary positions with base 10000"),
    ],
)
def test_tensors_that_are_missing_odd_or_too_many_are_one_line(save, change, said):
    state = state_dict()
    change(state)
    path = save(lightning(state))
    with pytest.raises(CheckpointError) as caught:
        open_ichigo(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "tunables", "said"),
    [
        ({"vq_codes": 9}, {}, "9 codes, its codebook 7 rows"),
        ({}, {"mask_embs": False}, "6 codes, its codebook 7 rows"),
        ({"use_cosine_sim": False}, {}, "searched by distance"),
        ({"head_width": 4}, {}, "head_width 4, its rotary positions 8"),
        ({"n_head": 3}, {}, "3 heads of 8"),
        ({"downsample": "2"}, {}, "downsample '2'"),
        ({"downsample": -1}, {}, "downsample '-1'"),
        ({}, {"rope": False}, "no rotary positions"),
        ({}, {"query_mult": "much"}, "query_mult 'much'"),
        ({}, {"query_mult": float("nan")}, "query_mult 'nan'"),
        ({}, {"downsample_mean": 7}, "downsample_mean '7'"),
    ],
)
def test_settings_that_contradict_the_tensors_are_one_line(save, config, tunables, said):
    with pytest.raises(CheckpointError) as caught:
        open_ichigo(save(whisperspeech(state_dict(), config, tunables)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levels_behind_one_projection_are_named(save):
    state = {
        key.replace("rq.layers.0.project", "rq.project"): value
        for key, value in state_dict(depth=2).items()
        if not key.startswith("rq.layers.1.project")
    }
    with pytest.raises(CheckpointError, match="2 residual levels behind one projection"):
        open_ichigo(save(lightning(state)))


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {"state_dict": None},
        {"model_state_dict": {}, "dims": {}},
        {"state_dict": {"encoder.conv1.weight": torch.ones(2)}},
        {"config": 7, "state_dict": {}},
    ],
)
def test_other_files_of_torch_are_one_line(save, value):
    with pytest.raises(CheckpointError) as caught:
        open_ichigo(save(value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"PK\x03\x04rest", b"\x80\x02}q\x00."])
def test_files_that_torch_did_not_write_are_one_line(tmp_path, content):
    path = tmp_path / "some.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_ichigo(path)
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_an_error_and_nothing_else(save, tmp_path):
    whole = save(lightning(state_dict())).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(1, len(whole), len(whole) // 60):
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            open_ichigo(cut)


def test_damaged_pickles_give_a_quantizer_or_one_error(save, tmp_path):
    random = np.random.default_rng(0)
    with zipfile.ZipFile(save(lightning(state_dict()))) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    root = next(name for name in members if name.endswith("data.pkl"))
    path = tmp_path / "damaged.pth"
    faults = []
    for _ in range(200):
        raw = bytearray(members[root])
        for at in random.integers(0, len(raw), 3):
            raw[at] = random.integers(256)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, bytes(raw) if name == root else content)
        try:
            check_head(open_ichigo(path))
        except TercetError as error:
            faults.append(str(error))
    assert 100 < len(faults)
    assert [] == [line for line in faults if "\n" in line]


def test_only_these_layouts_look_like_ichigo(save):
    state = state_dict()
    for value in (lightning(state), whisperspeech(state)):
        assert looks_like_ichigo(open_torch_file(save(value)).value)
    assert not looks_like_ichigo({"state_dict": {"time_tr.attn.query.weight": 1}})
    assert not looks_like_ichigo({"dims": {}, "model_state_dict": {}})
    assert not looks_like_ichigo(state)
    assert not looks_like_ichigo([1])


def test_opening_and_building_graphs_load_no_torch():
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tercet.checkpoint.ichigo import open_ichigo\n"
        "from tercet.convert.quantizer import decode_graph, encode_graph\n"
        f"head = open_ichigo(Path({str(FIXTURES / 'ichigo_parity_merged_tiny.pth')!r}))\n"
        "encode_graph(head), decode_graph(head)\n"
        "print(head.codebook_size, 'torch' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "2561 False\n" == run.stdout, run.stderr


def test_the_stream_form_of_torch_opens_too(tmp_path):
    state = state_dict()
    path = tmp_path / "old.pth"
    torch.save(lightning(state), path, _use_new_zipfile_serialization=False)
    assert b"\x80" == path.read_bytes()[:1]
    assert [] == same_arrays(state, open_ichigo(path), NAMES)
