"""Which engine computes what, in which numbers: the one place where "auto" is settled.

The figures behind the choice are in docs/EXPERIMENTS.md ("Engines for base").
"""

from dataclasses import dataclass
from typing import Literal

from tercet.engine import availability
from tercet.engine.cpu import this_cpu
from tercet.engine.saturation import wrong_int8_kernels
from tercet.errors import OptionError

Engine = Literal["onnx", "openvino", "torch"]
DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "onnx", "openvino", "torch")
COMPUTE_TYPES: dict[str, tuple[str, ...]] = {
    "onnx": ("int8", "float32"),
    "openvino": ("int8", "float32"),
    "torch": ("float32", "bfloat16", "float16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was settled, and why."""

    encoder: Engine  # computes what runs once per window
    decoder: Engine  # computes what runs once per token
    compute_type: str  # "int8", "float32", "bfloat16" or "float16"
    device: str  # "cpu", or "cuda" (with a number, perhaps)
    arithmetic: str  # of OpenVINO's products that are not in 8 bits: "f32" or "bf16"
    reason: str


def choose(engine: str = "auto", device: str = "auto", compute_type: str = "auto") -> Choice:
    """Settle engine, device and compute type for this machine.

    "auto" takes the CPU; there OpenVINO for the encoder where it is installed and the processor is one on
    which it was measured (AMX or VNNI), ONNX Runtime for the rest; 8 bits unless the kernels of this machine
    get them wrong.

    Raises:
        OptionError: a value is not allowed, or two contradict each other.
        EngineError: the engine asked for is not installed.
    """
    for option, value, allowed in (("device", device, DEVICES), ("engine", engine, ENGINES)):
        if value not in allowed:
            raise OptionError(f"{option} is {value!r}; give one of {', '.join(allowed)}")
    if device == "cuda" and engine in ("onnx", "openvino"):
        raise OptionError(
            f"engine {engine!r} runs on the CPU here; for device 'cuda' give engine 'torch'"
        )
    if engine == "torch" or device == "cuda":
        return _torch(device, compute_type)
    return _cpu(engine, compute_type)


def _torch(device: str, compute_type: str) -> Choice:
    if not availability.engine("torch").is_installed:
        raise availability.missing("torch")
    device = "cpu" if device == "auto" else device
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "float32"
    _check_type("torch", compute_type)
    return Choice(
        encoder="torch",
        decoder="torch",
        compute_type=compute_type,
        device=device,
        arithmetic="f32",
        reason="torch was asked for" if device == "cpu" else "a GPU was asked for",
    )


def _cpu(engine: str, compute_type: str) -> Choice:
    kind = this_cpu().kind
    is_installed = availability.engine("openvino").is_installed
    if engine == "openvino" and not is_installed:
        raise availability.missing("openvino")
    # Processors with VNNI add up right; the others are asked, which takes some milliseconds.
    is_wrong = kind not in ("amx", "vnni") and "rows" in wrong_int8_kernels()
    if compute_type == "auto":
        compute_type = "float32" if is_wrong else "int8"
    _check_type("onnx" if engine == "auto" else engine, compute_type)
    is_better = is_installed and kind in ("amx", "vnni") and compute_type == "int8"
    encoder: Engine = (
        "openvino" if engine == "openvino" or (engine == "auto" and is_better) else "onnx"
    )
    has_bf16 = kind == "amx" and encoder == "openvino" and compute_type == "int8"
    return Choice(
        encoder=encoder,
        decoder="onnx",
        compute_type=compute_type,
        device="cpu",
        arithmetic="bf16" if has_bf16 else "f32",
        reason=_reason(engine, encoder, kind, is_installed=is_installed, is_wrong=is_wrong),
    )


def _reason(engine: str, encoder: Engine, kind: str, *, is_installed: bool, is_wrong: bool) -> str:
    processor = {
        "amx": "the processor has AMX",
        "vnni": "the processor has VNNI",
        "avx2": "the processor has AVX2, no VNNI",
        "arm": "an Arm processor",
    }.get(kind, "an unknown processor")
    if is_wrong:
        return f"{processor}, whose 8-bit kernels in ONNX Runtime add up wrong: float32"
    if engine != "auto":
        return f"engine {engine!r} was asked for; {processor}"
    if encoder == "onnx" and kind in ("amx", "vnni") and not is_installed:
        return f"{processor}; OpenVINO, which encodes faster here, is not installed"
    return processor


def _check_type(engine: str, compute_type: str) -> None:
    allowed = COMPUTE_TYPES[engine]
    if compute_type not in allowed:
        listed = ", ".join(allowed)
        message = f"compute_type is {compute_type!r}; engine {engine!r} has auto, {listed}"
        raise OptionError(message)
