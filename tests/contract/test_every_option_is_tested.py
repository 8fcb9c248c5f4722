"""Every option of the commands that hear or measure has a test of its effect: one marked with its name.

`@pytest.mark.option("--name")` is a claim of the test's author; this file finds those missing.
"""

import ast
from pathlib import Path

import typer

from tercet.cli import card, distill, label, push
from tercet.cli import eval as evaluation
from tercet.cli.detokenize import DetokenizeOptions
from tercet.cli.listen import ListenOptions
from tercet.cli.options.table import flags
from tercet.cli.tag import TagCommandOptions
from tercet.cli.tokenize import TokenizeOptions

COMMANDS = (ListenOptions, TagCommandOptions, TokenizeOptions, DetokenizeOptions)
TESTS = Path(__file__).resolve().parents[1]


def marked_options(source: str) -> set[str]:
    """The names in `pytest.mark.option("--name")`, decorators and parameters alike."""
    return {
        argument.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.option"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def options_of_typer() -> set[str]:
    """The long options of `label`, `card`, `push`, and of all below `eval` and `distill`, as written."""
    groups = [
        typer.main.get_command(each.app()).commands.values() for each in (evaluation, distill)
    ]
    alone = [typer.main.get_command(each.app()) for each in (label, card, push)]
    commands = [*(each for group in groups for each in group), *alone]
    names = {name for each in commands for option in each.params for name in option.opts}
    return {name for name in names if name.startswith("--")}


def test_every_option_has_a_test_that_is_marked_with_it() -> None:
    marked = {
        name
        for path in sorted(TESTS.rglob("test_*.py"))
        for name in marked_options(path.read_text())
    }
    options = {f"--{name}" for command in COMMANDS for name in flags(command)} | options_of_typer()
    assert set() == options - marked, "without a test"
    assert set() == marked - options, "tests of options that do not exist"


def test_a_mark_is_found_and_a_mere_mention_is_not() -> None:
    source = '@pytest.mark.option("--seed")\ndef test_it():\n    "not pytest.mark.option("\n'
    assert {"--seed"} == marked_options(source)
    assert set() == marked_options("def test_it():\n    run('--seed')\n")
