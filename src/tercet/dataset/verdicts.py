"""Which labels are kept, as a table beside them: `filter.parquet`, one row per window."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tercet.dataset.shard_files import arrow, write_fault
from tercet.dataset.whole_file import whole_file
from tercet.errors import DataError, OutputError

NAME = "filter.parquet"
RULE_KEY = b"tercet_filter"  # in the file's metadata: the rule, as JSON
_KINDS = {"kept": "bool", "wer": "float", "cer": "float", "reference_words": "int32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one label."""

    id: str
    kept: bool
    reason: str | None  # why not
    wer: float | None  # None: there is no reference
    cer: float | None
    reference_words: int | None


def write_verdicts(folder: Path, verdicts: Sequence[Verdict], rule: str) -> Path:
    """Write the table in one step, over an earlier one.

    Raises:
        OutputError: it cannot be written; an earlier one is left.
    """
    pa = arrow(OutputError, str(folder))
    columns = [
        pa.field(each.name, pa.type_for_alias(_KINDS.get(each.name, "string")))
        for each in fields(Verdict)
    ]
    schema = pa.schema(columns, metadata={RULE_KEY: rule.encode()})
    table = pa.Table.from_pylist([asdict(each) for each in verdicts], schema=schema)
    try:
        with whole_file(folder / NAME) as path:
            pa.parquet.write_table(table, path, compression="zstd")
    except OSError as error:
        raise write_fault(folder, error) from None
    return folder / NAME


def read_verdicts(folder: str | Path) -> dict[str, Verdict]:
    """All verdicts by their label's id.

    Raises:
        DataError: there is no such table, or it is damaged; pyarrow is missing.
    """
    path = Path(folder) / NAME
    pa = arrow(DataError, str(path))
    try:
        rows = pa.parquet.read_table(path).to_pylist()
        return {row["id"]: Verdict(**row) for row in rows}
    except FileNotFoundError:
        raise DataError(f"{path}: is not there; make it: tercet label") from None
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not readable as a table of verdicts ({reason})") from None
