"""A decoding run on ONNX Runtime: the step graph, and the memory that it reads and extends in place."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tercet.checkpoint.geometry import Geometry
from tercet.engine.checks import check_reorder, check_roll_back, check_step
from tercet.engine.onnx_bound import BoundStep
from tercet.engine.onnx_rows import joined, moved, within
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
        self._vocab_size, self._width = geometry.vocab_size, geometry.width
        self._cross, self._frames = joined(windows)
        rows, heads, longest, size = self._cross["cross_key_0"].shape
        room = min(_FIRST_ROOM, self._limit)
        self._cache = {
            f"{part}_{index}": np.zeros((rows, heads, room, size), dtype=np.float32)
            for index in range(geometry.decoder_layers)
            for part in ("key", "value")
        }
        self._lengths = np.zeros(rows, dtype=np.int64)
        # All rows' memory bound to the graph, by how many tokens a step takes and keeps.
        self._bounds: dict[tuple[int, int], BoundStep] = {}
        self._hidden = np.zeros((rows, 1, geometry.width), np.float32)  # of the last step
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
            self._hidden = np.zeros((0, keep.shape[1], self._width), np.float32)
            return np.zeros((0, keep.shape[1], self._vocab_size), dtype=np.float32)
        self._make_room(int((self._lengths + counts).max()))
        if n == 1 and keep.shape[1] == 1:
            logits = self._step_all(tokens, None)
        elif self.rows == 1 and n == counts[0] and n <= self._frames[0]:
            logits = self._step_all(tokens, keep)
        else:
            # GroupQueryAttention takes several tokens for one row only.
            parts = [
                self._step_row(row, tokens[row, : counts[row]], keep[row])
                for row in range(self.rows)
            ]
            logits = np.concatenate([logits for logits, _ in parts])
            self._hidden = np.concatenate([hidden for _, hidden in parts])
        self._lengths = self._lengths + counts
        return logits

    def hidden(self) -> np.ndarray:
        """What the last step's logits were made of, float32 [rows, k, width]; good until the next step."""
        return self._hidden

    def heard(self, layer: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What one layer's cross-attention reads, by name, and each row's frames; good until `reorder`."""
        names = (f"cross_key_{layer}", f"cross_value_{layer}", "cross_ranges")
        return {name: self._cross[name] for name in names if name in self._cross}, self._frames

    def written(self, layer: int) -> dict[str, np.ndarray]:
        """What one layer's self-attention keeps, `key` and `value`; good until the next step or `reorder`."""
        return {part: self._cache[f"{part}_{layer}"] for part in ("key", "value")}

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
        self._bounds.clear()
        self._lengths = self._lengths[chosen]
        longest = int(self._lengths.max(initial=0))
        for name, buffer in self._cache.items():
            self._cache[name] = moved(buffer, chosen, longest)
        if self._attention is not None:
            self._attention = moved(self._attention, chosen, longest)
        voices = self._voices[chosen]
        if not np.array_equal(voices, self._voices):  # beams of one window swap without this copy
            self._voices = voices
            self._cross = {name: moved(array, chosen) for name, array in self._cross.items()}
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
        self._bounds.clear()
        shape = (rows, heads, min(self._limit, max(tokens, 2 * room)), size)
        for name, buffer in self._cache.items():
            self._cache[name] = np.zeros(shape, dtype=np.float32)
            self._cache[name][:, :, :room] = buffer

    def _step_all(self, tokens: np.ndarray, keep: np.ndarray | None) -> np.ndarray:
        """As many tokens for every row, through memory that stays bound from step to step."""
        n, kept = tokens.shape[1], 1 if keep is None else keep.shape[1]
        bound = self._bounds.get((n, kept))
        if bound is None:
            bound = self._bounds[n, kept] = self._bound(slice(None), n=n, kept=kept)
        self._hidden = bound.hidden
        return self._run(bound, tokens, keep, slice(None), self._lengths)

    def _step_row(
        self, row: int, tokens: np.ndarray, keep: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Any number of tokens [n] of one row; logits and hidden states, [1, kept, ..]."""
        rows = slice(row, row + 1)
        logits = np.zeros((1, len(keep), self._vocab_size), np.float32)
        hidden = np.zeros((1, len(keep), self._width), np.float32)
        # Nor does it take more tokens than the window has frames, which happens to short ones.
        frames = int(self._frames[row])
        for start in range(0, len(tokens), frames):
            part = tokens[None, start : start + frames]
            here = (keep >= start) & (keep < start + part.shape[1])
            bound = self._bound(rows, n=part.shape[1], kept=int(here.sum()))
            logits[0, here] = self._run(
                bound, part, keep[None, here] - start, rows, self._lengths[rows] + start
            )[0]
            hidden[0, here] = bound.hidden[0]
        return logits, hidden

    def _bound(self, rows: slice, *, n: int, kept: int) -> BoundStep:
        return BoundStep(
            self._session,
            cache={name: buffer[rows] for name, buffer in self._cache.items()},
            cross={name: buffer[rows] for name, buffer in self._cross.items()},
            frames=self._frames[rows],
            n=n,
            kept=kept,
            vocab_size=self._vocab_size,
            width=self._width,
        )

    def _run(
        self,
        bound: BoundStep,
        tokens: np.ndarray,
        keep: np.ndarray | None,
        rows: slice,
        past: np.ndarray,
    ) -> np.ndarray:
        n = tokens.shape[1]
        logits, attention = bound.run(tokens, past[:, None] + np.arange(n), past + n, keep)
        if self._attention is not None:
            kept = self._attention[rows]
            for row, part in enumerate(within(attention, self._frames[rows])):
                kept[row, :, past[row] : past[row] + n] = part
        return logits
