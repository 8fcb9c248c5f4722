"""OpenVINO's side of the seam: files, shapes, faults. Its numbers are compared in tests/parity."""

import os
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
import onnx
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.convert.encoder import encoder_graph
from tercet.convert.layers import Precision
from tercet.engine.onnx import INT8
from tercet.errors import EngineError

pytest.importorskip("openvino")  # there are no wheels for every processor
from tercet.engine import openvino as openvino_engine
from tercet.engine.openvino import OpenVinoEncoder, OpenVinoGraph

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=90,
    n_audio_ctx=50,
)
SETTINGS = {"threads": 1, "arithmetic": "f32"}


@pytest.fixture
def checkpoint(random_checkpoint):
    return random_checkpoint(GEOMETRY)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps mapped files")
def test_the_weights_file_is_gone_once_the_graph_is_open(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    encoder = OpenVinoEncoder(checkpoint, Precision(), taps=False, **SETTINGS)
    assert [] == list(tmp_path.iterdir())
    # Another shape is compiled after that, from the mapped weights.
    for frames in (50, 20):
        assert (frames, 64) == encoder.encode(np.ones((80, 2 * frames), np.float32)).states.shape


def test_windows_of_unusual_length_give_what_the_usual_program_would(checkpoint):
    mel = np.random.default_rng(0).normal(size=(80, 60)).astype(np.float32)
    build = partial(encoder_graph, checkpoint, Precision(), taps=False)
    found = [
        OpenVinoGraph(build, usual={"mel": (1, 80, columns)}, **SETTINGS).run({"mel": mel[None]})
        for columns in (60, 100)
    ]
    np.testing.assert_allclose(found[0]["states"], found[1]["states"], atol=1e-5)


def test_what_a_window_gave_is_not_overwritten_by_the_next(checkpoint):
    encoder = OpenVinoEncoder(checkpoint, Precision(), taps=False, **SETTINGS)
    first = encoder.encode(np.zeros((80, 100), np.float32)).states
    kept = first.copy()
    encoder.encode(np.ones((80, 100), np.float32))
    np.testing.assert_array_equal(kept, first)


@pytest.mark.parametrize("precision", [Precision(), INT8])
def test_without_room_for_temporary_files_the_graph_goes_through_memory(
    checkpoint, monkeypatch, precision
):
    mel = np.random.default_rng(0).normal(size=(80, 100)).astype(np.float32)
    expected = OpenVinoEncoder(checkpoint, precision, taps=False, **SETTINGS).encode(mel).states

    def full(build, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tercet.engine.openvino.write_graph", full)
    found = OpenVinoEncoder(checkpoint, precision, taps=False, **SETTINGS).encode(mel).states
    np.testing.assert_array_equal(expected, found)


def test_a_graph_that_is_refused_is_one_line(checkpoint, monkeypatch):
    real = openvino_engine.write_graph

    def damaged(build, path):
        real(build, path)
        model = onnx.load(path, load_external_data=False)
        model.graph.node[0].op_type = "NoSuchOperator"
        onnx.save(model, path)

    monkeypatch.setattr(openvino_engine, "write_graph", damaged)
    with pytest.raises(EngineError) as raised:
        OpenVinoEncoder(checkpoint, Precision(), taps=False, **SETTINGS)
    assert "engine 'onnx'" in str(raised.value)
    assert "\n" not in str(raised.value)


CTRL_C = """
import faulthandler, gc, os, signal
faulthandler.enable()  # as pytest, and many servers, do: signals are taken on a stack of their own
import numpy as np
from onnx import TensorProto, helper
from tercet.convert.builder import Graph
from tercet.engine.openvino import OpenVinoGraph

def build(store):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)])
    return Graph(model.SerializeToString(), {})

graphs = [OpenVinoGraph(build, threads=1, arithmetic="f32", usual={"x": (1, 4)}) for _ in range(3)]
while graphs:  # the first one goes first, on the thread that takes signals
    graphs.pop(0)
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_ctrl_c_is_heard_after_models_are_gone():
    ran = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True)
    assert (0, "stopped\n") == (ran.returncode, ran.stdout), ran.stderr
