"""Whisper-AT's heads: what they give, which files hold them, what they cost.

Logits and taps are compared with the original's, computed once (`fixtures/README.md`); names, sizes and costs
with what its published files have.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.heads import TagHead
from tercet.checkpoint.naming import expected_shapes, openai_slots
from tercet.checkpoint.whisper_at import open_whisper_at
from tercet.convert.tag_head import tag_head_graph
from tercet.engine.graph_tag_scorer import GraphTagScorer
from tercet.engine.onnx import FLOAT32, OnnxEncoder, OnnxGraph
from tercet.engine.protocol import Encoder, TagScorer
from tercet.model import load_torch

torch = pytest.importorskip("torch")

FIXTURES = Path(__file__).parent / "fixtures"
TRAINED = (
    *("last_mlp", "mean_mlp", "wa_mlp", "last_tr_8", "mean_tr_8", "wa_tr_1", "wa_tr_8"),
    *("wa_down_tr_32_1", "lw_tr_1_8", "lw_down_tr_32_1_8"),
)
PACKAGED = ("tl_tr_1_8", "tl_down_tr_32_1_8")
FRAMES_PER_S = 2.5


# Scorers and encoders: whoever computes, and how far from the original it may be.


def open_onnx(head: TagHead) -> TagScorer:
    return GraphTagScorer(OnnxGraph(tag_head_graph(head), threads=1), head)


def open_openvino(head: TagHead) -> TagScorer:
    from tercet.engine.openvino import OpenVinoGraph

    usual = {"taps": (3, 75, head.width), "windows": (71, 5)}
    build = partial(tag_head_graph, head)
    graph = OpenVinoGraph(build, threads=1, arithmetic="f32", usual=usual)
    return GraphTagScorer(graph, head)


def open_torch(head: TagHead) -> TagScorer:
    from tercet.model.tag_scorer import TorchTagScorer

    return TorchTagScorer(head)


def onnx_encoder(checkpoint: MemoryCheckpoint) -> Encoder:
    return OnnxEncoder(checkpoint, FLOAT32, threads=1, taps=True)


def openvino_encoder(checkpoint: MemoryCheckpoint) -> Encoder:
    from tercet.engine.openvino import OpenVinoEncoder

    return OpenVinoEncoder(checkpoint, FLOAT32, threads=1, taps=True, arithmetic="f32")


def torch_encoder(checkpoint: MemoryCheckpoint) -> Encoder:
    return load_torch(checkpoint)[0]


@dataclass(frozen=True)
class Implementation:
    """One engine, and its largest absolute difference."""

    open_scorer: Callable[[TagHead], TagScorer]
    open_encoder: Callable[[MemoryCheckpoint], Encoder]
    tolerance: float = 1e-4


IMPLEMENTATIONS = {
    "onnx": Implementation(open_onnx, onnx_encoder),
    "torch": Implementation(open_torch, torch_encoder),
}
if importlib.util.find_spec("openvino") is not None:
    IMPLEMENTATIONS["openvino"] = Implementation(open_openvino, openvino_encoder)


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Each engine in turn."""
    return IMPLEMENTATIONS[request.param]


@pytest.fixture(scope="module")
def original() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "whisper_at_parity_heads.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def head_of(original, tmp_path) -> Callable[[str, str], TagHead]:
    """`head_of("train", mode)`: the original's weights, through a file in its own layout."""

    def read(side: str, mode: str) -> TagHead:
        prefix = {"train": "module.", "pkg": "at_model."}[side]
        root = f"{side}/{mode}/w/"
        weights = {
            prefix + name.removeprefix(root): torch.from_numpy(array)
            for name, array in original.items()
            if name.startswith(root)
        }
        assert len(weights) >= 4
        path = tmp_path / f"{mode}.pth"
        torch.save(weights, path)
        return open_whisper_at(path, mode=mode)

    return read


def check(expected: np.ndarray, got: np.ndarray, tolerance: float) -> None:
    assert expected.shape == got.shape
    np.testing.assert_allclose(expected, got, atol=tolerance, rtol=0)


@pytest.mark.parametrize("mode", TRAINED)
def test_a_head_of_the_training_code_gives_its_logits(implementation, original, head_of, mode):
    head = head_of("train", mode)
    assert mode == head.mode
    scorer = implementation.open_scorer(head)
    got = [scorer.score(taps, np.arange(25)[None])[0] for taps in original["x"]]
    check(original[f"train/{mode}/y"], np.stack(got), implementation.tolerance)


