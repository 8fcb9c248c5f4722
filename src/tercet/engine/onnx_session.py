"""A decoding run on ONNX Runtime: the step graph, and the memory that it reads and extends in place."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tercet.checkpoint.geometry import Geometry
from tercet.engine.checks import check_reorder, check_roll_back, check_step
from tercet.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime


_FIRST_ROOM = 64  # tokens in the cache to begin with; doubled when full


class OnnxSession:
    """Rows of one decoding run; the cache is a buffer per layer that the graph extends in place."""

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        geometry: Geometry,
        windows: Sequence[Mapping[str, np.ndarray]],
        *,
        aligned_heads: int,
    ) -> None:
        """Start with empty rows.

        Args:
            session: The open step graph; with an `alignment` output if `aligned_heads` is not 0.
            geometry: The model's sizes.
            windows: For each row the cross-attention graph's outputs, [1, ...] each.
            aligned_heads: How many heads' attention the graph gives.
        """
        self._session = session
        self._limit = geometry.n_text_ctx
        self._vocab_size = geometry.vocab_size
        self._cross, self._frames = _joined(windows)
        rows, heads, longest, size = self._cross["cross_key_0"].shape
        room = min(_FIRST_ROOM, self._limit)
        self._cache = {
            f"{part}_{index}": np.zeros((rows, heads, room, size), dtype=np.float32)
            for index in range(geometry.decoder_layers)
            for part in ("key", "value")
        }
        self._lengths = np.zeros(rows, dtype=np.int64)
        self._single: _BoundStep | None = None  # for one token per row, the usual step
        self._voices = np.arange(rows)  # which of the opened windows each row hears
        self._attention = (
            np.zeros((rows, aligned_heads, self._limit, longest), dtype=np.float32)
            if aligned_heads
            else None
        )

    @property
    def rows(self) -> int:
        """How many rows there are now."""
        return len(self._lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row's cache, int64 [rows]."""
        return self._lengths.copy()

    def step(
        self,
        tokens: np.ndarray,
        *,
        counts: np.ndarray | None = None,
        keep: np.ndarray | None = None,
    ) -> np.ndarray:
        """Append tokens and return logits (see `engine.protocol.Session.step`).

        Raises:
            EngineError: a row would grow past the model's text context, or the arguments do not
                fit.
        """
        tokens = np.asarray(tokens, np.int64)
        n = tokens.shape[-1]
        counts = np.full(self.rows, n, np.int64) if counts is None else np.asarray(counts, np.int64)
        keep = counts[:, None] - 1 if keep is None else np.asarray(keep, np.int64)
        check_step(tokens, counts, keep, self._lengths, self._limit)
        keep = np.minimum(keep, counts[:, None] - 1)  # behind a row's last token there is nothing
        if not self.rows:
            return np.zeros((0, keep.shape[1], self._vocab_size), dtype=np.float32)
        self._make_room(int((self._lengths + counts).max()))
        if n == 1 and keep.shape[1] == 1:
            logits = self._step_single(tokens)
        else:
            # GroupQueryAttention takes several tokens for one row only.
            logits = np.concatenate(
                [
                    self._step_row(row, tokens[row, : counts[row]], keep[row])
                    for row in range(self.rows)
                ]
            )
        self._lengths = self._lengths + counts
        return logits

    def roll_back(self, lengths: np.ndarray) -> None:
        """Shorten each row's cache; costs nothing, for what lies beyond a length is never read.

        Raises:
            EngineError: a row is shorter than that already.
        """
        wanted = np.asarray(lengths, dtype=np.int64)
        check_roll_back(wanted, self._lengths)
        self._lengths = wanted.copy()

    def reorder(self, rows: np.ndarray) -> None:
        """Make row i a copy of old row `rows[i]`.

        Rows that stay where they are cost nothing where the others come from behind the new last row: so
        finished rows leave cheaply when the last ones take their places.

        Raises:
            EngineError: there is no such row.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        check_reorder(chosen, self.rows)
        if np.array_equal(chosen, np.arange(self.rows)):
            return
        self._single = None
        self._lengths = self._lengths[chosen]
        longest = int(self._lengths.max(initial=0))
        for name, buffer in self._cache.items():
            self._cache[name] = _moved(buffer, chosen, longest)
        if self._attention is not None:
            self._attention = _moved(self._attention, chosen, longest)
        voices = self._voices[chosen]
        if not np.array_equal(voices, self._voices):  # beams of one window swap without this copy
            self._voices = voices
            self._cross = {name: _moved(array, chosen) for name, array in self._cross.items()}
            self._frames = self._frames[chosen]

    def alignment(self) -> np.ndarray:
        """Attention weights of the chosen heads, float32 [rows, heads, tokens, frames].

        `tokens` is the longest row's length, `frames` the longest window's; behind a shorter row's end, and
        behind a shorter window's, the weights are zero.

        Raises:
            EngineError: the session was opened without `align=True`.
        """
        if self._attention is None:
            raise EngineError("no alignment was kept; open the session with align=True")
        tokens = int(self._lengths.max(initial=0))
        real = np.arange(tokens) < self._lengths[:, None]
        kept: np.ndarray = self._attention[:, :, :tokens] * real[:, None, :, None]
        return kept

    def _make_room(self, tokens: int) -> None:
        """Grow the cache, so that every row could hold `tokens`."""
        rows, heads, room, size = self._cache["key_0"].shape
        if tokens <= room:
            return
        self._single = None
        shape = (rows, heads, min(self._limit, max(tokens, 2 * room)), size)
        for name, buffer in self._cache.items():
            self._cache[name] = np.zeros(shape, dtype=np.float32)
            self._cache[name][:, :, :room] = buffer

    def _step_single(self, tokens: np.ndarray) -> np.ndarray:
        """One token for every row, through memory that stays bound from step to step."""
        if self._single is None:
            self._single = self._bound(slice(None), n=1, kept=1)
        return self._run(self._single, tokens, None, slice(None), self._lengths)

    def _step_row(self, row: int, tokens: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """Any number of tokens [n] of one row; logits [1, kept, vocabulary]."""
        rows = slice(row, row + 1)
        logits = np.zeros((1, len(keep), self._vocab_size), np.float32)
        # Nor does it take more tokens than the window has frames, which happens to short ones.
        frames = int(self._frames[row])
        for start in range(0, len(tokens), frames):
            part = tokens[None, start : start + frames]
            here = (keep >= start) & (keep < start + part.shape[1])
            bound = self._bound(rows, n=part.shape[1], kept=int(here.sum()))
            logits[0, here] = self._run(
                bound, part, keep[None, here] - start, rows, self._lengths[rows] + start
            )[0]
        return logits

    def _bound(self, rows: slice, *, n: int, kept: int) -> "_BoundStep":
        return _BoundStep(
            self._session,
            cache={name: buffer[rows] for name, buffer in self._cache.items()},
            cross={name: buffer[rows] for name, buffer in self._cross.items()},
            frames=self._frames[rows],
            n=n,
            kept=kept,
            vocab_size=self._vocab_size,
        )

    def _run(
        self,
        bound: "_BoundStep",
        tokens: np.ndarray,
        keep: np.ndarray | None,
        rows: slice,
        past: np.ndarray,
    ) -> np.ndarray:
        n = tokens.shape[1]
        logits, attention = bound.run(tokens, past[:, None] + np.arange(n), past + n, keep)
        if self._attention is not None:
            kept = self._attention[rows]
            for row, part in enumerate(_within(attention, self._frames[rows])):
                kept[row, :, past[row] : past[row] + n] = part
        return logits


class _BoundStep:
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
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        rows = len(frames)
        self._inputs: dict[str, np.ndarray] = {
            "tokens": np.zeros((rows, n), np.int64),
            "positions": np.zeros((rows, n), np.int64),
            "last": np.zeros(rows, np.int32),
            "total": np.zeros((), np.int32),
            "keep": np.zeros((rows, kept, 1), np.int64),
        }
        self._logits = np.zeros((rows, kept, vocab_size), np.float32)
        # The binding holds addresses, so the arrays behind them are held here.
        self._held: list[Any] = [cache, cross]
        for name, array in self._inputs.items():
            self._read(name, array)
        for name, array in cross.items():
            self._read(name, array)
            if name != "cross_ranges":
                self._write(f"same_{name.removeprefix('cross_')}", array)
        self._read("cross_last", (frames - 1).astype(np.int32))
        self._read("cross_total", np.array(frames.max(), np.int32))
        for name, array in cache.items():
            self._read(f"past_{name}", array)
            self._write(f"present_{name}", array)
        self._write("logits", self._logits)
        self._is_aligned = any(output.name == "alignment" for output in session.get_outputs())
        if self._is_aligned:
            self._binding.bind_output("alignment")

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
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as fault:  # ONNX Runtime raises several unrelated types
            raise failure("could not take a step", fault) from fault
        if not self._is_aligned:
            return self._logits, np.zeros(0, np.float32)
        return self._logits, self._binding.get_outputs()[-1].numpy()

    def _read(self, name: str, array: np.ndarray) -> None:
        import onnxruntime

        # Slices of whole rows are contiguous: nothing is copied.
        contiguous = np.ascontiguousarray(array) if array.ndim else array
        self._held.append(contiguous)
        self._binding.bind_ortvalue_input(
            name, onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)
        )

    def _write(self, name: str, array: np.ndarray) -> None:
        dtype, address = array.dtype.type, array.ctypes.data
        self._binding.bind_output(name, "cpu", 0, dtype, array.shape, address)


def failure(what: str, fault: Exception) -> EngineError:
    """ONNX Runtime's own words, the first line of them."""
    import onnxruntime

    first_line = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
    message = f"ONNX Runtime {onnxruntime.__version__} {what}: {first_line}"
    return EngineError(f"{message}; free memory, try another release, or engine 'torch'")


