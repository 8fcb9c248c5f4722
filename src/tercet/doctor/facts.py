"""What `tercet doctor` knows about a machine, as data. Gathers and prints nothing."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tercet.engine.cpu import Cpu
from tercet.results import SCHEMA


@dataclass(frozen=True, slots=True)
class Package:
    """One Python package that Tercet uses."""

    name: str  # of its distribution
    version: str | None  # None: not installed
    minimum: str | None = None  # the oldest version that will do, where Tercet says
    error: str | None = None  # why it cannot be imported; None: it can, or was not tried

    @property
    def is_too_old(self) -> bool:
        """Whether the version is below the minimum, as far as both are numbers."""
        if self.version is None or self.minimum is None:
            return False
        return _numbers(self.version) < _numbers(self.minimum)


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine."""

    name: str
    title: str
    is_installed: bool
    version: str | None
    distributions: tuple[str, ...]
    install: str
    providers: tuple[str, ...] = ()  # ONNX Runtime's providers, OpenVINO's and torch's devices
    error: str | None = None
    is_tried: bool = True  # False: its import would have taken too long to wait for


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder in which models are kept."""

    name: str
    folder: str  # the home folder written as ~
    is_there: bool
    is_writable: bool  # it, or the folder in which it would be made
    size_bytes: int
    is_size_complete: bool  # False: too many files to look at all of them
    free_bytes: int | None  # on that disk
    unfinished: int  # downloads that were interrupted


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that needs no network."""

    name: str
    place: str  # "package tercet-base", "hub cache", "openai-whisper's cache"
    folder: str
    size_bytes: int
    error: str | None = None  # why it cannot be opened


@dataclass(frozen=True, slots=True)
class Hub:
    """How the hub would be asked; its secrets stay where they are."""

    has_token: bool | None = None  # None: huggingface_hub could not be asked
    is_offline: bool = False  # HF_HUB_OFFLINE
    endpoint: str | None = None  # HF_ENDPOINT without user and password; None: the usual one
    proxies: tuple[str, ...] = ()  # names of the variables that are set, never their values


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `compute_type="auto"`, `engine="auto"` mean here."""

    encoder: str
    decoder: str
    compute_type: str
    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was found out."""

    tercet: str
    python: str
    platform: str
    packages: tuple[Package, ...]
    ffmpeg: tuple[tuple[str, str], ...] = ()  # library, version
    engines: tuple[Engine, ...] = ()
    cpu: Cpu
    cpu_override: str = ""  # what TERCET_CPU says
    visible_cores: int = 0  # before any quota
    memory_bytes: int | None = None  # of the machine, or of the container where that is less
    available_bytes: int | None = None  # of it, without swapping
    wrong_kernels: tuple[str, ...] = ()
    kernels_error: str | None = None  # why they could not be run
    choice: Chosen | None = None
    choice_error: str | None = None
    models: tuple[FoundModel, ...] = ()
    caches: tuple[Cache, ...] = ()
    hub: Hub = field(default_factory=Hub)
    gpus: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        told = asdict(self)
        told["cpu"] = {
            "name": self.cpu.name,
            "kind": self.cpu.kind,
            "cores": self.cpu.cores,
            "features": sorted(self.cpu.features),
        }
        told["ffmpeg"] = dict(self.ffmpeg)
        return {"schema": SCHEMA, **told}


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" -> (2, 13, 0)."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    while numbers and numbers[-1] == 0:  # 2.0 is 2
        numbers.pop()
    return tuple(numbers)
