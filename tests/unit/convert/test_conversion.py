"""From a checkpoint to a folder: every target opens again, and says the same."""

import json
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.external_data_helper import ExternalDataInfo

from tercet.checkpoint import Generation, MemoryCheckpoint, open_checkpoint, save_hugging_face
from tercet.convert.conversion import WRITTEN, Conversion, convert
from tercet.convert.encoder import encoder_graph
from tercet.convert.export import graph_files, write_graph
from tercet.convert.layers import Precision
from tercet.convert.store import stored_arrays
from tercet.errors import CheckpointError, OptionError, OutputError, TokenizerError


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint, small_geometry):
    made = random_checkpoint(small_geometry)
    made.generation = Generation(suppress_tokens=(1, 2), alignment_heads=((0, 0),))
    return made


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer_file):
    return byte_tokenizer_file(51865)


@pytest.fixture
def made(checkpoint, tokenizer, tmp_path):
    """`made(to=..., compute_type=...)`: the folder of that conversion."""

    def make(source=checkpoint, statistics=None, **options):
        conversion = Conversion(folder=tmp_path / "out", **options)
        convert(source, conversion, name="tiny", tokenizer_file=tokenizer, statistics=statistics)
        return tmp_path / "out"

    return make


def test_int8_is_the_stored_form_with_settings_and_tokenizer(checkpoint, tokenizer, made):
    folder = made()
    opened = open_checkpoint(folder)
    assert ("native", checkpoint.geometry) == (opened.layout, opened.geometry)
    assert checkpoint.generation == opened.generation
    assert tokenizer.read_text() == opened.tokenizer_file.read_text()
    assert ("tiny", "memory") == (opened.metadata["name"], opened.metadata["source"])
    expected = stored_arrays(checkpoint, None)
    for name in checkpoint.names():
        stored = opened.read_int8(name)
        found = opened.read(name) if stored is None else stored.values
        np.testing.assert_array_equal(expected[name], found)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floats_are_hugging_faces_layout(checkpoint, made, dtype):
    opened = open_checkpoint(made(compute_type=dtype))
    assert "hf" == opened.layout
    for name in checkpoint.names():
        np.testing.assert_array_equal(checkpoint.read(name).astype(dtype), opened.read(name))


def test_a_copy_of_a_stored_model_is_the_same_file(made, tmp_path, tokenizer):
    first = open_checkpoint(made())
    again = Conversion(folder=tmp_path / "again")
    convert(first, again, name="other", tokenizer_file=tokenizer)
    expected = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert expected == (tmp_path / "again" / "model.safetensors").read_bytes()


def test_calibrated_weights_are_folded_and_a_copy_stays_so(checkpoint, made, tmp_path, tokenizer):
    groups = ("self_attn", "out_proj", "fc1")
    names = [f"layers.{layer}.{group}" for layer in range(2) for group in groups]
    statistics = {name: np.geomspace(0.01, 9, 64).astype(np.float16) for name in names}
    folder = made(statistics=statistics)
    folded = open_checkpoint(folder)
    assert sorted(names) == sorted(folded.smoothing)
    assert np.ptp(folded.smoothing["layers.0.fc1"]) > 3
    again = Conversion(folder=tmp_path / "again")
    convert(folded, again, name="tiny", tokenizer_file=tokenizer)
    expected = (folder / "model.safetensors").read_bytes()
    assert expected == (tmp_path / "again" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("compute_type", "error"), [("float32", 1e-4), ("int8", 0.2)])
def test_graphs_run_from_their_files(checkpoint, made, run_graph, compute_type, error):
    folder = made(to="onnx", compute_type=compute_type)
    assert set(graph_files()) < {path.name for path in folder.iterdir()}
    mel = np.random.default_rng(0).normal(size=(1, checkpoint.geometry.n_mels, 20)).astype("f4")
    opened = {
        name: onnxruntime.InferenceSession(str(folder / f"{name}.onnx"))
        for name in ("encoder", "cross", "decoder")
    }
    (states,) = opened["encoder"].run(None, {"mel": mel})
    assert (1, 10, 64) == states.shape
    (expected,) = run_graph(encoder_graph(checkpoint, Precision(), taps=False), mel=mel)
    assert np.linalg.norm(states - expected) < error * np.linalg.norm(expected)


