"""Text decoders: distilled from a teacher's labels (Distil-Whisper), or fine-tuned.

Nothing is imported by this page itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tercet.train.loop import RunResult
    from tercet.train.watch import Watcher


def run(
    recipe: Path | str,
    folder: Path | str,
    *,
    resume: bool = False,
    overrides: Sequence[str] = (),
    watcher: "Watcher | None" = None,
) -> "RunResult":
    """Train the decoder of a recipe; see `train.text.running.run`."""
    from tercet.train.text.running import run as begin

    return begin(recipe, folder, resume=resume, overrides=overrides, watcher=watcher)
