"""Which processor this is, as far as the choice of engine depends on it. Runs no kernel and never raises.

Linux and macOS say what a processor can do. Windows says little (no VNNI, no AMX); there, and under a
hypervisor that hides or invents instructions, `TERCET_CPU` says which kind it is.
"""

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tercet.engine.limits import cpu_quota

OVERRIDE = "TERCET_CPU"
KINDS = ("amx", "vnni", "avx2", "arm", "other")
FEATURES = frozenset(
    {
        *("amx_int8", "amx_bf16", "amx_tile"),
        *("avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
        *("avx2", "fma", "f16c"),
        *("neon", "asimddp", "i8mm", "bf16"),
    }
)
# What makes a kind, best first: one of these features is enough.
_DECISIVE: dict[str, frozenset[str]] = {
    "amx": frozenset({"amx_int8"}),
    "vnni": frozenset({"avx512_vnni", "avx_vnni"}),
    "avx2": frozenset({"avx2"}),
    "arm": frozenset({"asimddp"}),
}
# What a kind brings with it where `TERCET_CPU` asks for it.
_IMPLIED: dict[str, frozenset[str]] = {
    "amx": frozenset({"amx_int8", "amx_bf16", "amx_tile", "avx512f", "avx512_vnni", "avx2", "fma"}),
    "vnni": frozenset({"avx512_vnni", "avx512f", "avx2", "fma"}),
    "avx2": frozenset({"avx2", "fma"}),
    "arm": frozenset({"neon", "asimddp"}),
    "other": frozenset(),
}
# Of each kind, the features that may be kept when a better processor has to pass for it.
_KEPT: dict[str, frozenset[str]] = {
    "amx": FEATURES,
    "vnni": frozenset(each for each in FEATURES if not each.startswith("amx")),
    "avx2": frozenset({"avx512f", "avx2", "fma", "f16c"}),
    "arm": frozenset({"neon", "asimddp", "i8mm", "bf16"}),
    "other": frozenset({"neon", "fma", "f16c"}),
}
# Other systems' names for the same things.
_SYNONYMS = {"asimd": "neon", "avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16"}
_MACOS_ARM = {
    "hw.optional.neon": "neon",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
}
_WINDOWS = {19: "neon", 40: "avx2", 41: "avx512f", 43: "asimddp"}  # IsProcessorFeaturePresent


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor, as this process may use it."""

    name: str  # as the system says it, "" if it does not
    cores: int  # that this process may use: affinity, and the container's quota rounded up
    features: frozenset[str]  # those of `FEATURES` that it has

    @property
    def kind(self) -> str:
        """One of `KINDS`: what the choice of engine depends on.

        "vnni" and "amx" multiply 8-bit numbers without saturating; "arm" is an Arm with dot products.
        """
        return next((kind for kind, any_of in _DECISIVE.items() if any_of & self.features), "other")


def this_cpu() -> Cpu:
    """The processor that this process runs on; read once, `TERCET_CPU` looked at each time."""
    cpu = _detected()
    kind = os.environ.get(OVERRIDE, "").strip().lower()
    return as_kind(cpu, kind) if kind in KINDS else cpu


def as_kind(cpu: Cpu, kind: str) -> Cpu:
    """The processor as if it were of another kind: better features left out, its own put in."""
    if cpu.kind == kind:
        return cpu
    return replace(cpu, features=(cpu.features & _KEPT[kind]) | _IMPLIED[kind])


@functools.cache
def _detected() -> Cpu:
    readers: dict[str, Callable[[], tuple[str, frozenset[str]]]] = {
        "linux": _read_linux,
        "darwin": _read_macos,
        "win32": _read_windows,
    }
    try:
        name, features = readers[sys.platform]()
    except Exception:  # a strange system; what is unknown is "other", which works everywhere
        name, features = "", frozenset()
    return Cpu(name or _platforms_name(), usable_cores(), features)


def usable_cores() -> int:
    """Cores that this process may keep busy, at least 1."""
    quota = cpu_quota()
    return max(1, visible_cores() if quota is None else min(visible_cores(), quota))


def visible_cores() -> int:
    """Cores that threads of this process may be put on, whatever a quota says."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS, Windows
        return os.cpu_count() or 1


def parse_cpuinfo(lines: Iterable[str]) -> tuple[str, frozenset[str]]:
    """Name and features of the first processor in /proc/cpuinfo; all of them share theirs."""
    name = ""
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.lower() == "model name":
            name = value
        if key in ("flags", "Features"):  # x86, Arm; the name, where there is one, comes before
            return name, _known(value.split())
    return name, frozenset()


def parse_sysctl(text: str) -> tuple[str, frozenset[str]]:
    """Name and features from macOS' `sysctl hw.optional machdep.cpu`: "key: value" lines."""
    values = {key.strip(): value.strip() for key, _, value in map(_halves, text.splitlines())}
    names = [
        *values.get("machdep.cpu.features", "").split(),
        *values.get("machdep.cpu.leaf7_features", "").split(),
        *(feature for key, feature in _MACOS_ARM.items() if values.get(key) == "1"),
    ]
    return values.get("machdep.cpu.brand_string", ""), _known(names)


def parse_windows(is_present: Callable[[int], object]) -> frozenset[str]:
    """Features from Windows' `IsProcessorFeaturePresent`, which knows neither VNNI nor AMX."""
    return frozenset(feature for number, feature in _WINDOWS.items() if is_present(number))


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _known(names: Iterable[str]) -> frozenset[str]:
    lower = (name.lower() for name in names)
    return FEATURES & {_SYNONYMS.get(name, name) for name in lower}


def _read_linux() -> tuple[str, frozenset[str]]:
    with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        return parse_cpuinfo(lines)  # stops reading early: with many cores the rest takes long


def _read_macos() -> tuple[str, frozenset[str]]:
    run = subprocess.run(
        ["/usr/sbin/sysctl", "hw.optional", "machdep.cpu"],
        capture_output=True, text=True, timeout=5, check=False,
    )  # fmt: skip
    return parse_sysctl(run.stdout)


def _read_windows() -> tuple[str, frozenset[str]]:
    import ctypes

    libraries = getattr(ctypes, "windll")  # noqa: B009 - absent elsewhere, for the type checker too
    return "", parse_windows(libraries.kernel32.IsProcessorFeaturePresent)


def _platforms_name() -> str:
    try:
        return platform.processor()
    except Exception:  # it may run a program
        return ""
