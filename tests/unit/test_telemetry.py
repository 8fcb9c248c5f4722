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
        unset = (
            "ORT_DISABLE_TELEMETRY",
            "RAY_USAGE_STATS_ENABLED",
            "XDG_CACHE_HOME",
            "CI",
            "GITHUB_ACTIONS",
            "TF_BUILD",
        )
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        environment |= {"HOME": str(home), "PYTHONPATH": paths, **variables}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        files = [path.name for path in home.rglob("*") if path.is_file()]
        return files + ["connected"] * (tmp_path / "connected").exists()

    return run


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "ray"])
def test_an_engine_tells_nobody_that_it_is_used(left_behind, engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs {engine}")
    program = f"from tercet import telemetry; telemetry.switch_off(); import {engine}, time; time.sleep(0.3)"
    assert [] == left_behind(program)


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [("ORT_DISABLE_TELEMETRY", "0", "1"), ("RAY_USAGE_STATS_ENABLED", "1", "0")],
)
def test_a_value_that_somebody_set_stays(
    monkeypatch: pytest.MonkeyPatch, name: str, on: str, off: str
) -> None:
    from tercet import telemetry

    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setenv(name, on)
    telemetry.switch_off()
    assert on == os.environ[name]
    monkeypatch.delenv(name)
    telemetry.switch_off()
    assert off == os.environ[name]
