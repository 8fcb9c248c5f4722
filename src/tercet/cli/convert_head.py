"""`tercet convert` for heads: any system's file -> one safetensors file of Tercet's, and its summary.

What the command line says is read in `convert.py`.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from tercet.catalog import known_model
from tercet.errors import OptionError, OutputError

if TYPE_CHECKING:
    from tercet.checkpoint.heads import Head

_MAX_LABEL_FILE_BYTES = 16 * 2**20
_NAME_COLUMNS = ("display_name", "label", "name")  # AudioSet's own first
_NUMBER_COLUMNS = ("index", "id")
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConversion:
    """What is to be made of a head."""

    source: str
    file: Path
    compute_type: str = "float32"
    mode: str | None = None  # Whisper-AT's
    labels: Path | None = None
    encoder: str | None = None  # the model to bind it to
    force: bool = False  # replace a file that an earlier conversion wrote


def convert_head(conversion: HeadConversion, on_progress: OnProgress) -> str:
    """Write the file; returns the summary, one line.

    Raises:
        TercetError: the head cannot be had or opened, does not fit, or cannot be written; nothing was
            changed.
    """
    from tercet.checkpoint import open_checkpoint
    from tercet.convert.head_fit import bound_to
    from tercet.convert.head_store import COMPUTE_TYPES, write_head
    from tercet.hub import find_model
    from tercet.hub.heads import load_head

    began_s = monotonic()
    if conversion.compute_type not in COMPUTE_TYPES:
        raise OptionError(
            f"compute_type is {conversion.compute_type!r}; a head has {', '.join(COMPUTE_TYPES)}"
        )
    _check_replaceable(conversion)
    labels = None if conversion.labels is None else read_labels(conversion.labels)
    head = load_head(
        conversion.source, mode=conversion.mode, labels=labels, on_progress=on_progress
    )
    if _is_same_file(head.arrays.path, conversion.file):
        raise OutputError(f"{conversion.file}: is the source itself; name another file")
    if conversion.encoder is not None:
        checkpoint = open_checkpoint(find_model(conversion.encoder, on_progress=on_progress))
        known = known_model(conversion.encoder)
        head = bound_to(head, checkpoint, known.name if known else Path(conversion.encoder).name)
    write_head(conversion.file, head, compute_type=conversion.compute_type)
    return f"{_summary(conversion, head)}, {monotonic() - began_s:.0f} s"


def read_labels(path: Path) -> tuple[str, ...]:
    """Labels from a text file (one per line), a CSV (AudioSet's, or one column) or a JSON list.

    A CSV with a header has them under "display_name", "label" or "name", in the order of its column
    "index" or "id" if there is one.

    Raises:
        OptionError: the file cannot be read, or holds no list of names.
    """
    try:
        if path.stat().st_size > _MAX_LABEL_FILE_BYTES:
            raise OptionError(f"{path}: too large for a list of labels")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            found = json.loads(text)
        elif path.suffix.lower() == ".csv":
            found = _from_csv(path, text)
        else:
            found = [line.strip() for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, OptionError):
            raise
        reason = " ".join(str(error).split())
        raise OptionError(f"{path}: cannot be read as labels ({reason})") from error
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise OptionError(f"{path}: holds no list of names; give one name per line")
    return tuple(found)


def _from_csv(path: Path, text: str) -> list[str]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if column is None:
        if any(len(row) != 1 for row in rows):
            raise OptionError(
                f"{path}: has no column {', '.join(_NAME_COLUMNS)}; name one so, or give one column"
            )
        return [row[0].strip() for row in rows]
    if any(len(row) != len(header) for row in rows):
        raise OptionError(f"{path}: rows differ in their number of cells; quote names with commas")
    body = rows[1:]
    number = next((header.index(name) for name in _NUMBER_COLUMNS if name in header), None)
    if number is not None and all(row[number].strip().isdecimal() for row in body):
        body.sort(key=lambda row: int(row[number]))
        if [int(row[number]) for row in body] != list(range(len(body))):
            raise OptionError(f"{path}: its numbers are not 0, 1, 2, ... without a gap")
    return [row[column].strip() for row in body]


def _check_replaceable(conversion: HeadConversion) -> None:
    """Only a head that a conversion wrote is ever replaced, and only on demand."""
    from tercet.checkpoint.head_file import is_head_file

    file = conversion.file
    if not file.exists() and not file.is_symlink():
        return
    if not conversion.force:
        raise OutputError(f"{file}: is there already; --force replaces it")
    if not is_head_file(file):
        raise OutputError(f"{file}: is no head that a conversion wrote; name another file")


def _is_same_file(source: Path, target: Path) -> bool:
    return target.exists() and source.exists() and source.samefile(target)


def _summary(conversion: HeadConversion, head: "Head") -> str:
    """`tags.safetensors: tag head wa_mlp of 'base' in float32, 527 labels, 1.1 MB, BSD-2-Clause`."""
    from tercet.checkpoint.heads import Quantizer, TagHead
    from tercet.convert.head_store import codebook_fingerprint

    if isinstance(head, TagHead):
        kind = f"tag head {head.mode}"
        facts = f"{head.n_labels} labels"
    elif isinstance(head, Quantizer):
        kind = "quantizer"
        mask = "" if head.mask_code is None else f" ({head.mask_code} is the mask)"
        book = codebook_fingerprint(head)
        facts = f"{head.codebook_size} codes{mask} at {head.rate_hz:g} Hz, codebook {book}"
    else:
        kind, facts = "draft", f"{head.shortlist} of {head.vocab_size} tokens"
    encoder = f" of {head.origin.encoder_name!r}" if head.origin.encoder_name else ""
    size = f"{conversion.file.stat().st_size / 1e6:.1f} MB"
    licence = head.origin.licence or "licence unknown"
    return f"{conversion.file}: {kind}{encoder} in {conversion.compute_type}, {facts}, {size}, {licence}"
