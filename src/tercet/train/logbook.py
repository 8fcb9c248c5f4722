"""Where a run's figures go: metrics.jsonl always, TensorBoard and Weights & Biases on request."""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tercet.errors import OptionError, OutputError
from tercet.train.recipe import LoopRecipe
from tercet.train.run_folder import RunFolder


class Logbook:
    """Writes figures. What a killed run wrote after its last checkpoint is cut off by the next."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: LoopRecipe,
        settings: Mapping[str, Any],
        *,
        step: int,
        size: int,
    ) -> None:
        """Open everything.

        Args:
            folder: The run's.
            recipe: Says what is wanted.
            settings: For wandb.
            step: The step that the run goes on from.
            size: Bytes of metrics.jsonl at that step.

        Raises:
            OptionError: what is wanted is not installed.
            OutputError: nothing can be written.
        """
        self._folder, self._path = folder, folder.metrics
        self._board = _tensorboard(folder.path, step) if recipe.tensorboard else None
        self._wandb = _wandb(folder, recipe.wandb, settings) if recipe.wandb else None
        try:
            # Unbuffered: what a full disk refuses must not wait for a second try at closing.
            self._file = self._path.open("ab", buffering=0)
            self._file.truncate(size)
        except OSError as error:
            raise self._fault(error) from None

    @property
    def size(self) -> int:
        """Bytes of metrics.jsonl so far."""
        return self._file.seek(0, 2)

    def write(self, step: int, figures: Mapping[str, Any]) -> None:
        """Write one line.

        Raises:
            OutputError: the disk is full.
        """
        row = {"step": step, **{name: _rounded(value) for name, value in figures.items()}}
        numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
        try:
            line = memoryview(json.dumps(row).encode() + b"\n")
            while line:  # the system may take a part, and refuse the rest
                line = line[self._file.write(line) :]
            if self._board is not None:
                for name, value in numbers.items():
                    self._board.add_scalar(name, value, step)
        except OSError as error:
            raise self._fault(error) from None
        if self._wandb is not None:
            self._wandb.log(numbers, step=step)

    def close(self) -> None:
        """Finish everything."""
        self._file.close()
        if self._board is not None:
            with suppress(OSError):  # on a full disk; metrics.jsonl has all that it has
                self._board.close()
        if self._wandb is not None:
            self._wandb.finish()

    def _fault(self, error: OSError) -> OutputError:
        return self._folder.fault(self._path, error)


def _rounded(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _tensorboard(folder: Path, step: int) -> Any:
    if find_spec("tensorboard") is None:
        raise OptionError("tensorboard is not installed: pip install tensorboard, or set it false")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)


def _wandb(folder: RunFolder, project: str, settings: Mapping[str, Any]) -> Any:
    if find_spec("wandb") is None:
        raise OptionError("wandb is not installed: pip install wandb, or leave the key wandb out")
    import wandb  # type: ignore[import-not-found, unused-ignore]

    kept = folder.path / "wandb_id.txt"  # a resumed run is the same run there
    if not kept.is_file():
        folder.write_text(kept.name, secrets.token_hex(8))
    return wandb.init(
        project=project,
        name=folder.path.name,
        id=kept.read_text(),
        dir=str(folder.path),
        config=dict(settings),
        resume="allow",
    )
