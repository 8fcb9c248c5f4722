"""Every block of the README runs as it stands: Python, and lines of the command line.

A block that cannot run here (it installs, trains, or needs a network) has an HTML comment
`<!-- not run: why -->` on the line above it.
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
    r"(?P<mark><!-- not run: [^>]+ -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block that can be run."""

    language: str
    body: str

    def commands(self) -> list[list[str]]:
        """What to execute, as argument lists."""
        if self.language == "python":
            return [[sys.executable, "-c", self.body]]
        lines = [line.removeprefix("$ ").split(" #")[0] for line in self.body.splitlines()]
        return [shlex.split(line) for line in lines if line.startswith("tercet ")]


def blocks(text: str) -> list[Block]:
    """The blocks that are to run."""
    return [
        Block(found["language"], found["body"])
        for found in FENCE.finditer(text)
        if found["language"] in {"python", "console", "sh", "bash"} and not found["mark"]
    ]


README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
COMMANDS = [command for block in README for command in block.commands()]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:3])[-60:])
def test_a_block_of_the_readme_runs(command: list[str], tmp_path: Path, repository: Path) -> None:
    (tmp_path / "examples").symlink_to(repository / "examples")
    (tmp_path / "tests").symlink_to(repository / "tests")
    programs = str(Path(sys.executable).parent)
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": programs + os.pathsep + os.environ["PATH"],
            "HF_HUB_OFFLINE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    written = [path for path in tmp_path.iterdir() if not path.is_symlink()]
    assert run.stdout.strip() or written


def test_the_readme_has_python_and_commands_to_run() -> None:
    assert any(command[0] == sys.executable for command in COMMANDS)
    assert any(command[:2] == ["tercet", "listen"] for command in COMMANDS)


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
