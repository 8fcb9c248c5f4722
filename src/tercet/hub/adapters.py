"""Find a PEFT adapter: by path, by the name of one that came with a model, or as a repository of the hub.

Whether it is one that can be merged is `checkpoint/adapter.py`'s concern.
"""

from pathlib import Path

from tercet.checkpoint.adapter import adapter_digest
from tercet.errors import ModelNotFoundError, TercetError
from tercet.hub.caches import snapshot_folder
from tercet.hub.find import HUB_ID, is_offline, model_here
from tercet.hub.transfer import Progress

_FILES = ("adapter_config.json", "adapter_model.safetensors")
_WAY = "give the folder of a copy"


def find_adapter(
    name: str | Path,
    *,
    beside: Path | None = None,
    offline: bool | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """A folder or file that `tercet.checkpoint.adapter.open_adapter` can open.

    Args:
        name: A PEFT folder, the file of weights in one, the name of a folder that lies in the model's own
            ("true-length"), or a hub id ("owner/name"), of which two files are fetched. A path that is there
            comes first.
        beside: The model, a folder or a file in one.
        offline: True never asks the hub; None follows the environment's `HF_HUB_OFFLINE`.
        on_progress: Called while bytes arrive, with those done and those known to come.

    Raises:
        ModelNotFoundError: nothing of that name can be had; one line says what to do.
    """
    if (path := adapter_here(name, beside)) is not None:
        return path
    text = str(name)
    if isinstance(name, Path) or not HUB_ID.fullmatch(text):
        own = ", ".join(adapters_beside(beside))
        more = f"; with the model came {own}" if own else ""
        raise ModelNotFoundError(
            f"adapter {text!r}: no such file or folder; give a PEFT folder, or a hub id (owner/name){more}"
        )
    folder = snapshot_folder(text)
    if folder is not None and all((folder / file).is_file() for file in _FILES):
        return folder
    about = f"adapter {text!r}"
    if is_offline(offline):
        raise ModelNotFoundError(
            f"{about} is not on this machine and the hub is switched off; {_WAY}"
        )
    from tercet.hub.fetch import fetch_file

    found = [fetch_file(about, _WAY, text, file, on_progress=on_progress) for file in _FILES]
    return found[-1].parent


def adapter_here(name: str | Path, beside: Path | None = None) -> Path | None:
    """The file or folder that a name stands for on this machine; None for what is elsewhere, or nowhere."""
    try:
        path = Path(name).expanduser()
        if str(name) and path.exists():
            return path
    except (OSError, RuntimeError, ValueError):  # too long for a path, no such user
        return None
    return adapters_beside(beside).get(str(name))


def adapters_beside(model: Path | None) -> dict[str, Path]:
    """The adapters that came with a model (a folder, or a file in one): folders of PEFT, by their names."""
    if model is None:
        return {}
    folder = model if model.is_dir() else model.parent
    found = sorted(each.parent for each in folder.glob(f"*/{_FILES[0]}"))
    return {folder.name: folder for folder in found}


def adapter_content(name: str | Path, model: str | Path) -> str:
    """What tells an adapter from others: what it holds, if it is on this machine (the hub's cache included).

    The name stands for one that is not, or cannot be opened, which is said where it is.
    """
    try:
        return (
            f"sha256:{adapter_digest(find_adapter(name, beside=model_here(model), offline=True))}"
        )
    except TercetError:
        return str(name)
