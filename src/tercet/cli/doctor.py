"""`tercet doctor`: what is installed, what was chosen, what is missing. Prints; `tercet.doctor` finds out.

argparse, not typer: a doctor that needs healthy packages is none.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from tercet.cli import exit_codes
from tercet.doctor.facts import Engine, Facts, Package

_HELP = """\
Say what this installation is made of, what it would choose, and what is missing.

Shows versions, engines, the processor, memory, models, caches and settings of the hub, then one line
for each thing that keeps it from listening, and for what would help. Uses no network; shows no token
and no password.
"""
_EPILOG = (
    "Exit code: 0 if text can be made on this machine, 1 if something is in the way, 2 (usage)."
)
_READERS = (
    "libavformat",
    "libavcodec",
    "libavutil",
)  # of FFmpeg's libraries, those that read files
_Row = tuple[str, str]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        options = _parser().parse_args(list(argv))
    except SystemExit as end:  # argparse has said why, in its own words; or printed the help
        return exit_codes.USAGE if end.code else exit_codes.OK
    from tercet.doctor.diagnosis import notes, problems
    from tercet.doctor.gather import gather

    facts = gather()
    in_the_way, helpful = problems(facts), notes(facts)
    if options.json:
        verdict = {"is_ready": not in_the_way, "problems": in_the_way, "notes": helpful}
        text = json.dumps({**facts.to_json(), **verdict}, indent=2, ensure_ascii=False) + "\n"
    else:
        text = _report(facts, in_the_way, helpful, bold=_is_bold())
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        from tercet.cli.listening.outputs import close_stdout

        close_stdout()
        return exit_codes.FAILED
    return exit_codes.FAILED if in_the_way else exit_codes.OK


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tercet doctor",
        description=_HELP,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="For machines: one JSON object.")
    return parser


class _Parser(argparse.ArgumentParser):
    """Usage errors in one line, as the other commands have them."""

    def error(self, message: str) -> NoReturn:
        """End with the line."""
        self.exit(exit_codes.USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _report(facts: Facts, problems: Sequence[str], notes: Sequence[str], *, bold: bool) -> str:
    """The whole page."""
    sections = {
        "Tercet": [*_versions(facts), *_packages(facts)],
        "Engines": [*map(_engine, facts.engines), *_choice(facts)],
        "Machine": list(_machine(facts)),
        "Models": list(_models(facts)),
        "Hub": list(_hub(facts)),
    }
    width = max(len(key) for rows in sections.values() for key, _ in rows)
    lines = []
    for title, rows in sections.items():
        lines += [_heading(title, bold), *(f"  {key:<{width}}  {value}" for key, value in rows), ""]
    if notes:
        lines += [_heading("Worth knowing", bold), *(f"  - {line}" for line in notes), ""]
    if problems:
        lines += [_heading("In the way", bold), *(f"  - {line}" for line in problems)]
    else:
        lines.append("Ready: text can be made on this machine.")
    return "\n".join(lines) + "\n"


def _heading(title: str, bold: bool) -> str:
    return f"\033[1m{title}\033[0m" if bold else title


def _is_bold() -> bool:
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def _versions(facts: Facts) -> list[_Row]:
    return [("tercet", facts.tercet), ("python", facts.python), ("platform", facts.platform)]


def _packages(facts: Facts) -> Iterator[_Row]:
    for package in facts.packages:
        yield package.name, _state(package)
        if package.name == "av" and facts.ffmpeg:
            libraries = (f"{name} {version}" for name, version in facts.ffmpeg if name in _READERS)
            yield "", f"FFmpeg's {', '.join(libraries)}"


def _state(package: Package) -> str:
    if package.version is None:
        return "not installed"
    if package.error is not None:
        return f"{package.version}, broken: {package.error}"
    return f"{package.version}, too old" if package.is_too_old else package.version


def _engine(engine: Engine) -> _Row:
    name = f"{engine.name} ({engine.title})" if engine.title != engine.name else engine.name
    if not engine.is_installed:
        return name, "not installed"
    version = engine.version or "of unknown version"
    if engine.error is not None:
        return name, f"{version}, broken: {engine.error}"
    if not engine.is_tried:
        return name, f"{version}, not tried (its import takes long)"
    return name, f"{version}: {', '.join(engine.providers)}" if engine.providers else version


def _choice(facts: Facts) -> Iterator[_Row]:
    if (choice := facts.choice) is None:
        yield "auto", "cannot be chosen"
        return
    yield "auto, encoder", choice.encoder
    yield "auto, decoder", choice.decoder
    yield "auto, compute_type", f"{choice.compute_type}, on {choice.device}"
    yield "because", choice.reason


def _machine(facts: Facts) -> Iterator[_Row]:
    cpu = facts.cpu
    overridden = f" (TERCET_CPU={facts.cpu_override})" if facts.cpu_override else ""
    yield "processor", cpu.name or "of unknown name"
    yield "kind", cpu.kind + overridden
    yield "features", ", ".join(sorted(cpu.features)) or "none that matter"
    limited = f" of {facts.visible_cores}" if cpu.cores < facts.visible_cores else ""
    yield "cores", f"{cpu.cores}{limited}: as many threads, unless --threads says otherwise"
    if facts.kernels_error is not None:
        yield "8-bit kernels", "cannot be run"
    elif facts.wrong_kernels:
        yield "8-bit kernels", f"clip sums: {', '.join(facts.wrong_kernels)}"
    else:
        yield "8-bit kernels", "right"
    yield "memory", f"{_size(facts.memory_bytes)}, {_size(facts.available_bytes)} free"
    for gpu in facts.gpus or ("none seen (nvidia-smi)",):
        yield "gpu", gpu


def _models(facts: Facts) -> Iterator[_Row]:
    for model in facts.models:
        state = f"cannot be opened: {model.error}" if model.error else _size(model.size_bytes)
        yield model.name, f"{model.place}, {state}{', ' if model.folder else ''}{model.folder}"
    if not facts.models:
        yield "none", "on this machine"
    for cache in facts.caches:
        if not cache.is_there:
            what = "empty"
        else:
            what = f"{'' if cache.is_size_complete else 'more than '}{_size(cache.size_bytes)}"
        writable = "" if cache.is_writable else ", cannot be written"
        yield (
            cache.name,
            f"{cache.folder}: {what}{writable}, {_size(cache.free_bytes)} free on its disk",
        )


def _hub(facts: Facts) -> Iterator[_Row]:
    hub = facts.hub
    yield "token", {True: "found", False: "none", None: "unknown"}[hub.has_token]
    yield "network", "switched off (HF_HUB_OFFLINE)" if hub.is_offline else "allowed"
    if hub.endpoint is not None:
        yield "endpoint", hub.endpoint
    if hub.proxies:
        yield "proxies", f"{', '.join(hub.proxies)} set"


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "unknown"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
