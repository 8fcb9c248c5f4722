"""A healthy machine, to be made ill in one place."""

from collections.abc import Callable
from typing import Any

import pytest

from tercet.doctor.facts import Cache, Chosen, Engine, Facts, FoundModel, Package
from tercet.engine.cpu import Cpu

HEALTHY: dict[str, Any] = {
    "tercet": "0.1.0",
    "python": "3.11.7 (CPython)",
    "platform": "Linux",
    "packages": (Package("onnxruntime", "1.31.1", "1.23"), Package("av", "18.1.0", "14")),
    "engines": (
        Engine("onnx", "ONNX Runtime", True, "1.31.1", ("onnxruntime",), "i", ("CPU",)),
        Engine("openvino", "OpenVINO", True, "2026.4", ("openvino",), "i", ("CPU",)),
        Engine("torch", "torch", True, "2.13.0", ("torch",), "i", ("cpu",)),
    ),
    "cpu": Cpu("Xeon", 2, frozenset({"avx2", "avx512_vnni"})),
    "visible_cores": 2,
    "memory_bytes": 8 * 10**9,
    "available_bytes": 4 * 10**9,
    "choice": Chosen("openvino", "onnx", "int8", "cpu", "measured fastest on VNNI"),
    "models": (FoundModel("base", "package tercet-base", "~/base", 79_000_000),),
    "caches": (Cache("hub cache", "~/hub", True, True, 5, True, 50 * 10**9, 0),),
}


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """`facts(models=())`: healthy but for what is given."""

    def make(**changes: Any) -> Facts:
        return Facts(**(HEALTHY | changes))

    return make
