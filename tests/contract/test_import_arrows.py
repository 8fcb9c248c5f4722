"""Which room of `src/tercet` may import which, read from the source; and torch in `model/` and `train/`.

Imports inside functions count too. The rules are drawn in docs/ARCHITECTURE.md.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tercet"

# A room may import its own line and the lines above it. A new room must be put here.
LINES: tuple[frozenset[str], ...] = (
    frozenset({"errors", "results", "telemetry"}),
    frozenset({"audio", "text", "checkpoint", "catalog", "hub", "dataset"}),
    frozenset({"convert", "engine"}),
    frozenset({"decoding"}),
    frozenset({"longform", "readings", "listener"}),
    frozenset({"model"}),  # torch
    frozenset({"doctor"}),
    # Pick an engine, torch's among them, by a late import.
    frozenset({"loading", "head_loading", "draft_loading"}),
    frozenset(
        {"train", "evaluate", "labelling", "publish"}
    ),  # torch and Lightning in the first alone
    frozenset({"__init__"}),  # the public page
    frozenset({"compat", "picture"}),  # the originals' calls; one recording as one picture
    frozenset({"cli", "__main__"}),
)
RANKS = {room: rank for rank, rooms in enumerate(LINES) for room in rooms}
TORCH_ROOMS = frozenset({"model", "train"})
TORCH = frozenset({"torch", "torchaudio", "lightning", "torchmetrics"})
PEERS = frozenset({"transformers", "whisper", "faster_whisper", "ctranslate2", "openai"})
# Transcript.to_srt() and its like are written where users look, and done where they belong.
NAMED_EXCEPTIONS = frozenset(
    ("results", f"tercet.text.{module}") for module in ("captions", "event_formats", "labels")
)


def room_of(module: str) -> str:
    """`tercet.audio.mel` -> `audio`; `tercet` -> `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Full names of all modules that a file imports; `package` is the one the file lies in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            if module == "tercet":  # `from tercet import audio` names a room, or a public name
                yield from (
                    f"tercet.{alias.name}" if alias.name in RANKS else "tercet"
                    for alias in node.names
                )
            else:
                yield module
        elif isinstance(node, ast.Call):
            yield from imported_by_call(node)


def imported_by_call(node: ast.Call) -> Iterator[str]:
    """`import_module("tercet.model")` and `__import__("torch")`."""
    called = (
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    )
    if called in {"import_module", "__import__"} and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def violations(sources: Mapping[str, str]) -> list[str]:
    """One line per forbidden import. Keys are paths below `src/tercet`, values the source text."""
    found = []
    for path, text in sorted(sources.items()):
        parts = Path(path).with_suffix("").parts
        room = parts[0]
        if room not in RANKS:
            found.append(f"{path}: the room {room!r} is not listed in {Path(__file__).name}")
            continue
        package = ".".join(["tercet", *parts[:-1]])
        for module in imported(ast.parse(text), package):
            if reason := forbidden(room, module):
                found.append(f"{path}: imports {module} ({reason})")
    return found


def forbidden(room: str, module: str) -> str | None:
    """Why a room may not import a module, or None."""
    top = module.split(".")[0]
    if top in PEERS:
        return "a peer to be measured against, never a dependency"
    if top in TORCH and room not in TORCH_ROOMS:
        return "torch belongs in model/ and train/ alone"
    if top != "tercet" or (room, module) in NAMED_EXCEPTIONS:
        return None
    target = room_of(module)
    if target not in RANKS:
        return "not a room"
    return "upward" if RANKS[target] > RANKS[room] else None


def test_no_import_points_upward() -> None:
    sources = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8")
        for path in SOURCE.rglob("*.py")
    }
    assert len(sources) > 10
    assert [] == violations(sources)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("audio/load.py", "import torch"),
        ("audio/load.py", "def f():\n    import torch.nn as nn"),
        ("cli/listen.py", "def f():\n    from torch import nn"),
        ("engine/onnx.py", "import importlib\nimportlib.import_module('torch')"),
        ("decoding/session.py", "from tercet.longform import parallel"),
        ("decoding/session.py", "def f():\n    from tercet.longform.parallel import run"),
        ("decoding/session.py", "from ..longform import parallel"),
        ("decoding/session.py", "from tercet import listener"),
        ("audio/load.py", "from tercet import load_model"),
        ("audio/load.py", "import tercet.engine.onnx"),
        ("results.py", "from tercet.text.tokenizer import Tokenizer"),
        ("errors.py", "from .audio import load"),
        ("text/tokenizer.py", "import transformers"),
        ("newroom/thing.py", ""),
        ("audio/load.py", "import tercet.nowhere"),
    ],
)
def test_a_forbidden_import_is_caught(path: str, text: str) -> None:
    assert 1 == len(violations({path: text}))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model/encoder.py", "import torch\nfrom tercet.checkpoint.arrays import Checkpoint"),
        ("hub/find.py", "from tercet.catalog import known_model"),
        ("longform/parallel.py", "from . import merge\nfrom ..decoding import session"),
        ("results.py", "def f():\n    from tercet.text.captions import render"),
        ("cli/listen.py", "import tercet\nfrom tercet import audio, load_model"),
        ("__init__.py", "def f():\n    from tercet.model.engine import TorchEngine"),
    ],
)
def test_an_allowed_import_passes(path: str, text: str) -> None:
    assert [] == violations({path: text})
