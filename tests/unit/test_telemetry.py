"""Importing an engine asks no network and leaves no identifier behind, seen from a fresh interpreter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """\
import pathlib, socket
def refuse(*_):
    pathlib.Path(__file__).with_name("connected").touch()
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


@pytest.fixture
def left_behind(tmp_path: Path):
    """Runs a program in an empty home; gives the files in there, and whether it asked the network."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "sitecustomize.py").write_text(GUARD)

    def run(program: str, **variables: str) -> list[str]:
        unset = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS", "TF_BUILD")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        environment |= {"HOME": str(home), "PYTHONPATH": paths, **variables}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        files = [path.name for path in home.rglob("*") if path.is_file()]
        return files + ["connected"] * (tmp_path / "connected").exists()

    return run


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_tells_nobody_that_it_is_used(left_behind, engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs {engine}")
    program = f"from tercet import telemetry; telemetry.switch_off(); import {engine}, time; time.sleep(0.3)"
    assert [] == left_behind(program)


def test_a_value_that_somebody_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from tercet import telemetry

    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    telemetry.switch_off()
    assert "0" == os.environ["ORT_DISABLE_TELEMETRY"]
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    telemetry.switch_off()
    assert "1" == os.environ["ORT_DISABLE_TELEMETRY"]
