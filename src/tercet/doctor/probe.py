"""Imports packages and says what it found, in a process of its own: `python -m tercet.doctor.probe NAME ...`.

A broken package may raise, hang, print, or take the process with it; whoever started this one reads a line
of JSON for each name that was finished, in order, and so knows where it ended.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tercet import telemetry

Found = dict[str, Any]


def main(names: Sequence[str]) -> None:
    """Examine each name and write its line: `{"name": ..., "found": {...}}`, or "error" instead."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what packages print is not the answer
        telemetry.switch_off()
        for name in names:
            try:
                answer = {
                    "name": name,
                    "found": _EXAMINERS.get(name.partition(":")[0], _import)(name),
                }
            except BaseException as error:  # SystemExit too
                answer = {"name": name, "error": _one_line(error)}
            print(json.dumps(answer), file=out, flush=True)
        out.flush()
    os._exit(0)  # some packages crash when they are torn down, which harms nobody


def _one_line(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _import(name: str) -> Found:
    importlib.import_module(name)
    return {}


def _av(name: str) -> Found:
    libraries = importlib.import_module(name).library_versions
    return {"ffmpeg": {key: ".".join(map(str, numbers)) for key, numbers in libraries.items()}}


def _onnxruntime(name: str) -> Found:
    return {"providers": list(importlib.import_module(name).get_available_providers())}


def _openvino(name: str) -> Found:
    return {"providers": list(importlib.import_module(name).Core().available_devices)}


def _torch(name: str) -> Found:
    cuda = importlib.import_module(name).cuda
    count = cuda.device_count() if cuda.is_available() else 0
    return {"providers": ["cpu", *(f"cuda:{index}" for index in range(count))]}


def _hub(name: str) -> Found:
    """Token or not, where the cache is, and the copies of models in it and in openai-whisper's."""
    from tercet.hub.caches import cache_root
    from tercet.hub.inventory import PACKAGE, UNFINISHED, list_models

    hub = importlib.import_module(name)
    copies = [
        {
            "name": model.name,
            "place": copy.place,
            "folder": str(copy.path),
            "size_bytes": copy.size_bytes,
            "missing": list(copy.missing),
        }
        for model in list_models()
        for copy in model.copies
        if copy.place not in (PACKAGE, UNFINISHED)
    ]
    return {
        "has_token": hub.get_token() is not None,
        "cache": str(cache_root()),
        "copies": copies,
    }


def _memory(name: str) -> Found:
    from tercet.engine.memory import available_bytes

    free = available_bytes()
    return {"available_bytes": free if free < sys.maxsize else None}


def _kernels(name: str) -> Found:
    from tercet.engine.saturation import wrong_int8_kernels

    return {"wrong": sorted(wrong_int8_kernels())}


def _choice(name: str) -> Found:
    from tercet.engine.choice import choose

    chosen = asdict(choose())
    return {
        key: str(chosen[key]) for key in ("encoder", "decoder", "compute_type", "device", "reason")
    }


def _checkpoint(folder: str) -> Found:
    """Opens the files of `checkpoint:FOLDER`: headers are read and sizes compared, weights are not read."""
    from tercet.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(Path(folder.partition(":")[2]))
    return {"layout": checkpoint.layout}


_EXAMINERS: dict[str, Callable[[str], Found]] = {
    "av": _av,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch": _torch,
    "huggingface_hub": _hub,
    "memory": _memory,
    "kernels": _kernels,
    "choice": _choice,
    "checkpoint": _checkpoint,
}

if __name__ == "__main__":
    main(sys.argv[1:])
