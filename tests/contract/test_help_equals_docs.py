"""The pages in docs/ say what `--help` says, and docs/cli.md lists the flags that come later."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tercet.cli.main import main
from tercet.cli.options.later import LATER_FLAGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
Row = tuple[str, str, str, str]  # names, value, default, help


@pytest.fixture
def help_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """`help_of("listen")`: what `tercet listen --help` prints on a wide terminal."""
    for name, value in {"COLUMNS": "250", "TERMINAL_WIDTH": "250", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)

    def print_help(command: str) -> str:
        assert main([command, "--help"]) == 0
        return capsys.readouterr().out

    return print_help


@pytest.fixture
def help_text(help_of: Callable[[str], str]) -> str:
    return help_of("listen")


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


def part_of_docs(text: str, command: str) -> str:
    """What stands between the two comments around a command's options."""
    return text.partition(f"<!-- options of {command}")[2].partition("<!-- end of options")[0]


def rows_of_docs(part: str) -> dict[str, list[Row]]:
    """Tables: | names | value | default | help |, each below its panel's name."""
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
    part = part_of_docs(PAGE.read_text(), "listen")
    assert in_help == rows_of_docs(part), f"docs/cli.md should hold\n\n{expected}"


@pytest.mark.parametrize("command", ["tag", "tokenize", "detokenize", "show"])
def test_the_page_says_which_options_a_command_shares_with_listen_and_lists_the_others(
    help_of: Callable[[str], str], command: str
) -> None:
    of_listen = {row for rows in rows_of_help(help_of("listen")).values() for row in rows}
    in_help = rows_of_help(help_of(command))
    del in_help["Options"]
    own = {
        panel: left
        for panel, rows in in_help.items()
        if (left := [row for row in rows if row not in of_listen])
    }
    shared = [row[0].split()[0] for rows in in_help.values() for row in rows if row in of_listen]
    part = part_of_docs(PAGE.read_text(), command)
    line = ", ".join(f"`{name}`" for name in shared)
    expected = "\n".join([f"As for `tercet listen`: {line}.\n", *as_tables(own)])
    assert own == rows_of_docs(part), f"docs/cli.md should hold\n\n{expected}"
    (told,) = re.findall(r"^As for `tercet listen`: (.*)\.$", part, flags=re.MULTILINE)
    assert shared == re.findall(r"`(--\w+)`", told), f"docs/cli.md should hold\n\n{expected}"


def test_the_page_lists_the_flags_of_later_releases_and_what_they_accept() -> None:
    part = PAGE.read_text().partition("## Flags that come later")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `--(\w+)` \| (.*?) \|$", part, flags=re.MULTILINE)
    assert {
        name: " ".join(f"`{value}`" for value in flag.accepted)
        for name, flag in LATER_FLAGS.items()
    } == dict(told)


def test_the_help_says_what_a_newcomer_needs_first(help_text: str) -> None:
    for words in ("FILES are", "--output_dir", "Exit code", "standard input"):
        assert words in help_text


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("models.md", ["models", "list"]),
        ("models.md", ["models", "pull"]),
        ("convert.md", ["convert"]),
        ("doctor.md", ["doctor"]),
        ("label.md", ["label"]),
        ("distill.md", ["distill", "init"]),
        ("distill.md", ["distill", "align"]),
        ("train.md", ["train", "tags"]),
        ("train.md", ["train", "tokens"]),
        ("train.md", ["train", "text"]),
        ("eval.md", ["eval", "text"]),
        ("eval.md", ["eval", "tags"]),
        ("eval.md", ["eval", "tokens"]),
        ("eval.md", ["eval", "probe"]),
        ("publish.md", ["card"]),
        ("publish.md", ["push"]),
    ],
)
def test_a_commands_page_has_a_row_for_every_option_and_no_other(
    page: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COLUMNS": "250", "TERMINAL_WIDTH": "250", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(SystemExit):  # argparse leaves so
        main([*words, "--help"])
    in_help = options_of_help(capsys.readouterr().out)
    text = (PAGE.parent / page).read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.replace(r"\|", "\0").strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| (`\w+` \| )?`--", line)
    ]
    if not rows[0][0].startswith(
        "`--"
    ):  # one table for several commands, which the first column names
        rows = [row[1:] for row in rows if row[0] == f"`{words[-1]}`"]
    assert in_help == {row[0].strip("`"): row[-1].replace("\0", "|") for row in rows}


def options_of_help(text: str) -> dict[str, str]:
    """Each option's name and its line of help, from typer's boxes or from argparse's list."""
    found = {}
    for line in text.splitlines():
        if match := re.match(
            r"[│ ]+(--\w+)(?:\s+-\w)?\s.*?\s{2,}(\S.*?)(?: \[default: .*\])?[ │]*$", line
        ):
            found[match[1]] = re.sub(
                r"^(?:<bool>|[A-Z=]+(?: [A-Z])?|\w+(?:\|\w+)+)\s{2,}", "", match[2]
            )
    found.pop("--help", None)
    return found
