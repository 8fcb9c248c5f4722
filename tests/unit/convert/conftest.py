"""What tests of graphs share."""

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.convert.builder import Graph
from tercet.engine.onnx import open_graph


@pytest.fixture(scope="session")
def run_graph():
    """`run_graph(graph, **inputs)`: the outputs, in order."""

    def run(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
        return open_graph(graph, threads=1).run(None, inputs)

    return run


@pytest.fixture(scope="session")
def small_geometry() -> Geometry:
    """Wide enough that sketches and scales mean something."""
    return Geometry(
        n_mels=8,
        width=64,
        encoder_layers=2,
        encoder_heads=4,
        decoder_layers=1,
        decoder_heads=2,
        vocab_size=60,
        n_audio_ctx=40,
        n_text_ctx=12,
    )
