"""The encoder behind the seam, whichever engine has opened its graph."""

import numpy as np

from tercet.checkpoint.geometry import Geometry
from tercet.convert.encoder import pooling_weights
from tercet.engine.checks import encoder_frames
from tercet.engine.protocol import Encoded, OpenGraph


class GraphEncoder:
    """`engine.protocol.Encoder` over an open `convert.encoder.encoder_graph`."""

    def __init__(self, graph: OpenGraph, geometry: Geometry, *, taps: bool) -> None:
        """`taps`: whether the graph was built with them."""
        self._graph = graph
        self._geometry = geometry
        self._taps = taps

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        return self._geometry

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        """Encode one window (see `engine.protocol.Encoder.encode`).

        Raises:
            EngineError: `mel` has another shape, or `real_frames` does not lie inside.
        """
        frames, real = encoder_frames(mel, real_frames, self._geometry)
        inputs = {"mel": np.ascontiguousarray(mel, dtype=np.float32)[None]}
        if self._taps:
            inputs["pooling"] = pooling_weights(frames, real)
        outputs = self._graph.run(inputs)
        return Encoded(outputs["states"][0], outputs.get("taps"))
