"""Facts -> what keeps this machine from listening, and what would help. One line each; looks at nothing."""

from collections.abc import Iterator

from tercet.doctor.facts import Cache, Engine, Facts, Package
from tercet.engine.availability import GPU_RECIPE
from tercet.engine.cpu import KINDS

_LITTLE_MEMORY = 700_000_000  # bytes; base in 8 bits takes that at most
_LITTLE_DISK = 2_000_000_000  # bytes; small in float32 takes a gigabyte


def problems(facts: Facts) -> list[str]:
    """What has to be mended before this machine can listen; empty if it can."""
    return [
        *(line for package in facts.packages if (line := _package_problem(package))),
        *_engine_problems(facts),
        *_model_problems(facts),
    ]


def notes(facts: Facts) -> list[str]:
    """What would be better otherwise, and what more could be installed."""
    return [
        *_processor_notes(facts),
        *_engine_notes(facts),
        *_gpu_notes(facts),
        *_place_notes(facts),
    ]


def _package_problem(package: Package) -> str | None:
    if package.version is None and package.error is not None:
        return f"{package.name} is not installed: pip install {package.name}"
    if package.error is not None:
        way = f"pip install --force-reinstall {package.name}"
        if package.name == "onnxruntime":
            way = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime"
        return f"{package.name} {package.version} is installed but broken ({package.error}): {way}"
    if package.is_too_old:
        wanted = f"{package.name}>={package.minimum}"
        return f'{package.name} {package.version} is too old: pip install --upgrade "{wanted}"'
    return None


def _engine_problems(facts: Facts) -> Iterator[str]:
    """Only where all packages are well: what is wrong with those shows here, too."""
    if any(package.error for package in facts.packages):
        return
    if facts.choice_error is not None:
        yield f"no engine can be chosen: {facts.choice_error}"
    if facts.kernels_error is not None:
        way = "pip install --force-reinstall onnxruntime onnx"
        yield f"the 8-bit kernels cannot be run ({facts.kernels_error}): {way}"


def _model_problems(facts: Facts) -> Iterator[str]:
    for model in facts.models:
        if model.error is not None and model.place.startswith("package "):
            package = model.place.removeprefix("package ")
            yield (
                f"model {model.name!r} of {package} cannot be opened ({model.error}): "
                f"pip install --force-reinstall {package}"
            )
    if any(model.error is None for model in facts.models):
        return
    ways = "pip install tercet-base"
    if facts.hub.is_offline:
        yield f"no model on this machine, and HF_HUB_OFFLINE is set: {ways}, or unset it"
    else:
        yield f"no model on this machine: {ways}, or fetch one: tercet models pull base"


def _processor_notes(facts: Facts) -> Iterator[str]:
    wanted = facts.cpu_override.strip().lower()
    if wanted and wanted not in KINDS:
        kinds = ", ".join(KINDS)
        yield f"TERCET_CPU is {facts.cpu_override!r}, which means nothing: give one of {kinds}"
    if facts.wrong_kernels:
        yield (
            f"8-bit kernels that clip sums on this processor, so that others are used: "
            f"{', '.join(facts.wrong_kernels)}"
        )
    cores = facts.cpu.cores
    if cores < facts.visible_cores:
        yield (
            f"{facts.visible_cores} cores can be seen but only {cores} may be used (the container's "
            f"quota): --threads {cores}"
        )
    available = facts.available_bytes
    if available is not None and available < _LITTLE_MEMORY:
        yield f"{available / 1e6:.0f} MB of memory are free: close something, or use tiny"


def _engine_notes(facts: Facts) -> Iterator[str]:
    for engine in facts.engines:
        if engine.name == "onnx":
            yield from _onnx_notes(engine)
        elif not engine.is_installed:
            yield f"engine '{engine.name}' could be added: {engine.install}"
        elif engine.error is not None:
            yield (
                f"{engine.title} {engine.version or ''} is installed but broken ({engine.error}), so "
                f"engine '{engine.name}' cannot be used: pip install --force-reinstall {engine.name}"
            )


def _onnx_notes(engine: Engine) -> Iterator[str]:
    if len(engine.distributions) > 1:
        both = " and ".join(engine.distributions)
        yield f"{both} are installed into one folder; which one is used is chance: {GPU_RECIPE}"


def _gpu_notes(facts: Facts) -> Iterator[str]:
    if not facts.gpus:
        return
    providers = {each for engine in facts.engines for each in engine.providers}
    if "CUDAExecutionProvider" in providers or any(each.startswith("cuda") for each in providers):
        return
    torch = next((engine for engine in facts.engines if engine.name == "torch"), None)
    if torch is not None and torch.is_installed and not torch.is_tried:
        return  # nobody asked it
    yield f"there is a GPU, and no engine installed that uses it: {GPU_RECIPE}; or torch with CUDA"


def _place_notes(facts: Facts) -> Iterator[str]:
    for model in facts.models:
        if model.error is not None and not model.place.startswith("package "):
            yield (
                f"model {model.name!r} in the {model.place} is incomplete ({model.error}): "
                f"tercet models pull {model.name}"
            )
    for cache in facts.caches:
        if cache.name == "hub cache":
            yield from _cache_notes(cache)
    whole = {model.name for model in facts.models if model.error is None}
    if whole and "base" not in whole:
        yield "the default model, base, is not on this machine: pip install tercet-base"


def _cache_notes(cache: Cache) -> Iterator[str]:
    if not cache.is_writable:
        yield f"{cache.folder} cannot be written, so no model can be fetched: set HF_HOME elsewhere"
    elif cache.free_bytes is not None and cache.free_bytes < _LITTLE_DISK:
        free = f"{cache.free_bytes / 1e9:.1f} GB"
        yield f"{free} are free where models are kept ({cache.folder}): free space, or set HF_HOME"
    if cache.unfinished:
        yield (
            f"{cache.unfinished} unfinished downloads in {cache.folder}: tercet models list names them, "
            "tercet models pull NAME goes on with one"
        )
