"""Files of speech tokens: text, JSON, JSON lines, and Parquet (`token_tables`). Every reader starts here.

Nothing is written here: `render_tokens` returns text, and `TokenTableWriter` writes tables.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from tercet.dataset import token_json
from tercet.dataset.token_tables import read_table
from tercet.dataset.token_text import parse_token_text
from tercet.dataset.token_windows import of_unknown_codebook
from tercet.errors import OptionError, TokensError
from tercet.results import SpeechTokens

FORMATS = ("txt", "json", "jsonl")
SUFFIXES = (".txt", ".json", ".jsonl", ".parquet")
_MOST_BYTES = 256 * 2**20  # 200 h in the text form
_MOST_LINE_BYTES = 64 * 2**20
_RATE_HZ = 25.0  # of a text, which does not say


def render_tokens(tokens: SpeechTokens, format_name: str, *, file: str | None = None) -> str:
    """Speech tokens in one of `FORMATS`; `read_tokens` reads them back.

    - txt: Ichigo's text form, one window per line. Times, codebook and depth are lost.
    - json: one object on one line, without a line end.
    - jsonl: one window per line.

    Args:
        tokens: Of one recording, or of one channel or part of it.
        format_name: One of `FORMATS`.
        file: The recording's name, for JSON; several recordings in one file are told apart by it.

    Raises:
        OptionError: no such format.
    """
    writers: dict[str, Callable[[], str]] = {
        "txt": lambda: tokens.to_text().replace("<|sound_end|>", "<|sound_end|>\n"),
        "json": lambda: token_json.json_object(tokens, file),
        "jsonl": lambda: token_json.json_lines(tokens, file),
    }
    if format_name not in writers:
        raise OptionError(
            f"{format_name!r} is not a format of speech tokens; choose {', '.join(FORMATS)}"
        )
    return writers[format_name]()


def read_tokens(path: str | Path, *, depth: int = 1) -> Iterator[tuple[str, SpeechTokens]]:
    """Every recording of a file, with its name; a folder is read as a table (`TokenTableWriter`).

    The name is what the file says (`file` in JSON, `audio_id` in a table), or the file's own without its
    ending. A recording of several channels comes once for each. A text says neither times nor codebook:
    its windows lie end to end from 0 s, its fingerprint is "", its codebook as small as its ids allow.

    Args:
        path: .txt, .json, .jsonl or .parquet, or a folder of tables.
        depth: Levels of the quantizer, for files that do not say (text).

    Raises:
        TokensError: while iterating, too: the file is missing, damaged, cut short, or something else.
    """
    path = Path(path)
    readers: dict[str, Callable[[], Iterator[tuple[str, SpeechTokens]]]] = {
        ".txt": lambda: _read_text(path, depth),
        ".json": lambda: _read_json(path, depth),
        ".jsonl": lambda: token_json.of_json_lines(
            _lines(path), name=str(path), source=path.stem, depth=depth
        ),
        ".parquet": lambda: read_table(path),
    }
    if path.is_dir():
        return read_table(path)
    if path.suffix.lower() not in readers:
        raise TokensError(f"{path}: is not called {', '.join(SUFFIXES)}; what does it hold?")
    return readers[path.suffix.lower()]()


def _read_text(path: Path, depth: int) -> Iterator[tuple[str, SpeechTokens]]:
    groups = parse_token_text(_text(path), name=str(path)).groups
    yield (
        path.stem,
        of_unknown_codebook(groups, depth=depth, rate_hz=_RATE_HZ, name=str(path)),
    )


def _read_json(path: Path, depth: int) -> Iterator[tuple[str, SpeechTokens]]:
    for value in token_json.load_json(_text(path), str(path)):
        yield from token_json.of_json(value, name=str(path), source=path.stem, depth=depth)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > _MOST_BYTES:
        raise TokensError(
            f"{path}: has more than {_MOST_BYTES >> 20} MB; write corpora as .jsonl or .parquet"
        )
    return _decoded(content, str(path))


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MOST_LINE_BYTES + 1):
                number += 1
                if len(line) > _MOST_LINE_BYTES:
                    raise TokensError(
                        f"{path}: line {number} has more than {_MOST_LINE_BYTES >> 20} MB"
                    )
                yield _decoded(line, f"{path}: line {number}")
    except OSError as error:
        raise _unreadable(path, error) from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise TokensError(f"{name}: is no text in UTF-8") from None


def _unreadable(path: Path, error: OSError) -> TokensError:
    return TokensError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})")