def row_windows(taps: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Windows laid end to end, and the taps with zeros behind them, as the package has it."""
    frames = round(seconds * FRAMES_PER_S)
    rows = -(-taps.shape[1] // frames)
    behind = rows * frames - taps.shape[1]
    return np.pad(taps, ((0, 0), (0, behind), (0, 0))), np.arange(rows * frames).reshape(rows, -1)


@pytest.mark.parametrize("mode", PACKAGED)
def test_a_head_of_the_package_gives_its_logits_at_every_resolution(
    implementation, original, head_of, mode
):
    scorer = implementation.open_scorer(head_of("pkg", mode))
    for resolution in ("0.4", "2", "10", "12", "30", "40"):
        padded, windows = row_windows(original["pooled"], float(resolution))
        expected = original[f"pkg/{mode}/y_{resolution}"]
        check(expected, scorer.score(padded, windows), implementation.tolerance)


@pytest.mark.parametrize("mode", PACKAGED)
def test_a_head_of_the_package_gives_its_logits_from_a_later_frame(
    implementation, original, head_of, mode
):
    scorer = implementation.open_scorer(head_of("pkg", mode))
    padded, windows = row_windows(original["pooled"][:, 7:], 10)
    expected = original[f"pkg/{mode}/y_10_from_frame_7"]
    check(expected, scorer.score(padded, windows), implementation.tolerance)


@pytest.mark.parametrize("mode", PACKAGED)
def test_taps_in_half_precision_are_taken_too(implementation, original, head_of, mode):
    """The package computes them in half precision, which this pins to no more than that."""
    scorer = implementation.open_scorer(head_of("pkg", mode))
    padded, windows = row_windows(original["pooled"].astype(np.float16), 10)
    check(original[f"pkg/{mode}/y_10_half_input"], scorer.score(padded, windows), 5e-3)


# The encoder before the heads


@pytest.fixture(scope="module")
def encoder_fixture() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "whisper_at_parity_encoder.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def encoder_checkpoint(encoder_fixture) -> MemoryCheckpoint:
    """The original's encoder; the decoder beside it is never run."""
    sizes = {"encoder_layers": 3, "encoder_heads": 2, "decoder_layers": 1, "decoder_heads": 2}
    geometry = Geometry(n_mels=80, width=64, vocab_size=90, n_text_ctx=20, **sizes)
    slots = openai_slots(geometry)
    arrays = {}
    for name, shape in expected_shapes(geometry).items():
        key = "enc/w/" + slots[name].key.removeprefix("encoder.")
        is_encoder = name.startswith("model.encoder.")
        arrays[name] = encoder_fixture[key] if is_encoder else np.zeros(shape, np.float32)
    return MemoryCheckpoint(geometry, arrays)


@pytest.mark.parametrize(("columns", "taps"), [(3000, "pooled30"), (1000, "pooled10")])
def test_taps_are_the_originals(implementation, encoder_checkpoint, encoder_fixture, columns, taps):
    """Of the package's pass of 30 s, and of the training's of 10 s (the first third of the positions)."""
    mel = np.ascontiguousarray(encoder_fixture["mel30"][0, :, :columns])
    encoded = implementation.open_encoder(encoder_checkpoint).encode(mel)
    check(encoder_fixture[taps], np.asarray(encoded.taps), implementation.tolerance)


# Published files

LAYERS = {"tiny": 4, "base": 6, "small": 12, "medium": 24, "large": 32}
WIDTHS = {"tiny": 384, "base": 512, "small": 768, "medium": 1024, "large": 1280}
TL_TR = {"tiny": 3.752, "base": 6.575, "small": 14.581, "medium": 25.733, "large": 40.030}
TL_TR_512 = {"tiny": 6.773, "base": 6.839, "small": 6.970, "medium": 7.102, "large": 7.234}
PUBLISHED = (
    *("tiny.en_ori", "tiny_ori", "base.en_ori", "base_ori", "small.en_ori", "small_ori"),
    *("medium.en_ori", "medium_ori", "large-v1_ori", "large-v2_ori", "small.en_low", "small_low"),
    *("medium.en_low", "medium_low", "large-v1_low", "large-v2_low"),
)


def size_of(release: str) -> str:
    found = re.match(r"[a-z]+", release)
    assert found
    return found[0]


def published_shapes(width: int, *, is_low: bool) -> dict[str, tuple[int, ...]]:
    """What a released file holds, name by name."""
    d = 512 if is_low else width
    shapes: dict[str, tuple[int, ...]] = {}
    if is_low:
        shapes |= {
            "at_model.down_layer.0.weight": (width,),
            "at_model.down_layer.0.bias": (width,),
            "at_model.down_layer.1.weight": (512, width),
            "at_model.down_layer.1.bias": (512,),
        }
    for block in ("at_model.time_tr", "at_model.layer_tr"):
        shapes |= {
            f"{block}.attn.query.weight": (d, d),
            f"{block}.attn.query.bias": (d,),
            f"{block}.attn.key.weight": (d, d),
            f"{block}.attn.value.weight": (d, d),
            f"{block}.attn.value.bias": (d,),
            f"{block}.attn.out.weight": (d, d),
            f"{block}.attn.out.bias": (d,),
            f"{block}.attn_ln.weight": (d,),
            f"{block}.attn_ln.bias": (d,),
            f"{block}.mlp.0.weight": (4 * d, d),
            f"{block}.mlp.0.bias": (4 * d,),
            f"{block}.mlp.2.weight": (d, 4 * d),
            f"{block}.mlp.2.bias": (d,),
            f"{block}.mlp_ln.weight": (d,),
            f"{block}.mlp_ln.bias": (d,),
        }
    return shapes | {
        "at_model.mlp_layer.0.weight": (d,),
        "at_model.mlp_layer.0.bias": (d,),
        "at_model.mlp_layer.1.weight": (527, d),
        "at_model.mlp_layer.1.bias": (527,),
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Iterator[Path]:
    """A folder with a file of every release's name and layout; equal weights share one storage."""
    folder = tmp_path_factory.mktemp("published")
    random = torch.randn(4 * 1280 * 1280, generator=torch.Generator().manual_seed(0)) * 0.02
    first: dict[tuple[int, bool], Path] = {}
    for release in PUBLISHED:
        kind = WIDTHS[size_of(release)], release.endswith("_low")
        path = folder / f"{release}.pth"
        if kind in first:  # the English and both large ones have the same shapes
            os.link(first[kind], path)
            continue
        shapes = published_shapes(kind[0], is_low=kind[1])
        assert (38 if kind[1] else 34) == len(shapes)
        torch.save({k: random[: int(np.prod(s))].view(s) for k, s in shapes.items()}, path)
        first[kind] = path
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("release", PUBLISHED)
def test_a_published_file_says_what_it_is(published, release):
    size, is_low = size_of(release), release.endswith("_low")
    head = open_whisper_at(published / f"{release}.pth")
    assert ("lw_down_tr_512_1_8" if is_low else "lw_tr_1_8") == head.mode
    assert (WIDTHS[size], None, 527) == (head.width, head.n_layers, head.n_labels)
    assert (512 if is_low else WIDTHS[size]) == head.hidden
    assert (release, release.rpartition("_")[0]) == (head.origin.name, head.origin.encoder_name)
    count = sum(head.arrays.read(name).size for name in head.arrays.names())
    assert (TL_TR_512 if is_low else TL_TR)[size] == pytest.approx(count / 1e6, abs=0.0005)


def test_published_files_convert_without_torch(published):
    program = """
import json, sys
from pathlib import Path
from tercet.checkpoint.whisper_at import open_whisper_at
from tercet.convert.tag_head import tag_head_graph
modes = {}
for path in sorted(Path(sys.argv[1]).glob("*.pth")):
    head = open_whisper_at(path)
    modes[path.stem] = [head.mode, len(tag_head_graph(head).weights) > 10]
print(json.dumps([modes, "torch" in sys.modules]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(published)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    modes, has_torch = json.loads(run.stdout)
    assert not has_torch
    expected = {
        release: ["lw_down_tr_512_1_8" if release.endswith("_low") else "lw_tr_1_8", True]
        for release in PUBLISHED
    }
    assert expected == modes


def test_a_file_keeps_every_value(tmp_path):
    shapes = published_shapes(384, is_low=False)
    generator = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    torch.save(weights, tmp_path / "tiny_ori.pth")
    head = open_whisper_at(tmp_path / "tiny_ori.pth")
    expected = {
        "time_block.self_attn.q_proj.weight": "time_tr.attn.query.weight",
        "time_block.self_attn.k_proj.weight": "time_tr.attn.key.weight",
        "layer_block.self_attn.v_proj.bias": "layer_tr.attn.value.bias",
        "layer_block.self_attn.out_proj.weight": "layer_tr.attn.out.weight",
        "time_block.self_attn_layer_norm.bias": "time_tr.attn_ln.bias",
        "time_block.final_layer_norm.weight": "time_tr.mlp_ln.weight",
        "layer_block.fc1.bias": "layer_tr.mlp.0.bias",
        "layer_block.fc2.weight": "layer_tr.mlp.2.weight",
        "classifier.norm.weight": "mlp_layer.0.weight",
        "classifier.proj.bias": "mlp_layer.1.bias",
    }
    assert 34 == len(head.arrays.names())
    for ours, theirs in expected.items():
        np.testing.assert_array_equal(weights[f"at_model.{theirs}"].numpy(), head.arrays.read(ours))


# Costs, in multiply-accumulates per 10 s

TL_TR_GMAC = {"tiny": 0.186, "base": 0.495, "small": 2.220, "medium": 7.884, "large": 16.412}
TL_TR_512_GMAC = {"tiny": 0.350, "base": 0.534, "small": 1.108, "medium": 2.294, "large": 3.163}
WA_TR_GMAC = {"tiny": 0.045, "base": 0.080, "small": 0.178, "medium": 0.316, "large": 0.494}
WA_TR = {"tiny": 1.98, "base": 3.42, "small": 7.49, "medium": 13.14, "large": 20.35}
MLP = {"tiny": 0.204, "base": 0.271, "small": 0.407, "medium": 0.542, "large": 0.678}


def tagger(size: str, **choices: object):
    from tercet.model.tag_head import AudioTagger

    width = WIDTHS[size]
    plain = {"layers": "each", "n_layers": LAYERS[size], "width": width, "hidden": width}
    plain |= {"has_projection": False, "time_heads": 1, "layer_heads": 8, "n_labels": 527}
    with torch.device("meta"):
        return AudioTagger(**(plain | choices))


def giga_macs(module, *shape: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(shape, device="meta"))
    return counter.get_total_flops() / 2e9


def encoder_giga_macs(size: str, columns: int) -> float:
    from tercet.model.encoder import AudioEncoder

    width = WIDTHS[size]
    sizes = {"heads": width // 64, "mlp_width": 4 * width, "n_audio_ctx": 1500}
    with torch.device("meta"):
        encoder = AudioEncoder(n_mels=80, width=width, layers=LAYERS[size], **sizes)
    return giga_macs(encoder, 1, 80, columns)


@pytest.mark.parametrize("size", LAYERS)
@pytest.mark.parametrize(
    ("choices", "millions", "giga"),
    [
        ({}, TL_TR, TL_TR_GMAC),
        ({"hidden": 512, "has_projection": True}, TL_TR_512, TL_TR_512_GMAC),
        ({"layers": "weighted", "layer_heads": 0}, WA_TR, WA_TR_GMAC),
        ({"layers": "weighted", "layer_heads": 0, "time_heads": 0}, MLP, None),
    ],
    ids=["TL-Tr", "TL-Tr(512)", "WA-Tr", "WA-MLP"],
)
def test_heads_have_the_originals_parameters_and_operations(size, choices, millions, giga):
    module = tagger(size, **choices)
    count = sum(parameter.numel() for parameter in module.parameters()) / 1e6
    assert millions[size] == pytest.approx(count, rel=0.002, abs=0.0005)
    if giga is not None:
        counted = giga_macs(module, 1, LAYERS[size], 25, WIDTHS[size])
        assert giga[size] == pytest.approx(counted, rel=0.01, abs=0.0005)


@pytest.mark.parametrize(("size", "giga", "limit"), [("large", 338, 0.01), ("medium", 165, 0.014)])
def test_the_low_dimensional_head_costs_next_to_nothing_beside_the_encoder(
    size, giga, limit, published
):
    """Over the 10 s that it was trained on, in torch's arithmetic and, cheaper still, in the graph's."""
    encoder = encoder_giga_macs(size, 1000)
    assert giga == pytest.approx(encoder, rel=0.01)
    module = tagger(size, hidden=512, has_projection=True)
    cost = giga_macs(module, 1, LAYERS[size], 25, WIDTHS[size])
    assert cost < limit * encoder
    name = "large-v1_low" if size == "large" else f"{size}_low"
    head = open_whisper_at(published / f"{name}.pth")
    assert graph_giga_macs(head, LAYERS[size], np.arange(25)[None]) < cost


def test_windows_that_overlap_share_what_depends_on_a_frame_alone(published):
    """2 s every 0.4 s over 30 s, in which each frame is heard five times."""
    windows = np.arange(71)[:, None] + np.arange(5)
    apart = giga_macs(tagger("small", hidden=512, has_projection=True), 71, 12, 5, 768)
    head = open_whisper_at(published / "small_low.pth")
    assert graph_giga_macs(head, 12, windows) < 0.5 * apart


def graph_giga_macs(head: TagHead, layers: int, windows: np.ndarray) -> float:
    """Multiply-accumulates of the graph's matrix products, counted from the shapes that it computes."""
    import onnxruntime

    graph = tag_head_graph(head)
    model = onnx.load_from_string(graph.model)
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    for node in products:
        model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    left = [node.input[0] for node in products]
    produced = {name for node in model.graph.node for name in node.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(left) if name in produced
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    taps = np.ones((layers, int(windows.max()) + 1, head.width), np.float32)
    names = [output.name for output in session.get_outputs()]
    shapes = {
        name: value.shape
        for name, value in zip(
            names, session.run(names, {"taps": taps, "windows": windows}), strict=True
        )
    }
    macs = [int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-1] for node in products]
    return sum(macs) / 1e9
