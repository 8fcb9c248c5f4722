"""Which heads and adapter a run reads with, known by what they hold: what was trained anew is another.

Opens and fetches none.
"""

import hashlib
from pathlib import Path

from tercet.cli.options.groups import NO_HEAD, ModelOptions

_DIGITS = 16  # 64 bits of SHA-256


def heads_by_content(options: ModelOptions) -> dict[str, str]:
    """What --resume goes by: {"tags": ..., "tokens": ...} for the heads that a run would open.

    A file on this machine stands for its content, wherever it lies, also one that came with the model. A
    file of the hub stands for its name, since it may have yet to be fetched; so does what is not there.
    """
    from tercet.hub.heads import head_here  # late: --help needs none of it

    named = options.heads
    beside = _beside(options.model)
    contents: dict[str, str] = {}
    for reading in ("tags", "tokens"):
        name = named.get(reading)
        if reading in options.idle_heads or (name is None and reading not in beside):
            continue
        if name is None:
            contents[reading] = _content(beside[reading])
        else:
            file = None if name == NO_HEAD else head_here(name)
            contents[reading] = name if file is None else _content(file)
    return contents


def adapter_by_content(options: ModelOptions) -> dict[str, str]:
    """What --resume goes by: {"adapter": ...}, or nothing where none is named.

    As heads: one on this machine stands for its content, one of the hub for its name.
    """
    if options.adapter is None:
        return {}
    from tercet.hub.adapters import adapter_content, adapter_here  # late: --help needs none of it
    from tercet.hub.find import model_here

    is_here = adapter_here(options.adapter, model_here(options.model)) is not None
    content = adapter_content(options.adapter, options.model) if is_here else options.adapter
    return {"adapter": content}


def _beside(model: str) -> dict[str, Path]:
    """Heads in the model's folder; none of the hub's, which may have yet to be fetched."""
    from tercet.hub.find import model_here
    from tercet.hub.heads import heads_beside

    folder = model_here(model)
    return {} if folder is None else heads_beside(folder)


def _content(file: Path) -> str:
    """A short name for a file's content; its path where it cannot be read, which is said elsewhere."""
    try:
        with file.open("rb") as content:
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()[:_DIGITS]}"
    except OSError:
        return str(file)
