"""What "auto" means on which machine, and which requests are refused."""

from dataclasses import replace

import pytest

from tercet.engine import availability, choice
from tercet.engine.choice import choose
from tercet.errors import EngineError, OptionError


@pytest.fixture
def machine(monkeypatch):
    """`machine("vnni", openvino=True, wrong=())`: a machine with that processor and these packages."""

    def make(kind: str, *, openvino: bool = True, torch: bool = True, wrong: tuple[str, ...] = ()):
        monkeypatch.setenv("TERCET_CPU", kind)
        installed = {"onnx": True, "openvino": openvino, "torch": torch}
        real = availability.engine
        monkeypatch.setattr(
            availability,
            "engine",
            lambda name: replace(real(name), is_installed=installed[name]),
        )
        monkeypatch.setattr(choice, "wrong_int8_kernels", lambda: frozenset(wrong))

    return make


@pytest.mark.parametrize(
    ("kind", "encoder", "arithmetic"),
    [
        ("amx", "openvino", "bf16"),
        ("vnni", "openvino", "f32"),
        ("avx2", "onnx", "f32"),
        ("arm", "onnx", "f32"),
        ("other", "onnx", "f32"),
    ],
)
def test_auto_takes_what_is_fastest_on_each_kind_of_processor(machine, kind, encoder, arithmetic):
    machine(kind)
    found = choose()
    assert (encoder, "onnx", "int8", "cpu", arithmetic) == (
        found.encoder, found.decoder, found.compute_type, found.device, found.arithmetic,
    )  # fmt: skip


def test_without_openvino_the_encoder_runs_on_onnx_runtime_and_the_reason_says_so(machine):
    machine("amx", openvino=False)
    found = choose()
    assert ("onnx", "int8", "f32") == (found.encoder, found.compute_type, found.arithmetic)
    assert "OpenVINO" in found.reason
    assert "not installed" in found.reason


def test_kernels_that_clip_sums_are_not_used(machine):
    machine("avx2", wrong=("rows",))
    assert ("onnx", "float32") == (choose().encoder, choose().compute_type)
    assert "add up wrong" in choose().reason


def test_a_kernel_that_is_not_used_may_clip(machine):
    machine("avx2", wrong=("tensor",))
    assert "int8" == choose().compute_type


def test_processors_with_vnni_are_not_asked_about_their_kernels(machine, monkeypatch):
    machine("vnni")
    monkeypatch.setattr(choice, "wrong_int8_kernels", lambda: pytest.fail("asked"))
    assert "int8" == choose().compute_type


def test_float32_is_exact_whatever_the_processor(machine):
    machine("amx")
    found = choose(compute_type="float32")
    assert ("onnx", "float32", "f32") == (found.encoder, found.compute_type, found.arithmetic)


def test_an_engine_that_is_asked_for_is_taken(machine):
    machine("amx")
    assert "onnx" == choose("onnx").encoder
    machine("arm")
    assert "openvino" == choose("openvino").encoder
    assert ("torch", "torch", "float32") == (
        choose("torch").encoder, choose("torch").decoder, choose("torch").compute_type,
    )  # fmt: skip


def test_a_gpu_means_torch_and_half_precision(machine):
    machine("amx")
    found = choose(device="cuda")
    assert ("torch", "torch", "float16", "cuda") == (
        found.encoder, found.decoder, found.compute_type, found.device,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "command"), [("openvino", "openvino"), ("torch", "[torch]")])
def test_an_engine_that_is_not_installed_is_one_line_with_the_command(machine, name, command):
    machine("vnni", openvino=False, torch=False)
    with pytest.raises(EngineError) as raised:
        choose(name)
    assert "pip install" in str(raised.value)
    assert command in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tensorflow"}, "auto, onnx, openvino, torch"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"engine": "onnx", "device": "cuda"}, "engine 'torch'"),
        ({"engine": "openvino", "device": "cuda"}, "engine 'torch'"),
        ({"compute_type": "float16"}, "int8, float32"),
        ({"engine": "openvino", "compute_type": "bfloat16"}, "int8, float32"),
        ({"engine": "torch", "compute_type": "int8"}, "float32, bfloat16, float16"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(machine, options, words):
    machine("vnni")
    with pytest.raises(OptionError) as raised:
        choose(**options)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
