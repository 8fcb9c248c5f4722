"""Files under 400 lines and functions of 60 at most, so that each can be read in one go."""

import ast
from pathlib import Path

import pytest

FILE_LINES = 400
FUNCTION_LINES = 60
FOLDERS = ("src", "recipes", "benchmarks")
BANNED = {"utils", "util", "common", "helpers", "helper", "misc"}


def long_functions(text: str) -> list[str]:
    """Names and lengths of functions over the limit, docstring and decorators included."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if (lines := node.end_lineno - first + 1) > FUNCTION_LINES:
                found.append(f"{node.name}: {lines} lines")
    return found


@pytest.fixture(scope="module")
def sources(repository: Path) -> dict[str, str]:
    files = [path for folder in FOLDERS for path in (repository / folder).rglob("*.py")]
    return {str(path.relative_to(repository)): path.read_text(encoding="utf-8") for path in files}


def test_no_file_is_longer_than_the_limit(sources: dict[str, str]) -> None:
    lengths = {name: len(text.splitlines()) for name, text in sources.items()}
    assert {} == {name: lines for name, lines in lengths.items() if lines > FILE_LINES}


def test_no_function_is_longer_than_the_limit(sources: dict[str, str]) -> None:
    assert {} == {name: long for name, text in sources.items() if (long := long_functions(text))}


def test_a_long_function_is_caught() -> None:
    body = "\n".join(["    pass"] * FUNCTION_LINES)
    assert ["long: 61 lines"] == long_functions(f"def long():\n{body}\n")
    assert [] == long_functions(f"def short():\n{body[9:]}\n")


def test_every_file_opens_with_what_it_is(sources: dict[str, str]) -> None:
    written = {name: ast.parse(text) for name, text in sources.items() if text.strip()}
    assert [] == [name for name, tree in written.items() if not ast.get_docstring(tree)]


def test_files_and_folders_are_named_for_what_they_hold(
    tracked_files: list[Path], repository: Path
) -> None:
    parts = {part for path in tracked_files for part in path.relative_to(repository).parts}
    assert set() == {part for part in parts if part.split(".")[0].lower() in BANNED}