def _joined(
    windows: Sequence[Mapping[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """[1, ...] of each window -> [rows, ...], and how many frames each has, int64 [rows].

    A single window is taken as it is. What lies behind a shorter one's end is zero, and never read. Windows
    that are made when they are asked for are held one at a time.
    """
    rows = len(windows)
    first = windows[0]
    frames = np.full(rows, first["cross_key_0"].shape[2], np.int64)
    if rows == 1:
        return dict(first), frames
    joined = {name: np.zeros((rows, *each.shape[1:]), each.dtype) for name, each in first.items()}
    for row in range(rows):
        window = windows[row] if row else first
        frames[row] = window["cross_key_0"].shape[2]
        for name, array in window.items():
            if name != "cross_ranges" and frames[row] > joined[name].shape[2]:
                joined[name] = _longer(joined[name], int(frames[row]))
            joined[name][row, ..., : array.shape[-2], :] = array[0]
    return joined, frames


def _longer(buffer: np.ndarray, frames: int) -> np.ndarray:
    """Keys or values [rows, heads, time, size] with room for more time."""
    rows, heads, time, size = buffer.shape
    longer = np.zeros((rows, heads, frames, size), buffer.dtype)
    longer[:, :, :time] = buffer
    return longer


def _within(attention: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Attention weights [rows, .., frames] of each row's own frames, summing to 1; zero behind them."""
    longest = attention.shape[-1]
    if (frames == longest).all():
        return attention
    real = np.arange(longest) < frames[:, None, None, None]
    weights = attention * real
    within: np.ndarray = weights / weights.sum(-1, keepdims=True)
    return within


def _moved(buffer: np.ndarray, rows: np.ndarray, length: int | None = None) -> np.ndarray:
    """Rows of a buffer [rows, ...] in new order; of a cache [rows, heads, context, ..] up to `length` tokens.

    In place where that destroys nothing that is still to be moved.
    """
    count = len(rows)
    stays = rows == np.arange(count)
    span = (slice(None), slice(length)) if length is not None else (slice(None),)
    if bool(np.all(stays | (rows >= count))) and buffer.flags.writeable:
        for row in np.flatnonzero(~stays).tolist():
            buffer[(row, *span)] = buffer[(rows[row], *span)]
        return buffer[:count]
    fresh = np.zeros((count, *buffer.shape[1:]), dtype=buffer.dtype)
    for row, old in enumerate(rows.tolist()):
        fresh[(row, *span)] = buffer[(old, *span)]
    return fresh