def test_graphs_beyond_2_gb_run_from_their_files(tmp_path, checkpoint, run_graph):
    """The weights lie behind a hole of 3 GB, which takes no disk: no offset may be cut to 32 bits."""
    hole = 3 * 2**30
    graph = encoder_graph(checkpoint, Precision(), taps=False)
    sizes = {name: array.nbytes for name, array in graph.weights.items()}
    build = partial(encoder_graph, checkpoint, Precision(), taps=False)
    write_graph(build, tmp_path / "a.onnx", first_offset=hole)
    assert (tmp_path / "a.onnx").stat().st_size < 2e5
    model = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    placed = {tensor.name: ExternalDataInfo(tensor) for tensor in external_tensors(model)}
    assert sizes == {name: entry.length for name, entry in placed.items()}
    assert {0} == {entry.offset % 4096 for entry in placed.values()}
    assert hole == min(entry.offset for entry in placed.values())
    mel = np.ones((1, checkpoint.geometry.n_mels, 20), "f4")
    (expected,) = run_graph(encoder_graph(checkpoint, Precision(), taps=False), mel=mel)
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "a.onnx")).run(None, {"mel": mel})
    np.testing.assert_array_equal(expected, found)


def external_tensors(model):
    return [tensor for tensor in model.graph.initializer if tensor.external_data]


def test_only_a_conversions_own_folder_is_replaced(made, checkpoint, tmp_path):
    folder = made()
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(OutputError, match="--force"):
        made(compute_type="float16")
    assert before == (folder / "model.safetensors").read_bytes()
    made(to="onnx", force=True)
    assert not (folder / "model.safetensors").exists()
    assert {path.name for path in folder.iterdir()} <= WRITTEN
    (folder / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt"):
        made(force=True)


def test_the_source_is_never_overwritten(checkpoint, made, tokenizer, tmp_path):
    save_hugging_face(checkpoint, tmp_path / "out", tokenizer_file=tokenizer)
    with pytest.raises(OutputError, match="is the source itself"):
        made(open_checkpoint(tmp_path / "out"), force=True)
    assert "hf" == open_checkpoint(tmp_path / "out").layout


@pytest.mark.parametrize(
    ("compute_type", "number"),
    [("int8", 7e6), ("float16", 7e6), ("int8", np.nan), ("float16", np.inf), ("float32", np.nan)],
)
def test_damaged_numbers_leave_nothing(checkpoint, made, tmp_path, compute_type, number):
    arrays = dict(checkpoint.arrays)
    name = "model.decoder.layers.0.fc2.weight"
    arrays[name] = np.full_like(arrays[name], number)
    with pytest.raises(CheckpointError, match=name) as caught:
        made(MemoryCheckpoint(checkpoint.geometry, arrays), compute_type=compute_type)
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())


def test_an_unreadable_tokenizer_leaves_nothing(checkpoint, tmp_path):
    conversion = Conversion(folder=tmp_path / "out")
    with pytest.raises(TokenizerError):
        convert(checkpoint, conversion, name="x", tokenizer_file=tmp_path / "absent.json")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{}, {"compute_type": "float32"}, {"to": "onnx"}])
def test_a_full_disk_is_noticed_before_anything_is_written(made, tmp_path, monkeypatch, options):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("tercet.convert.conversion.shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"0 MB are free, \d+ MB are needed") as caught:
        made(**options)
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "ggml"}, "give one of tercet, onnx"),
        ({"compute_type": "int4"}, "tercet has int8, float16, float32"),
        ({"to": "onnx", "compute_type": "float16"}, "onnx has int8, float32"),
    ],
)
def test_options_that_are_not_there_name_those_that_are(tmp_path, options, said):
    with pytest.raises(OptionError, match=said):
        Conversion(folder=tmp_path, **options)


def test_the_settings_say_how_matrices_are_kept(made, random_checkpoint, small_geometry):
    config = json.loads((made() / "config.json").read_text())
    group = config["quantization_config"]["config_groups"]["group_0"]["weights"]
    assert (1, 8, "group", 64) == (
        config["tercet_format"], group["num_bits"], group["strategy"], group["group_size"],
    )  # fmt: skip
