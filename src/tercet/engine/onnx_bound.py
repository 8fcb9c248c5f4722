"""Graphs run over memory that stays in its place from step to step: nothing is allocated or copied."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tercet.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime


class Binding:
    """Where a graph reads its inputs and writes its outputs."""

    def __init__(self, session: "onnxruntime.InferenceSession", fault: str) -> None:
        """`fault` says what did not succeed where a run fails."""
        self._session = session
        self._fault = fault
        self._binding = session.io_binding()
        # The binding holds addresses, so the arrays are held here, by the name that they are bound to.
        self._held: dict[str, Any] = {}

    def read(self, name: str, array: np.ndarray) -> None:
        """Read an input from an array, which may be written into before each run; in place of any before."""
        import onnxruntime

        # Slices of whole rows are contiguous: nothing is copied.
        contiguous = np.ascontiguousarray(array) if array.ndim else array
        self._held[name] = contiguous
        value = onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)
        self._binding.bind_ortvalue_input(name, value)

    def write(self, name: str, array: np.ndarray) -> None:
        """Write an output into an array."""
        self._held[name] = array
        dtype, address = array.dtype.type, array.ctypes.data
        self._binding.bind_output(name, "cpu", 0, dtype, array.shape, address)

    def read_cross(self, cross: Mapping[str, np.ndarray], frames: np.ndarray) -> None:
        """Read the windows of some rows, `frames` int64 [rows] long (see `convert.cross.CrossAttention`)."""
        for name, array in cross.items():
            self.read(name, array)
            if name != "cross_ranges":
                self.write(f"same_{name.removeprefix('cross_')}", array)
        self.read("cross_last", (frames - 1).astype(np.int32))
        self.read("cross_total", np.array(frames.max(), np.int32))

    def leave(self, name: str) -> None:
        """Let ONNX Runtime find a place for an output whose shape changes; there is one at most."""
        self._binding.bind_output(name)

    def left(self) -> np.ndarray:
        """What the last run wrote there."""
        found: np.ndarray = self._binding.get_outputs()[-1].numpy()
        return found

    def run(self) -> None:
        """Run the graph.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as fault:  # ONNX Runtime raises several unrelated types
            raise failure(self._fault, fault) from fault


class BoundStep:
    """The graph with all of its inputs and outputs in known places, for steps of one shape."""

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        *,
        cache: Mapping[str, np.ndarray],
        cross: Mapping[str, np.ndarray],
        frames: np.ndarray,
        n: int,
        kept: int,
        vocab_size: int,
        width: int,
    ) -> None:
        self._binding = Binding(session, "could not take a step")
        rows = len(frames)
        self._inputs: dict[str, np.ndarray] = {
            "tokens": np.zeros((rows, n), np.int64),
            "positions": np.zeros((rows, n), np.int64),
            "last": np.zeros(rows, np.int32),
            "total": np.zeros((), np.int32),
            "keep": np.zeros((rows, kept, 1), np.int64),
        }
        self._logits = np.zeros((rows, kept, vocab_size), np.float32)
        for name, array in self._inputs.items():
            self._binding.read(name, array)
        self._binding.read_cross(cross, frames)
        for name, array in cache.items():
            self._binding.read(f"past_{name}", array)
            self._binding.write(f"present_{name}", array)
        self.hidden = np.zeros((rows, kept, width), np.float32)  # the next run overwrites it, too
        self._binding.write("logits", self._logits)
        self._binding.write("hidden", self.hidden)
        self._is_aligned = any(output.name == "alignment" for output in session.get_outputs())
        if self._is_aligned:
            self._binding.leave("alignment")

    def run(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        lengths: np.ndarray,
        keep: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run once; `lengths` [rows] are those after the step.

        Returns logits [rows, kept, vocabulary], which the next run overwrites, and the attention of the
        aligned heads (or an empty array).
        """
        inputs = self._inputs
        inputs["tokens"][...] = tokens
        inputs["positions"][...] = positions
        inputs["last"][...] = lengths - 1
        inputs["total"][...] = lengths.max()
        if keep is not None:
            inputs["keep"][..., 0] = keep
        self._binding.run()
        if not self._is_aligned:
            return self._logits, np.zeros(0, np.float32)
        return self._logits, self._binding.left()


def failure(what: str, fault: Exception) -> EngineError:
    """ONNX Runtime's own words, the first line of them."""
    import onnxruntime

    first_line = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
    message = f"ONNX Runtime {onnxruntime.__version__} {what}: {first_line}"
    return EngineError(f"{message}; free memory, try another release, or engine 'torch'")
