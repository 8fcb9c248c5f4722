"""`tercet doctor`: what it prints and how it ends, on machines with broken parts as well."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.main import main
from tercet.doctor import gather as gathering
from tercet.doctor.facts import Cache, Chosen, Engine, Facts, FoundModel, Hub, Package
from tercet.engine.cpu import Cpu

SECRETS = {
    "HF_TOKEN": "hf_thisIsTheToken",
    "HTTPS_PROXY": "http://ada:lovelace1815@127.0.0.1:9",
    "HF_ENDPOINT": "https://ada:lovelace1815@hub.example/mirror",
}


def facts(**changes: Any) -> Facts:
    healthy: dict[str, Any] = {
        "tercet": "0.1.0",
        "python": "3.11.7 (CPython)",
        "platform": "Linux-6.1-x86_64",
        "packages": (Package("av", "18.1.0", "14"), Package("numpy", "2.4.6", "2.0")),
        "ffmpeg": (("libavcodec", "62.28.102"), ("libswscale", "9.5.1")),
        "engines": (
            Engine("onnx", "ONNX Runtime", True, "1.31.1", ("onnxruntime",), "i", ("CPU",)),
            Engine("openvino", "OpenVINO", False, None, (), "pip install openvino"),
        ),
        "cpu": Cpu("Xeon", 2, frozenset({"avx2", "avx512_vnni"})),
        "visible_cores": 2,
        "memory_bytes": 8 * 10**9,
        "available_bytes": 700_000_001,
        "choice": Chosen("onnx", "onnx", "int8", "cpu", "the only engine"),
        "models": (FoundModel("base", "package tercet-base", "~/base", 79_123_468),),
        "caches": (Cache("hub cache", "~/hub", True, True, 1_500_000_000, False, 50 * 10**9, 0),),
    }
    return Facts(**(healthy | changes))


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`doctor(facts, *argv)` -> exit code and what was printed."""

    def run(found: Facts, *argv: str) -> tuple[int, str]:
        monkeypatch.setattr(gathering, "gather", lambda: found)
        code = main(["doctor", *argv])
        captured = capsys.readouterr()
        assert "" == captured.err
        return code, captured.out

    return run


def test_a_ready_machine_ends_with_0_and_says_so(doctor) -> None:
    code, out = doctor(facts())
    assert 0 == code
    assert "Ready: text can be made on this machine." in out
    assert "In the way" not in out


@pytest.mark.parametrize(
    "words",
    [
        "0.1.0", "3.11.7 (CPython)", "Linux-6.1-x86_64", "18.1.0", "libavcodec 62.28.102",
        "onnx (ONNX Runtime)", "1.31.1: CPU", "not installed", "int8, on cpu", "the only engine",
        "Xeon", "vnni", "avx2, avx512_vnni", "2: as many threads", "right", "8.0 GB, 700 MB free",
        "none seen", "package tercet-base, 79 MB, ~/base", "~/hub: more than 1.5 GB, 50.0 GB free",
        'pip install openvino',
    ],
)  # fmt: skip
def test_the_page_says(doctor, words: str) -> None:
    assert words in doctor(facts())[1]


def test_a_problem_ends_with_1_and_stands_last(doctor) -> None:
    code, out = doctor(facts(models=()))
    assert 1 == code
    assert "Ready" not in out
    assert out.splitlines()[-1].startswith("  - no model on this machine: pip install tercet-base")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"packages": (Package("av", "18.1", "14", "ImportError: x"),)}, "18.1, broken: ImportError: x"),
        ({"packages": (Package("av", "9.1", "14"),)}, "9.1, too old"),
        ({"packages": (Package("av", None, "14", "no"),)}, "not installed"),
        ({"choice": None, "choice_error": "EngineError: none"}, "cannot be chosen"),
        ({"kernels_error": "crash"}, "cannot be run"),
        ({"wrong_kernels": ("tensor",)}, "clip sums: tensor"),
        ({"cpu_override": "vnni"}, "vnni (TERCET_CPU=vnni)"),
        ({"visible_cores": 8}, "2 of 8: as many threads"),
        ({"memory_bytes": None, "available_bytes": None}, "unknown, unknown free"),
        ({"gpus": ("NVIDIA L4, 23034 MiB, 570",)}, "NVIDIA L4, 23034 MiB, 570"),
        ({"hub": Hub(has_token=True)}, "found"),
        ({"hub": Hub(is_offline=True)}, "switched off (HF_HUB_OFFLINE)"),
        ({"hub": Hub(endpoint="https://hub.example")}, "https://hub.example"),
        ({"hub": Hub(proxies=("HTTPS_PROXY",))}, "HTTPS_PROXY set"),
        ({"caches": (Cache("hub cache", "~/h", False, False, 0, True, None, 0),)}, "cannot be written"),
        ({"engines": (Engine("torch", "torch", True, "2.9", (), "i", is_tried=False),)}, "not tried"),
        ({"engines": (Engine("torch", "torch", True, "2.9", (), "i", error="E"),)}, "2.9, broken: E"),
    ],
)  # fmt: skip
def test_the_page_shows_what_is_not_well(doctor, changes: dict[str, Any], words: str) -> None:
    assert words in doctor(facts(**changes))[1]


