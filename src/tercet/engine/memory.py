"""Whether a model fits into memory: what it needs, what there is. Asked before any graph is opened.

Without this the operating system kills the process halfway, without a word.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import expected_shapes
from tercet.errors import EngineError

_ROOT = Path("/")
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD, of malloc.h
_LARGE_BLOCK_BYTES = 1 << 19  # less than a layer's keys of one window
_PROCESS_BYTES = 200e6  # Python, NumPy, ONNX Runtime, an open recording, the voice detector
# Per number of the model: while graphs are opened there are arrays beside the kernels' copies of them,
# afterwards the copies. Measured for int8 and float32; the torch engine's half precisions are reckoned.
_LOADING_BYTES = {"int8": 3.1, "float32": 7.5, "bfloat16": 4.5, "float16": 4.5}
_LOADED_BYTES = {"int8": 2.9, "float32": 7.0, "bfloat16": 2.5, "float16": 2.5}
_CROSS_BYTES = {
    "int8": 1,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
}  # per number of keys and values
_WORK_FACTOR = 6  # an encoder layer's buffers, in units of its widest one
_NO_LIMIT = 2**60  # cgroups write "no limit" as a number beyond any machine


def give_back_freed() -> None:
    """Let the C library give large blocks back to the system as soon as they are freed (glibc only).

    By default it keeps blocks of ever larger sizes for later, of which encoding and decoding, in turns,
    leave more and more unused: some 40 MB in an hour of audio.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def needed_bytes(geometry: Geometry, compute_type: str, batch_size: int) -> int:
    """What a process needs at its peak to load a model and to hear windows of 30 s.

    An estimate, within a fifth of what was measured from tiny to large.

    Args:
        geometry: The model's sizes.
        compute_type: "int8", "float32", "bfloat16" or "float16".
        batch_size: Windows decoded together.
    """
    numbers = sum(prod(shape) for shape in expected_shapes(geometry).values())
    frames, width, tokens = geometry.n_audio_ctx, geometry.width, geometry.n_text_ctx
    cross = 2 * geometry.decoder_layers * frames * width * _CROSS_BYTES[compute_type]
    cache = 2 * geometry.decoder_layers * tokens * width * 4
    logits = 2 * geometry.vocab_size * 4
    encoding = _WORK_FACTOR * frames * geometry.mlp_width * 4
    hearing = encoding + batch_size * (cross + cache + logits)
    loaded = numbers * _LOADED_BYTES[compute_type] + hearing
    return int(_PROCESS_BYTES + max(numbers * _LOADING_BYTES[compute_type], loaded))


def available_bytes(root: Path = _ROOT) -> int:
    """What this process may still take: the machine's free memory, its containers' and its own limits.

    Memory that only caches files counts as free. Where the system does not tell, `sys.maxsize`.
    `root` is the root folder, for tests.
    """
    found = [sys.maxsize, *_machine(root), *_groups(root), *_process(root)]
    return max(0, min(found))


def check_fits(name: str, geometry: Geometry, compute_type: str, batch_size: int) -> None:
    """Refuse a model that cannot fit.

    Raises:
        EngineError: it needs more than there is; one line says how much, and what to do.
    """
    needed, available = needed_bytes(geometry, compute_type, batch_size), available_bytes()
    if needed <= available:
        return
    smaller = needed_bytes(geometry, "int8", 1)
    if compute_type != "int8" and smaller <= available:
        way = f"compute_type 'int8' and batch_size 1 need {_size(smaller)}"
    elif batch_size > 1 and needed_bytes(geometry, compute_type, 1) <= available:
        way = f"batch_size 1 needs {_size(needed_bytes(geometry, compute_type, 1))}"
    else:
        way = "choose a smaller model"
    raise EngineError(
        f"model {name!r} needs about {_size(needed)} of memory in {compute_type}, and "
        f"{_size(available)} are free; {way}, or free memory"
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def _machine(root: Path) -> Iterator[int]:
    """Linux's own estimate; elsewhere all of the machine's memory."""
    info = _fields(root / "proc/meminfo")
    if "MemAvailable:" in info:
        yield info["MemAvailable:"] * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(root: Path) -> Iterator[int]:
    """What every control group above this process still allows (containers, batch systems)."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        if not controllers:  # version 2
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        inside = mount / place.strip("/")
        # In a container the path is the host's, and the folder at hand is the container's own.
        for folder in dict.fromkeys([inside, *inside.parents]):
            if folder == mount or mount in folder.parents:
                yield from _group(folder, *names)


def _group(folder: Path, limit_name: str, used_name: str, prefix: str) -> Iterator[int]:
    limit, used = _text(folder / limit_name).strip(), _text(folder / used_name).strip()
    if not (limit.isdigit() and used.isdigit()) or int(limit) >= _NO_LIMIT:
        return
    kept = _fields(folder / "memory.stat")
    cached = sum(kept.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    yield int(limit) - int(used) + min(cached, int(used))


def _process(root: Path) -> Iterator[int]:
    """What `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        pages = (_text(root / "proc/self/statm").split() or ["0"])[0]
        yield limit - int(pages) * resource.getpagesize()


def _fields(path: Path) -> Mapping[str, int]:
    """A file of lines `name number ...`."""
    words = [line.split() for line in _text(path).splitlines()]
    return {w[0]: int(w[1]) for w in words if len(w) > 1 and w[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
