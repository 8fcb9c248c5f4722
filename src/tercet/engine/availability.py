"""Which engines are installed, without importing any; and the one line for one that is not.

ONNX Runtime comes under several names (for CUDA, say) that all write into one folder: with two of them
installed, and worse, after one of them is removed, that folder belongs to neither.
"""

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tercet import telemetry
from tercet.errors import EngineError

ONNX_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
)
GPU_RECIPE = (
    "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu "
    "(never both: they share a folder)"
)
_MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
_DISTRIBUTIONS = {"onnx": ONNX_DISTRIBUTIONS, "openvino": ("openvino",), "torch": ("torch",)}
_TITLES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "torch": "torch"}
_INSTALL = {
    "onnx": "pip install onnxruntime",
    "openvino": "pip install openvino",
    "torch": 'pip install "tercet[torch]"',
}
NAMES = tuple(_MODULES)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """One engine, as far as can be told without importing it."""

    name: str  # as `engine=` takes it
    title: str  # as people call it
    module: str  # what is imported
    is_installed: bool  # the module can be found; it may still be broken
    version: str | None  # None also where a module has no distribution that it came with
    distributions: tuple[str, ...]  # installed ones that bring the module
    install: str  # the command that installs it


def engines() -> list[EngineInfo]:
    """Every engine that Tercet knows, installed or not. Takes a millisecond."""
    return [engine(name) for name in NAMES]


def engine(name: str) -> EngineInfo:
    """One engine by its name: "onnx", "openvino" or "torch"."""
    module = _MODULES[name]
    versions = {each: found for each in _DISTRIBUTIONS[name] if (found := _version(each))}
    return EngineInfo(
        name=name,
        title=_TITLES[name],
        module=module,
        is_installed=_is_found(module),
        version=next(iter(versions.values()), None),
        distributions=tuple(versions),
        install=_INSTALL[name],
    )


def onnx_providers() -> tuple[str, ...]:
    """ONNX Runtime's providers ("CUDAExecutionProvider", ...); imports it.

    Raises:
        EngineError: it is not installed, or its import fails.
    """
    telemetry.switch_off()
    try:
        import onnxruntime

        return tuple(onnxruntime.get_available_providers())
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise broken("onnx", error) from error
        raise missing("onnx") from error
    except Exception as error:  # a damaged installation raises what it likes
        raise broken("onnx", error) from error


def missing(name: str) -> EngineError:
    """The error for an engine that is not installed, with the command that installs it."""
    if name not in _MODULES:
        return EngineError(f"engine {name!r} is unknown; give one of {', '.join(NAMES)}")
    needs = f"engine {name!r} needs {_TITLES[name]}, which is not installed"
    return EngineError(f"{needs}: {_INSTALL[name]}")


def broken(name: str, cause: Exception) -> EngineError:
    """The error for an engine that is installed and cannot be imported."""
    reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    way = "pip install --force-reinstall " + (engine(name).distributions or (_MODULES[name],))[0]
    return EngineError(f"engine {name!r}: {_TITLES[name]} cannot be imported ({reason}); {way}")


def _is_found(module: str) -> bool:
    """Whether there is such a module; a bare folder of that name is none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: put into sys.modules by hand
        return False
    return spec is not None and spec.origin is not None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
