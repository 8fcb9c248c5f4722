"""From facts to lines: what is in the way, what is worth knowing, and the command that helps."""

from dataclasses import replace

import pytest

from tercet.doctor.diagnosis import notes, problems
from tercet.doctor.facts import Cache, Engine, FoundModel, Hub, Package
from tercet.engine.cpu import Cpu

CACHE = Cache("hub cache", "~/hub", True, True, 5, True, 50 * 10**9, 0)


def engine(name, **changes):
    healthy = Engine(name, name, True, "1.0", (name,), f"pip install {name}", ("cpu",))
    return replace(healthy, **changes)


def test_of_a_healthy_machine_there_is_nothing_to_say(facts):
    assert [] == problems(facts())
    assert [] == notes(facts())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"packages": (Package("av", None, "14", "ModuleNotFoundError: No module named 'av'"),)},
            ["av is not installed", "pip install av"],
        ),
        (
            {"packages": (Package("av", "18.1", "14", "ImportError: libx264"),)},
            ["av 18.1 is installed but broken (ImportError: libx264)", "--force-reinstall av"],
        ),
        (
            {"packages": (Package("onnxruntime", "1.9", "1.23"),)},
            ["onnxruntime 1.9 is too old", 'pip install --upgrade "onnxruntime>=1.23"'],
        ),
        (
            {"packages": (Package("onnxruntime", "1.31", "1.23", "ModuleNotFoundError: gone"),)},
            ["pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime"],
        ),
        ({"choice": None, "choice_error": "EngineError: none"}, ["no engine", "EngineError: none"]),
        ({"kernels_error": "crashes Python (SIGILL)"}, ["8-bit kernels", "SIGILL", "pip install"]),
        ({"models": ()}, ["no model", "pip install tercet-base", "tercet models pull base"]),
        (
            {"models": (), "hub": Hub(is_offline=True)},
            ["no model", "HF_HUB_OFFLINE is set", "pip install tercet-base"],
        ),
    ],
)
def test_what_is_in_the_way_is_one_line_with_what_to_do(facts, changes, words):
    [line] = problems(facts(**changes))
    assert "\n" not in line
    for word in words:
        assert word in line


def test_where_no_model_is_at_all_base_is_not_missed_a_second_time(facts):
    assert [] == notes(facts(models=()))


def test_a_damaged_model_package_is_in_the_way_even_beside_a_whole_model(facts):
    broken = FoundModel("tiny", "package tercet-tiny", "~/tiny", 9, "truncated")
    whole = FoundModel("base", "hub cache", "~/base", 79)
    [line] = problems(facts(models=(broken, whole)))
    assert "pip install --force-reinstall tercet-tiny" in line
    assert "truncated" in line


def test_one_broken_package_is_one_line_though_the_engines_fail_with_it(facts):
    packages = (Package("numpy", "2.0", "2.0", "ImportError: libopenblas"),)
    ill = facts(packages=packages, choice=None, choice_error="e", kernels_error="e")
    assert 1 == len(problems(ill))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu_override": "pentium"}, ["TERCET_CPU is 'pentium'", "amx, vnni, avx2, arm, other"]),
        ({"wrong_kernels": ("tensor",)}, ["clip sums", "tensor"]),
        ({"visible_cores": 64}, ["64 cores can be seen", "--threads 2"]),
        ({"available_bytes": 300_000_000}, ["300 MB of memory are free"]),
        (
            {"engines": (engine("onnx"), engine("openvino", is_installed=False))},
            ["engine 'openvino' could be added: pip install openvino"],
        ),
        (
            {"engines": (engine("onnx"), engine("torch", error="ImportError: libcudart"))},
            [
                "torch 1.0 is installed but broken (ImportError: libcudart)",
                "--force-reinstall torch",
            ],
        ),
        (
            {"engines": (engine("onnx", distributions=("onnxruntime", "onnxruntime-gpu")),)},
            ["onnxruntime and onnxruntime-gpu", "pip uninstall -y onnxruntime onnxruntime-gpu"],
        ),
        (
            {"gpus": ("Tesla T4, 15360 MiB, 550",)},
            ["there is a GPU", "pip install onnxruntime-gpu"],
        ),
        ({"caches": (replace(CACHE, is_writable=False),)}, ["~/hub cannot be written", "HF_HOME"]),
        ({"caches": (replace(CACHE, is_writable=False, free_bytes=0),)}, ["cannot be written"]),
        ({"caches": (replace(CACHE, free_bytes=10**9),)}, ["1.0 GB are free", "HF_HOME"]),
        ({"caches": (replace(CACHE, unfinished=3),)}, ["3 unfinished downloads"]),
        (
            {"models": (FoundModel("small", "hub cache", "~/s", 7),)},
            ["base, is not on this machine", "pip install tercet-base"],
        ),
    ],
)
def test_what_would_help_is_one_line_and_in_nobodys_way(facts, changes, words):
    assert [] == problems(facts(**changes))
    [line] = notes(facts(**changes))
    for word in words:
        assert word in line


def test_an_incomplete_copy_in_a_cache_is_named_with_the_command_that_completes_it(facts):
    part = FoundModel("small", "hub cache", "~/small", 7, "model.safetensors missing")
    whole = FoundModel("base", "hub cache", "~/base", 79)
    [line] = notes(facts(models=(part, whole)))
    assert "tercet models pull small" in line


@pytest.mark.parametrize(
    "engines",
    [
        (engine("onnx", providers=("CUDAExecutionProvider", "CPUExecutionProvider")),),
        (engine("onnx"), engine("torch", providers=("cpu", "cuda:0"))),
        (engine("onnx"), engine("torch", providers=(), is_tried=False)),  # nobody knows
    ],
)
def test_a_gpu_that_an_engine_uses_needs_no_advice(facts, engines):
    assert [] == notes(facts(gpus=("H100",), engines=engines))


def test_a_known_override_is_no_cause_for_a_note(facts):
    assert [] == notes(facts(cpu_override=" AVX2", cpu=Cpu("", 2, frozenset({"avx2"}))))


@pytest.mark.parametrize(
    ("version", "minimum", "is_too_old"),
    [
        ("1.9.1", "1.13", True),
        ("2.13.0+cpu", "2.4", False),
        ("2", "2.0", False),
        ("14.0rc1", "14", False),
        ("1.23.dev3", "1.23", False),
        ("weird", "1", True),
        ("3", None, False),
        (None, "1", False),
    ],
)
def test_versions_are_compared_as_numbers(version, minimum, is_too_old):
    assert is_too_old == Package("x", version, minimum).is_too_old