def test_json_is_one_object_with_the_verdict(doctor) -> None:
    code, out = doctor(facts(models=()), "--json")
    told = json.loads(out)
    assert (1, False, "tercet/1") == (code, told["is_ready"], told["schema"])
    assert 1 == len(told["problems"])
    assert {
        "kind": "vnni",
        "name": "Xeon",
        "cores": 2,
        "features": ["avx2", "avx512_vnni"],
    } == told["cpu"]
    assert {"libavcodec": "62.28.102", "libswscale": "9.5.1"} == told["ffmpeg"]
    assert "int8" == told["choice"]["compute_type"]


@pytest.mark.parametrize("argv", [["--jsn"], ["now"], ["--json=1"]])
def test_a_wrong_option_is_one_line_and_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["doctor", *argv])
    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert "see tercet doctor --help" in captured.err


@pytest.mark.parametrize("argv", [["--help"], ["-h"]])
def test_help_names_the_option_and_the_exit_codes(argv: list[str], capsys) -> None:
    assert 0 == main(["doctor", *argv])
    out = capsys.readouterr().out
    assert "--json" in out
    assert "Exit code: 0" in out


@pytest.fixture
def broken_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PyAV raises, OpenVINO crashes, torch raises; any connection leaves a mark."""
    monkeypatch.setattr(gathering, "_TORCH_S", 30.0)  # this machine may be busy
    site, home = tmp_path / "site", tmp_path / "ada_lovelace"
    home.mkdir()
    for name, code in {
        "av": f"raise ImportError('{home}/env/libx264.so: cannot open')",
        "openvino": "import os; os.kill(os.getpid(), 4)",
        "torch": "raise OSError('libcudart.so.13: cannot open')",
    }.items():
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(code)
    (site / "sitecustomize.py").write_text(
        "import pathlib, socket\n"
        "def refuse(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'connected')!r}).touch()\n"
        "    raise OSError('no network here')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("HOME", str(home))
    for name in (
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "XDG_CACHE_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_broken_packages_are_lines_and_no_secret_is_shown(
    broken_parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == main(["doctor", "--json"])
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert "" == captured.err
    [av] = [line for line in told["problems"] if line.startswith("av ")]
    assert "broken (ImportError: ~/env/libx264.so: cannot open)" in av
    assert "pip install --force-reinstall av" in av
    errors = {engine["name"]: engine["error"] for engine in told["engines"]}
    assert "crashes Python (SIGILL)" == errors["openvino"]
    assert "OSError: libcudart.so.13: cannot open" == errors["torch"]
    hub = told["hub"]
    assert (True, ["HTTPS_PROXY"]) == (hub["has_token"], hub["proxies"])
    assert "https://hub.example/mirror" == hub["endpoint"]
    assert "~/.cache/huggingface/hub" == told["caches"][0]["folder"]
    for secret in ("hf_thisIsTheToken", "lovelace1815", "ada_lovelace"):
        assert secret not in captured.out
    assert not (broken_parts / "connected").exists()


def test_the_doctor_writes_nothing(broken_parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    assert "In the way" in capsys.readouterr().out
    assert [] == list((broken_parts / "ada_lovelace").rglob("*"))
