"""Every block of the README runs as it stands: Python, and lines of the command line.

A block that cannot run here (it installs, trains, or needs a network) has an HTML comment
`<!-- not run: why -->` on the line above it; `<!-- in order -->`
is above a block whose lines need each other.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?(?P<order><!-- in order -->\n)?"
    r"^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block that can be run."""

    language: str
    body: str
    in_order: bool = False

    def commands(self) -> list[list[str]]:
        """What to execute, as argument lists."""
        if self.language == "python":
            return [[sys.executable, "-c", self.body]]
        lines = [line.removeprefix("$ ").split(" #")[0] for line in self.body.splitlines()]
        starts = ("tercet ", "cp ") if self.in_order else ("tercet ",)
        return [shlex.split(line) for line in lines if line.startswith(starts)]


def blocks(text: str) -> list[Block]:
    """The blocks that are to run."""
    return [
        Block(found["language"], found["body"], in_order=bool(found["order"]))
        for found in FENCE.finditer(text)
        if found["language"] in {"python", "console", "sh", "bash"} and not found["mark"]
    ]


README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
ALONE = [command for block in README if not block.in_order for command in block.commands()]
IN_ORDER = [block.commands() for block in README if block.in_order]


def told(command: list[str]) -> str:
    """A test's name."""
    return " ".join(command[:3])[-60:]


def run(command: list[str], folder: Path, *, timeout_s: int) -> str:
    """Run a command in a folder; what it wrote to stdout."""
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": programs + os.pathsep + os.environ["PATH"],
            "HF_HUB_OFFLINE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def link(folder: Path, repository: Path) -> None:
    """Give a folder what the README's commands name."""
    for name in ("examples", "tests", "recipes"):
        (folder / name).symlink_to(repository / name)


@pytest.mark.parametrize("command", ALONE, ids=told)
def test_a_line_of_the_readme_runs(command: list[str], tmp_path: Path, repository: Path) -> None:
    link(tmp_path, repository)
    said = run(command, tmp_path, timeout_s=300)
    written = [path for path in tmp_path.iterdir() if not path.is_symlink()]
    assert said.strip() or written


@pytest.mark.parametrize("commands", IN_ORDER, ids=lambda commands: told(commands[-1]))
def test_lines_that_need_each_other_run_one_after_the_other(
    commands: list[list[str]], tmp_path: Path, repository: Path
) -> None:
    link(tmp_path, repository)
    for command in commands:
        run(command, tmp_path, timeout_s=900)


def test_the_readme_has_python_and_commands_to_run() -> None:
    assert any(command[0] == sys.executable for command in ALONE)
    assert any(command[:2] == ["tercet", "listen"] for command in ALONE)


def test_marks_and_languages_decide_what_runs() -> None:
    text = (
        "```python\nprint(1)\n```\n<!-- not run: installs -->\n```sh\ntercet a\n```\n"
        "```console\n$ tercet listen x.wav  # note\nhello\n```\n```text\ntercet b\n```\n"
    )
    assert [[sys.executable, "-c", "print(1)\n"], ["tercet", "listen", "x.wav"]] == [
        command for block in blocks(text) for command in block.commands()
    ]


def test_the_readme_fits_five_screens() -> None:
    assert 250 >= len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())


def test_lines_in_order_may_copy_files() -> None:
    text = "<!-- in order -->\n```sh\ncp a b  # note\ntercet c\n```\n```sh\ncp d e\ntercet f\n```\n"
    assert [(True, [["cp", "a", "b"], ["tercet", "c"]]), (False, [["tercet", "f"]])] == [
        (block.in_order, block.commands()) for block in blocks(text)
    ]
