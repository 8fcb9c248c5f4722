"""From a path to an open checkpoint.

Recognises the layout. Names and hub ids are `hub.py`'s concern.
"""

from pathlib import Path

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.ctranslate2 import open_ctranslate2
from tercet.checkpoint.hugging_face import open_hugging_face
from tercet.checkpoint.openai import open_openai
from tercet.checkpoint.settings import read_json_object
from tercet.errors import CheckpointError, ModelNotFoundError

_IN_FOLDER = ("config.json", "model.safetensors", "model.bin", "model.safetensors.index.json")
FOREIGN = (
    (b"lmgg", "a whisper.cpp model (GGML)"),
    (b"ggml", "a whisper.cpp model (GGML)"),
    (b"GGUF", "a GGUF model"),
    (b"version https://git-lfs", "a git-lfs pointer without its data; run `git lfs pull`"),
    (b"\x89HDF", "a TensorFlow model"),
    (b"<!doctype", "a web page, not a model: the download went wrong"),
    (b"<html", "a web page, not a model: the download went wrong"),
)
_WANTED = "a Hugging Face folder, an OpenAI .pt file, or a CTranslate2 folder"


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint of any layout; arrays are read later, one by one.

    Args:
        path: A folder (Hugging Face's, CTranslate2's, Tercet's own), one of the files in it, or an
            OpenAI `.pt`.

    Raises:
        ModelNotFoundError: nothing is there.
        UnsafePickleError: a pickle that wants to call the operating system.
        CheckpointError: damaged, incomplete, or something else than a Whisper.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _open_folder(path)
        if not path.is_file():
            raise ModelNotFoundError(f"{path}: no such file or folder; give {_WANTED}")
        _refuse_foreign(path)
        in_folder = path.name in _IN_FOLDER or path.name == "pytorch_model.bin"
        if in_folder and (path.parent / "config.json").is_file():
            return _open_folder(path.parent)
        return open_openai(path)
    except OSError as error:
        if isinstance(error, ModelNotFoundError):
            raise
        raise CheckpointError(f"{path}: cannot be read ({error}); check its permissions") from error


def _open_folder(folder: Path) -> Checkpoint:
    config_file, weights = folder / "config.json", folder / "model.bin"
    config = read_json_object(config_file) if config_file.is_file() else {}
    for one in sorted(folder.glob("*.bin")) + sorted(folder.glob("*.safetensors")):
        _refuse_foreign(one)
    if "tercet_format" in config:
        from tercet.checkpoint.native import open_native  # late: native builds on this layer

        return open_native(folder)
    if "model_type" in config:
        return open_hugging_face(folder)
    if weights.is_file():
        return open_ctranslate2(folder)
    if (folder / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{folder}: an adapter (LoRA or its kin) without its model; give the model, and this folder as "
            "its adapter (--adapter)"
        )
    single = sorted(folder.glob("*.pt"))
    if len(single) == 1 and not config:
        return open_openai(single[0])
    if config:
        raise CheckpointError(
            f"{config_file}: no 'model_type'; this does not describe a Whisper model"
        )
    raise CheckpointError(f"{folder}: no config.json and no model in it; give {_WANTED}")


def _refuse_foreign(path: Path) -> None:
    """Say what a file of another world is, rather than that it is damaged."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(64)
    for magic, kind in FOREIGN:
        if start.startswith(magic) or start.lower().startswith(magic):
            raise CheckpointError(f"{path}: {kind}; give {_WANTED}")
