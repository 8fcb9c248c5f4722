"""Puts the facts together: asks the machine and, in other processes, the packages."""

import importlib.metadata
import os
import platform
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tercet.doctor import machine
from tercet.doctor.examine import Finding, Group, examine
from tercet.doctor.facts import Cache, Chosen, Engine, Facts, FoundModel, Hub, Package
from tercet.engine import availability
from tercet.engine.cpu import OVERRIDE, this_cpu, visible_cores
from tercet.engine.limits import total_memory_bytes
from tercet.errors import ModelNotFoundError
from tercet.hub import installed_models, is_offline
from tercet.hub.layout import folder_bytes
from tercet.hub.packages import distribution_of, in_package

# Without them no text; their oldest versions are in Tercet's own metadata.
_NEEDED = (
    "numpy", "array-api-compat", "onnx", "onnxruntime", "av", "tokenizers", "safetensors",
    "huggingface_hub", "rich", "typer",
)  # fmt: skip
_NUMERIC = ("numpy", "array_api_compat", "onnx", "onnxruntime", "memory", "kernels", "choice")
_NEEDED_S = 30.0  # far above what a healthy package takes on a busy machine
# torch takes 1 to 5 s and is one engine of three: it is tried for as long as nobody waits for it.
_TORCH_S = 1.0
_MINIMUM = re.compile(r"([\w.-]+?)\s*>=\s*([\d.]+)$")


def gather() -> Facts:
    """Look at everything. Takes a second or two, most of it imports, and uses no network."""
    packaged = _packaged_models()
    with ThreadPoolExecutor(max_workers=1) as threads:
        gpus = threads.submit(machine.nvidia_gpus)
        findings = examine(_groups(packaged))
        hub = findings["huggingface_hub"]
        return Facts(
            tercet=_version("tercet") or "unknown",
            python=f"{platform.python_version()} ({platform.python_implementation()})",
            platform=platform.platform(),
            packages=_packages(findings),
            ffmpeg=tuple(findings["av"].found.get("ffmpeg", {}).items()),
            engines=tuple(_engine(info, findings) for info in availability.engines()),
            cpu=this_cpu(),
            cpu_override=os.environ.get(OVERRIDE, ""),
            visible_cores=visible_cores(),
            memory_bytes=total_memory_bytes(),
            available_bytes=findings["memory"].found.get("available_bytes"),
            wrong_kernels=tuple(findings["kernels"].found.get("wrong", ())),
            kernels_error=_told(findings["kernels"].error),
            choice=Chosen(**found) if (found := findings["choice"].found) else None,
            choice_error=_told(findings["choice"].error),
            models=(*_opened(packaged, findings), *_cached_models(hub)),
            caches=_caches(hub),
            hub=_hub(hub),
            gpus=gpus.result(),
        )


def _groups(packaged: tuple[FoundModel, ...]) -> list[Group]:
    """What runs side by side: few processes, each with what shares imports."""
    whole = tuple(f"checkpoint:{model.folder}" for model in packaged if model.error is None)
    others = tuple(name for name in map(_module, _NEEDED) if name not in _NUMERIC)
    groups = [Group(_NUMERIC + whole, _NEEDED_S), Group(others, _NEEDED_S)]
    limits = {"openvino": _NEEDED_S, "torch": _TORCH_S}
    return groups + [
        Group((name,), timeout_s)
        for name, timeout_s in limits.items()
        if availability.engine(name).is_installed
    ]


def _module(distribution: str) -> str:
    return distribution.replace("-", "_")


def _packages(findings: dict[str, Finding]) -> tuple[Package, ...]:
    minimums = dict(_minimums())
    found = []
    for name in _NEEDED:
        names = availability.ONNX_DISTRIBUTIONS if name == "onnxruntime" else (name,)
        versions = [version for each in names if (version := _version(each))]
        minimum = minimums.get(_module(name))
        error = _told(findings[_module(name)].error)
        found.append(Package(name, next(iter(versions), None), minimum, error))
    return tuple(found)


def _minimums() -> list[tuple[str, str]]:
    """Module and oldest version of what Tercet requires."""
    try:
        needs = importlib.metadata.requires("tercet") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source
        return []
    matches = filter(None, map(_MINIMUM.match, needs))  # extras have more behind the version
    return [(_module(match[1]), match[2]) for match in matches]


def _engine(info: availability.EngineInfo, findings: dict[str, Finding]) -> Engine:
    finding = findings.get(info.module, Finding())
    return Engine(
        name=info.name,
        title=info.title,
        is_installed=info.is_installed,
        version=info.version,
        distributions=info.distributions,
        install=info.install,
        providers=tuple(finding.found.get("providers", ())),
        error=None if finding.is_late and info.name == "torch" else _told(finding.error),
        is_tried=not finding.is_late,
    )


def _packaged_models() -> tuple[FoundModel, ...]:
    """Models that installed packages bring; `folder` is their true path."""
    models = []
    for name, entries in installed_models().items():
        place = f"package {distribution_of(entries[0])}"
        try:
            folder = in_package(name)
        except ModelNotFoundError as error:
            models.append(FoundModel(name, place, "", 0, str(error)))
            continue
        if folder is not None:
            models.append(FoundModel(name, place, str(folder), folder_bytes(folder)))
    return tuple(models)


def _opened(packaged: tuple[FoundModel, ...], findings: dict[str, Finding]) -> list[FoundModel]:
    """The same, with what opening them showed, and paths that can be shown."""
    shown = []
    for model in packaged:
        error = model.error or findings[f"checkpoint:{model.folder}"].error
        folder = machine.without_home(model.folder)
        shown.append(FoundModel(model.name, model.place, folder, model.size_bytes, _told(error)))
    return shown


def _cached_models(hub: Finding) -> list[FoundModel]:
    return [
        FoundModel(
            copy["name"],
            copy["place"],
            machine.without_home(copy["folder"]),
            copy["size_bytes"],
            f"{', '.join(copy['missing'])} missing" if copy["missing"] else None,
        )
        for copy in hub.found.get("copies", ())
    ]


def _caches(hub: Finding) -> tuple[Cache, ...]:
    folders = {"openai-whisper's cache": machine.cache_home() / "whisper"}
    if hub.found:
        folders = {"hub cache": Path(hub.found["cache"]), **folders}
    return tuple(machine.look_at_cache(name, folder) for name, folder in folders.items())


def _hub(finding: Finding) -> Hub:
    endpoint = os.environ.get("HF_ENDPOINT")
    return Hub(
        has_token=finding.found.get("has_token"),
        is_offline=is_offline(),
        endpoint=machine.without_secrets(endpoint) if endpoint else None,
        proxies=machine.proxies(os.environ),
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _told(error: str | None) -> str | None:
    return None if error is None else machine.without_home(error)
