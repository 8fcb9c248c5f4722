"""Which engines are there, told without importing them."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from tercet.engine import availability
from tercet.engine.availability import engine, engines, missing, onnx_providers
from tercet.errors import EngineError


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`packages(module, code, **distributions)`: made-up ones, the only ones that there are."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("onnxruntime", "openvino", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is put back, or taken out, later
        monkeypatch.delitem(sys.modules, name)

    def install(module: str, code: str | None = "", **distributions: str) -> None:
        if code is not None:
            (tmp_path / module).mkdir()
            (tmp_path / module / "__init__.py").write_text(code)
        for name, version in distributions.items():
            folder = tmp_path / f"{name}-{version}.dist-info"
            folder.mkdir()
            shown = name.replace("_", "-")
            text = f"Metadata-Version: 2.1\nName: {shown}\nVersion: {version}\n"
            (folder / "METADATA").write_text(text)

    return install


def test_every_engine_is_listed_installed_or_not(packages) -> None:
    packages("torch", "raise SystemExit('must not be imported')", torch="2.9.0+cpu")
    assert [("onnx", False, None), ("openvino", False, None), ("torch", True, "2.9.0+cpu")] == [
        (each.name, each.is_installed, each.version) for each in engines()
    ]
    assert "torch" not in sys.modules


def test_a_folder_that_happens_to_have_the_name_is_no_engine(packages, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "notes.txt").write_text("on torches")
    assert not engine("torch").is_installed


def test_both_packages_of_one_module_are_seen(packages) -> None:
    packages("onnxruntime", "", onnxruntime="1.23.0", onnxruntime_gpu="1.24.1")
    assert ("onnxruntime", "onnxruntime-gpu") == engine("onnx").distributions


def test_a_package_whose_module_went_with_another_is_not_installed(packages) -> None:
    packages("onnxruntime", None, onnxruntime="1.23.0")
    found = engine("onnx")
    assert (False, "1.23.0") == (found.is_installed, found.version)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("onnx", "pip install onnxruntime"),
        ("openvino", "pip install openvino"),
        ("torch", 'pip install "tercet[torch]"'),
    ],
)
def test_what_is_missing_comes_with_the_command_that_installs_it(name: str, command: str) -> None:
    error = missing(name)
    assert isinstance(error, EngineError)
    assert str(error).endswith(f"is not installed: {command}")
    assert f"engine {name!r}" in str(error)


def test_an_engine_that_nobody_knows_is_answered_with_those_there_are() -> None:
    assert "engine 'tensorflow' is unknown; give one of onnx, openvino, torch" == str(
        missing("tensorflow")
    )


def test_providers_are_asked_of_onnx_runtime(packages) -> None:
    packages("onnxruntime", "def get_available_providers():\n    return ['A', 'B']")
    assert ("A", "B") == onnx_providers()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "is not installed: pip install onnxruntime"),
        ("import numpy_of_old", "cannot be imported (No module named 'numpy_of_old')"),
        (
            "raise OSError('libc: no version\\nmore lines')",
            "(libc: no version); pip install --force",
        ),
        ("raise ValueError", "(ValueError)"),
        ("", "has no attribute"),
    ],
)
def test_a_broken_onnx_runtime_is_one_line(packages, code: str | None, words: str) -> None:
    packages("onnxruntime", code, **({} if code is None else {"onnxruntime": "1.23.0"}))
    with pytest.raises(EngineError) as caught:
        onnx_providers()
    assert words in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


def test_the_names_are_those_of_the_load_option() -> None:
    assert ("onnx", "openvino", "torch") == availability.NAMES
    assert importlib.metadata.version("onnxruntime") == engine("onnx").version
