"""Make the weights of `tercet-base` from OpenAI's Whisper base: one command, the same bytes every time.

usage: python recipes/base/make.py SOURCE [FOLDER]

SOURCE is a folder with the genuine weights (any layout that tercet reads), or `hub` for openai/whisper-base.
FOLDER defaults to models/base/tercet_base. Needs no torch and, with a folder, no network.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from safetensors.numpy import load_file

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.native import FORMAT, WEIGHTS
from tercet.checkpoint.save import settings_files
from tercet.convert.store import StoredForm, quantization_config, write_stored
from tercet.errors import TercetError

HERE = Path(__file__).resolve().parent
CALIBRATION_FILE = HERE / "calibration.safetensors"
PACKAGE = HERE.parent.parent / "models" / "base" / "tercet_base"
FACTS = {
    "name": "base",
    "licence": "MIT",
    "source": "openai/whisper-base (OpenAI, 2022), float16 weights",
    "calibration": "recipes/base/calibration.safetensors",
}


def find_source(source: str) -> Path:
    """A folder as it is; `hub` through the model finder."""
    if source != "hub":
        return Path(source)
    from tercet.hub import find_model

    return find_model("openai/whisper-base")


def main(source: str, folder: Path) -> None:
    """Write weights, settings, tokenizer and checksums.

    Raises:
        TercetError: the source cannot be read, is another model than base, or the folder is full.
    """
    checkpoint = open_checkpoint(find_source(source))
    if checkpoint.tokenizer_file is None:
        sys.exit(f"{source}: has no tokenizer.json; put the model's beside its weights")
    form = StoredForm(checkpoint, load_file(CALIBRATION_FILE))
    folder.mkdir(parents=True, exist_ok=True)
    write_stored(folder / WEIGHTS, form, FACTS)
    for name, values in settings_of(checkpoint).items():
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copyfile(checkpoint.tokenizer_file, folder / "tokenizer.json")
    write_checksums(folder)


def settings_of(checkpoint: Checkpoint) -> dict[str, dict[str, object]]:
    """Hugging Face's settings, with Tercet's format number and the quantization said in `config.json`."""
    files = settings_files(
        checkpoint.geometry, checkpoint.generation, checkpoint.tokenizer_file, "float16"
    )
    files["config.json"] |= {"tercet_format": FORMAT, "quantization_config": quantization_config()}
    return files


def write_checksums(folder: Path) -> None:
    """SHA-256 of every file that this script wrote, in the form that `sha256sum -c` reads."""
    names = [WEIGHTS, *sorted(settings_names(folder)), "tokenizer.json"]
    lines = []
    for name in names:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        lines.append(f"{digest}  {name}\n")
        print(f"{digest}  {name}  {(folder / name).stat().st_size / 1e6:.2f} MB")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def settings_names(folder: Path) -> list[str]:
    """The settings files of the folder."""
    return [path.name for path in folder.glob("*config.json")]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else PACKAGE)
    except TercetError as fault:
        sys.exit(str(fault))
