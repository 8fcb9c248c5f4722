"""`tercet codebook stats`: how the codes in token files are used, as text, JSON or a picture."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tercet.cli.plots import save_plot
from tercet.errors import TokensError
from tercet.results import SCHEMA

if TYPE_CHECKING:
    from tercet.checkpoint.heads import Quantizer
    from tercet.readings.codebook_use import CodebookCounter, CodebookUse
    from tercet.results import SpeechTokens


def show_stats(
    codes: Sequence[Path], head: "Quantizer | None", *, machine: bool, plot: Path | None
) -> None:
    """Count all files, and print and draw what came of it.

    Args:
        codes: Token files.
        head: Whose codes they are; None where nobody says.
        machine: Print JSON.
        plot: A picture's file, which is replaced.

    Raises:
        TokensError: a file cannot be read, or holds codes of another codebook.
        OutputError: the picture cannot be written.
    """
    from tercet.dataset.token_files import read_tokens

    tally = _Tally(head)
    for path in codes:
        for name, tokens in read_tokens(path):
            tally.add(tokens, str(path) if name == path.stem else f"{path}: {name}")
    uses = tally.uses()
    if plot is not None:
        _draw(uses, plot)
    if machine:
        levels = [use.to_json() for use in uses]
        print(json.dumps({"schema": SCHEMA, "recordings": tally.recordings, "levels": levels}))
        return
    if tally.is_guess:
        print(
            f"note: the files do not name their codebook; it is taken to have {len(uses[0].counts)} "
            "rows. Give --head",
            file=sys.stderr,
        )
    print(_report(uses, tally.recordings), end="")


class _Tally:
    """Counts recording after recording, all of one codebook."""

    def __init__(self, head: "Quantizer | None") -> None:
        self._head = head
        self._codebook = ""
        self._first: SpeechTokens | None = None
        self._counter: CodebookCounter | None = None
        self.recordings = 0
        if head is not None:
            from tercet.convert.head_store import codebook_fingerprint

            self._codebook = codebook_fingerprint(head)

    @property
    def is_guess(self) -> bool:
        """Whether nobody said how many rows the codebook has."""
        return not self._codebook

    def add(self, tokens: "SpeechTokens", name: str) -> None:
        """Count one recording.

        Raises:
            TokensError: of another codebook than those before, or than the head's.
        """
        if tokens.codebook and self._codebook and tokens.codebook != self._codebook:
            raise TokensError(
                f"{name}: codes of codebook {tokens.codebook}, not of {self._codebook}; "
                "count the files of each codebook apart"
            )
        self._codebook = self._codebook or tokens.codebook
        if self._counter is None:
            self._counter = self._new_counter(tokens)
        if self._head is None:
            self._counter.widen(tokens.codebook_size)
        try:
            self._counter.add(tokens.ids)
        except TokensError as error:
            raise TokensError(f"{name}: {error}") from None
        self.recordings += 1

    def uses(self) -> "tuple[CodebookUse, ...]":
        """The figures of each level.

        Raises:
            TokensError: there was no recording.
        """
        if self._counter is None:
            raise TokensError("the files hold no codes")
        return self._counter.use()

    def _new_counter(self, tokens: "SpeechTokens") -> "CodebookCounter":
        from tercet.readings.codebook_use import CodebookCounter

        source = self._head or tokens
        return CodebookCounter(
            source.codebook_size,
            mask_code=source.mask_code,
            rate_hz=source.rate_hz,
            depth=source.depth,
        )


def _report(uses: "Sequence[CodebookUse]", recordings: int) -> str:
    """The figures for people, a block for each level."""
    blocks = []
    for level, use in enumerate(uses):
        title = "" if len(uses) == 1 else f"level {level}\n"
        mask = "no mask" if use.mask_code is None else f"the mask is {use.mask_code}"
        n_codes = len(use.codes)
        blocks.append(
            f"{title}"
            f"codebook    {len(use.counts)} rows, {mask}\n"
            f"heard       {use.total} codes in {recordings} recordings, {use.mask_uses} masks\n"
            f"used        {use.used} of {n_codes} codes ({100 * use.utilisation:.1f} %), "
            f"{n_codes - use.used} dead\n"
            f"entropy     {use.entropy_bits:.2f} bits, perplexity {use.perplexity:.1f}\n"
            f"rate        {use.bits_per_second:.1f} of {use.nominal_bits_per_second:.1f} bits per "
            f"second at {use.rate_hz:g} Hz\n"
            f"repeats     {100 * use.repeat_share:.1f} % of neighbours\n"
        )
    return "\n".join(blocks)


def _draw(uses: "Sequence[CodebookUse]", path: Path) -> None:
    """Uses by rank and by number, a row of pictures for each level."""
    from matplotlib.figure import Figure  # no pyplot: no window, no state that others share

    figure = Figure(figsize=(10, 3.2 * len(uses)), layout="constrained")
    for row, use in zip(figure.subplots(len(uses), 2, squeeze=False), uses, strict=True):
        counts = use.counts[use.codes]
        row[0].plot(range(1, len(counts) + 1), sorted(counts, reverse=True))
        row[0].set(xlabel="rank", ylabel="uses", yscale="symlog", ylim=(0, None))
        row[0].set_title(
            f"{use.used} of {len(counts)} codes used, perplexity {use.perplexity:.0f}", fontsize=10
        )
        row[1].plot(use.codes, counts, ".", markersize=2)
        row[1].set(xlabel="code", ylabel="uses", yscale="symlog", ylim=(0, None))
        row[1].set_title(f"{len(counts) - use.used} dead codes", fontsize=10)
    save_plot(figure, path)
