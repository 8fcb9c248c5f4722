"""Keeps the engines' packages from reporting to their makers. Called before one of them is imported.

ONNX Runtime from 1.29 on (`ORT_DISABLE_TELEMETRY`, its docs/Privacy.md) sends names and checksums of models
to Microsoft and writes an identifier into the cache folder; OpenVINO tells Google Analytics of its import;
Ray's clusters report what they are used for.
Whoever listens to recordings on their own machine has not asked for either.
"""

import os
import sys
from types import ModuleType

_ONNX_RUNTIME = "ORT_DISABLE_TELEMETRY"
_RAY = "RAY_USAGE_STATS_ENABLED"
_OPENVINO = "openvino_telemetry"  # without this package OpenVINO uses a stand-in of its own


def switch_off() -> None:
    """Switch it off for this process, as far as nobody decided otherwise.

    A value of `ORT_DISABLE_TELEMETRY` or `RAY_USAGE_STATS_ENABLED` that is there stays. Packages that were
    imported already go on as they began.
    """
    os.environ.setdefault(_ONNX_RUNTIME, "1")
    os.environ.setdefault(_RAY, "0")
    if _OPENVINO not in sys.modules:
        modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
        modules[_OPENVINO] = None  # Python's way to say: not installed
