"""A checkpoint of any layout -> a folder: Tercet's stored form, plain floats, or ONNX graphs.

The folder appears complete or not at all. What a name means, and what is drawn, is the caller's concern.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.native import FORMAT, WEIGHTS
from tercet.checkpoint.safetensors_writer import file_bytes
from tercet.checkpoint.save import write_safetensors, write_settings, write_vocabulary
from tercet.checkpoint.whole_folder import check_replaceable, whole_folder
from tercet.convert.export import graph_files, write_graphs
from tercet.convert.quantize import BLOCK
from tercet.convert.smooth import fold
from tercet.convert.store import StoredForm, quantization_config, write_stored
from tercet.errors import OptionError, OutputError
from tercet.text.vocabulary_files import VOCABULARY_FILES

TARGETS: Mapping[str, tuple[str, ...]] = {  # what is written -> its number types
    "tercet": ("int8", "float16", "float32"),
    "onnx": ("int8", "float32"),
}
SETTINGS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
WRITTEN = frozenset({WEIGHTS, *SETTINGS, *VOCABULARY_FILES, *graph_files()})
_ITEM_BYTES = {"int8": 1, "float16": 2, "float32": 4}
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What is to be made of a checkpoint."""

    folder: Path
    to: str = "tercet"
    compute_type: str = "int8"
    force: bool = False  # replace a folder that an earlier conversion wrote

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one is not allowed.
        """
        if self.to not in TARGETS:
            raise OptionError(f"to is {self.to!r}; give one of {', '.join(TARGETS)}")
        allowed = TARGETS[self.to]
        if self.compute_type not in allowed:
            raise OptionError(
                f"compute_type is {self.compute_type!r}; {self.to} has {', '.join(allowed)}"
            )

    def check_folder(self, source: Path | None = None) -> None:
        """Fail before hours of work if the folder cannot be written.

        Raises:
            OutputError: something is there that must not be replaced, or it is the source.
        """
        folder = Path(self.folder).expanduser().resolve()
        if source is not None and folder == folder_of(source):
            raise OutputError(f"{folder}: is the source itself; name another folder")
        check_replaceable(folder, replace=self.force, known=WRITTEN)


def convert(
    checkpoint: Checkpoint,
    conversion: Conversion,
    *,
    name: str,
    tokenizer_file: Path,
    statistics: Mapping[str, np.ndarray] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, int]:
    """Write the folder.

    Args:
        checkpoint: What is converted; it is read array by array.
        conversion: Where to, and into what.
        name: The model's name, for the file's metadata.
        tokenizer_file: The model's tokenizer.json.
        statistics: Of `calibrate.measure`, for 8 bits; None leaves the encoder unfolded.
        on_progress: Called with (done, in all), in units of its own.

    Returns:
        The files' names and sizes in bytes.

    Raises:
        OutputError: the folder must not be replaced, or cannot be written; nothing was changed then.
        CheckpointError: an array is damaged.
        TokenizerError: the tokenizer cannot be read.
    """
    conversion.check_folder(checkpoint.path)
    with whole_folder(conversion.folder, replace=conversion.force, known=WRITTEN) as folder:
        if conversion.to == "onnx":
            _write_onnx(checkpoint, conversion, folder, tokenizer_file, statistics, on_progress)
        elif conversion.compute_type == "int8":
            _write_int8(checkpoint, folder, tokenizer_file, name, statistics, on_progress)
        else:
            _write_floats(checkpoint, conversion, folder, tokenizer_file, on_progress)
        return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def _write_int8(
    checkpoint: Checkpoint,
    folder: Path,
    tokenizer_file: Path,
    name: str,
    statistics: Mapping[str, np.ndarray] | None,
    on_progress: OnProgress,
) -> None:
    form = StoredForm(checkpoint, statistics)
    check_space(folder, file_bytes(form.plans))
    facts = {"name": name, "source": checkpoint.layout}
    write_stored(folder / WEIGHTS, form, facts, on_progress=on_progress)
    columns = form.columns_per_scale
    quantization = quantization_config(columns if columns == BLOCK else None)
    more = {"tercet_format": FORMAT, "quantization_config": quantization}
    geometry, generation = checkpoint.geometry, checkpoint.generation
    write_settings(folder.joinpath, geometry, generation, tokenizer_file, "float16", more)


def _write_floats(
    checkpoint: Checkpoint,
    conversion: Conversion,
    folder: Path,
    tokenizer_file: Path,
    on_progress: OnProgress,
) -> None:
    dtype = conversion.compute_type
    check_space(folder, _numbers(checkpoint) * _ITEM_BYTES[dtype])
    write_safetensors(folder / WEIGHTS, checkpoint, dtype, on_progress=on_progress)
    geometry, generation = checkpoint.geometry, checkpoint.generation
    write_settings(folder.joinpath, geometry, generation, tokenizer_file, dtype)
    write_vocabulary(folder.joinpath, tokenizer_file)


def _write_onnx(
    checkpoint: Checkpoint,
    conversion: Conversion,
    folder: Path,
    tokenizer_file: Path,
    statistics: Mapping[str, np.ndarray] | None,
    on_progress: OnProgress,
) -> None:
    check_space(folder, _numbers(checkpoint) * _ITEM_BYTES[conversion.compute_type])
    folded = checkpoint if statistics is None else fold(checkpoint, statistics)[0]
    write_graphs(folded, folder, conversion.compute_type, on_progress=on_progress)
    geometry, generation = checkpoint.geometry, checkpoint.generation
    write_settings(folder.joinpath, geometry, generation, tokenizer_file, "float32")


def folder_of(source: Path) -> Path:
    """The folder that a checkpoint's path is, or lies in."""
    found = source.resolve()
    return found if found.is_dir() else found.parent


def _numbers(checkpoint: Checkpoint) -> int:
    return sum(prod(checkpoint.shape(name)) for name in checkpoint.names())


def check_space(folder: Path, needed_bytes: int) -> None:
    """Better before the first byte than after the last that fits.

    Raises:
        OutputError: less is free on the folder's disk.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise OutputError(
            f"{folder.parent}: {free_bytes / 1e6:.0f} MB are free, {needed_bytes / 1e6:.0f} MB are needed; "
            "free space, or choose another disk"
        )
