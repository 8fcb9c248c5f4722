"""The entry point: picks the command and turns errors into exit codes. Imports nothing heavy.

Each command is one module with `run(argv) -> int`; it is imported when it is called for.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from tercet.cli import exit_codes

# The command -> its module and one line of help.
COMMANDS = {
    "listen": ("tercet.cli.listen", "Write down what is said in recordings."),
    "tag": ("tercet.cli.tag", "Find the sounds in recordings: what, when, how surely."),
    "tokenize": (
        "tercet.cli.tokenize",
        "Turn recordings into speech tokens, and corpora into tables.",
    ),
    "detokenize": ("tercet.cli.detokenize", "Write down what speech tokens say."),
    "show": ("tercet.cli.show", "Draw one picture of a recording: sound, words, events, tokens."),
    "convert": (
        "tercet.cli.convert",
        "Turn a checkpoint or a head into Tercet's smaller, faster files.",
    ),
    "label": (
        "tercet.cli.label",
        "Write down recordings with a teacher, for a student to learn from.",
    ),
    "distill": ("tercet.cli.distill", "Make a smaller model from some layers of a larger one."),
    "train": (
        "tercet.cli.train",
        "Train heads and text decoders; go on with a run that was stopped.",
    ),
    "eval": ("tercet.cli.eval", "Measure models, heads and encoders over a manifest."),
    "codebook": ("tercet.cli.codebook", "Grow, shrink and merge codebooks; say how they are used."),
    "models": ("tercet.cli.models", "List, fetch and remove models."),
    "card": ("tercet.cli.card", "Write a model's page for the hub, from what is known of it."),
    "push": ("tercet.cli.push", "Publish a model, its heads or an adapter on the hub."),
    "doctor": ("tercet.cli.doctor", "Say what is installed, what is chosen, what is missing."),
}


def run() -> NoReturn:
    """What the `tercet` program calls."""
    raise SystemExit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the program's name.

    Returns:
        The exit code: 0, 1 (an input failed), 2 (usage), 130 (Ctrl-C).
    """
    first = argv[0] if argv else "--help"
    if first in ("--version", "-V"):
        print(f"tercet {_version()}")
        return exit_codes.OK
    if first in ("--help", "-h", "help"):
        print(_help_text(), end="")
        return exit_codes.OK
    if first not in COMMANDS:
        print(f"tercet: {_not_a_command(first)}", file=sys.stderr)
        return exit_codes.USAGE
    try:
        module = importlib.import_module(COMMANDS[first][0])
        return int(module.run(list(argv[1:])))
    except KeyboardInterrupt as interrupt:
        print(f"tercet: {str(interrupt) or 'stopped'}", file=sys.stderr)
        return exit_codes.INTERRUPTED


def _version() -> str:
    from importlib.metadata import version

    return version("tercet")


def _help_text() -> str:
    rows = "".join(f"  {name:<10} {line}\n" for name, (_, line) in COMMANDS.items())
    return (
        "Usage: tercet COMMAND ...\n\n"
        "Hear an audio file once: what is said, what sounds, and speech tokens.\n\n"
        f"Commands:\n{rows}\n"
        "  tercet listen talk.mp3                 print the text\n"
        "  tercet listen talk.mp3 -f srt -o out   write out/talk.srt\n"
        "  tercet tag street.ogg --tags HEAD      print its sounds and their times\n\n"
        "tercet COMMAND --help lists a command's options; tercet --version prints the version.\n"
    )


def _not_a_command(word: str) -> str:
    from difflib import get_close_matches
    from pathlib import Path

    if word.startswith("-"):
        return f"no such option: {word}; options come after a command: tercet listen ..."
    close = get_close_matches(word, COMMANDS, n=1)
    if close:
        return f"no such command: {word}; did you mean 'tercet {close[0]}'?"
    if Path(word).exists() or Path(word).suffix:
        return f"no such command: {word}; to hear a file: tercet listen {word}"
    return f"no such command: {word}; the commands are {', '.join(COMMANDS)}"


if __name__ == "__main__":
    run()
