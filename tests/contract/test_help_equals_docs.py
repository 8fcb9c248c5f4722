"""docs/cli.md says what `tercet listen --help` says, and lists the flags that come later."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tercet.cli.later import LATER_FLAGS
from tercet.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
Row = tuple[str, str, str, str]  # names, value, default, help


@pytest.fixture
def help_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    for name, value in {"COLUMNS": "250", "TERMINAL_WIDTH": "250", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["listen", "--help"]) == 0
    return capsys.readouterr().out


def rows_of_help(text: str) -> dict[str, list[Row]]:
    """Each panel's rows. A panel opens with `╭─ Name`; a row is names, value, help, [default]."""
    panels: dict[str, list[Row]] = {}
    for line in text.splitlines():
        if opened := re.match(r"╭─ ([\w ]+?) ─", line):
            panels[opened[1]] = []
        elif line.startswith("│") and line.strip("│ "):
            cells = re.split(r"\s{2,}", line.strip("│ "))
            default = re.search(r"\[default: (.*)\]$", cells[-1])
            names = [name for cell in cells[:-2] for name in cell.split(",")]
            told = cells[-1].partition(" [default: ")[0]
            list(panels.values())[-1].append(
                (" ".join(names), cells[-2], default[1] if default else "", told)
            )
    return panels


def rows_of_docs(text: str) -> dict[str, list[Row]]:
    """The tables between the two comments: | names | value | default | help |."""
    part = text.partition("<!-- options")[2].partition("<!-- end of options")[0]
    panels: dict[str, list[Row]] = {}
    for line in part.splitlines():
        if line.startswith("### "):
            panels[line[4:]] = []
        elif line.startswith("| `--"):
            cells = [cell.strip() for cell in line.replace(r"\|", "\0").strip("|").split("|")]
            bare = [cell.replace("\0", "|") for cell in cells]
            names, value, default = (cell.replace("`", "") for cell in bare[:3])
            list(panels.values())[-1].append((names, value, default, bare[3]))
    return panels


def as_tables(panels: dict[str, list[Row]]) -> Iterator[str]:
    """What docs/cli.md should hold: shown where it does not."""
    for panel, rows in panels.items():
        yield f"### {panel}\n\n| option | value | default | |\n| --- | --- | --- | --- |"
        for names, value, default, told in rows:
            spelled = " ".join(f"`{name}`" for name in names.split())
            shown = value.replace("|", r"\|")
            yield f"| {spelled} | `{shown}` | `{default}` | {told} |"
        yield ""


def test_the_page_lists_the_options_of_the_help(help_text: str) -> None:
    in_help = rows_of_help(help_text)
    del in_help["Options"]  # --help itself
    assert 30 < sum(len(rows) for rows in in_help.values())
    expected = "\n".join(as_tables(in_help))
    assert in_help == rows_of_docs(PAGE.read_text()), f"docs/cli.md should hold\n\n{expected}"


def test_the_page_lists_the_flags_of_later_releases_and_what_they_accept() -> None:
    part = PAGE.read_text().partition("## Flags that come later")[2]
    told = re.findall(r"^\| `--(\w+)` \| (.*?) \|$", part, flags=re.MULTILINE)
    assert {
        name: " ".join(f"`{value}`" for value in flag.accepted)
        for name, flag in LATER_FLAGS.items()
    } == dict(told)


def test_the_help_says_what_a_newcomer_needs_first(help_text: str) -> None:
    for words in ("FILES are", "--output_dir", "Exit code", "standard input"):
        assert words in help_text
