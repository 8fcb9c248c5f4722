"""What a processor is taken for, from texts that systems really print."""

import sys
from pathlib import Path

import pytest

from tercet.engine import cpu
from tercet.engine.cpu import Cpu, as_kind, parse_cpuinfo, parse_sysctl, parse_windows, this_cpu

SAPPHIRE_RAPIDS = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse4_2 fma f16c avx avx2 avx512f avx512_bf16 avx_vnni avx512_vnni amx_bf16 avx512_fp16 \
amx_tile amx_int8

processor\t: 1
flags\t\t: fpu
"""
CASCADE_LAKE = """\
model name\t: Intel(R) Xeon(R) CPU @ 2.80GHz
flags\t\t: fpu fma avx avx2 f16c avx512f avx512dq avx512_vnni
"""
ALDER_LAKE = "model name\t: 12th Gen Intel(R) Core(TM) i7\nflags\t\t: avx2 fma f16c avx_vnni\n"
ZEN_2 = "model name\t: AMD EPYC 7B12\nflags\t\t: fma avx avx2 f16c sse4a\n"
SANDY_BRIDGE = "model name\t: Intel(R) Core(TM) i5-2500\nflags\t\t: sse4_2 avx\n"
GRAVITON_3 = """\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp sve i8mm bf16
CPU implementer\t: 0x41
"""
CORTEX_A72 = "processor\t: 0\nmodel name\t: Cortex-A72\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SAPPHIRE_RAPIDS, "amx"),
        (CASCADE_LAKE, "vnni"),
        (ALDER_LAKE, "vnni"),
        (ZEN_2, "avx2"),
        (SANDY_BRIDGE, "other"),
        (GRAVITON_3, "arm"),
        (CORTEX_A72, "other"),
        ("", "other"),
        ("no colon here\n::\n", "other"),
    ],
)
def test_a_processor_is_known_by_its_flags(text: str, kind: str) -> None:
    name, features = parse_cpuinfo(text.splitlines())
    assert kind == Cpu(name, 1, features).kind


def test_name_and_features_are_those_of_the_first_processor() -> None:
    name, features = parse_cpuinfo(SAPPHIRE_RAPIDS.splitlines())
    assert "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz" == name
    assert {
        "amx_bf16", "amx_int8", "amx_tile", "avx2", "avx512_bf16", "avx512_fp16", "avx512_vnni",
        "avx512f", "avx_vnni", "f16c", "fma",
    } == features  # fmt: skip


def test_an_arm_says_no_name_and_calls_neon_asimd() -> None:
    assert ("", {"neon", "asimddp", "i8mm", "bf16"}) == parse_cpuinfo(GRAVITON_3.splitlines())


def test_reading_stops_at_the_first_processor() -> None:
    lines = iter(SAPPHIRE_RAPIDS.splitlines())
    parse_cpuinfo(lines)
    assert ["", "processor\t: 1", "flags\t\t: fpu"] == list(lines)


M2 = """\
hw.optional.floatingpoint: 1
hw.optional.neon: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm64: 1
machdep.cpu.cores_per_package: 8
machdep.cpu.brand_string: Apple M2
"""
M1 = M2.replace("I8MM: 1", "I8MM: 0").replace("BF16: 1", "BF16: 0").replace("M2", "M1")
ICE_LAKE_MAC = """\
hw.optional.avx2_0: 1
machdep.cpu.features: FPU VME SSE4.2 FMA AVX1.0 F16C
machdep.cpu.leaf7_features: BMI1 AVX2 AVX512F AVX512DQ AVX512VNNI
machdep.cpu.brand_string: Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz
"""


@pytest.mark.parametrize(
    ("text", "name", "features", "kind"),
    [
        (M2, "Apple M2", {"neon", "asimddp", "i8mm", "bf16"}, "arm"),
        (M1, "Apple M1", {"neon", "asimddp"}, "arm"),
        (
            ICE_LAKE_MAC,
            "Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz",
            {"fma", "f16c", "avx2", "avx512f", "avx512_vnni"},
            "vnni",
        ),
        ("sysctl: unknown oid\n", "", set(), "other"),
    ],
)
def test_a_mac_is_known_by_sysctl(text: str, name: str, features: set[str], kind: str) -> None:
    found = parse_sysctl(text)
    assert (name, features) == found
    assert kind == Cpu(found[0], 1, found[1]).kind


def test_windows_says_avx2_and_arms_dot_products_and_no_more() -> None:
    assert {"avx2", "avx512f"} == parse_windows({10, 40, 41}.__contains__)
    assert {"neon", "asimddp"} == parse_windows({19, 43}.__contains__)
    assert set() == parse_windows(lambda number: 0)


@pytest.mark.parametrize("kind", cpu.KINDS)
@pytest.mark.parametrize("text", [SAPPHIRE_RAPIDS, CASCADE_LAKE, ZEN_2, GRAVITON_3, ""])
def test_any_processor_can_pass_for_any_kind(text: str, kind: str) -> None:
    name, features = parse_cpuinfo(text.splitlines())
    disguised = as_kind(Cpu(name, 3, features), kind)
    assert (name, 3, kind) == (disguised.name, disguised.cores, disguised.kind)
    assert disguised.features <= cpu.FEATURES


def test_the_environment_overrides_the_kind_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    real = this_cpu()
    for kind in ("avx2", " VNNI ", "other", "amx"):
        monkeypatch.setenv("TERCET_CPU", kind)
        assert kind.strip().lower() == this_cpu().kind
    for nonsense in ("", "pentium"):
        monkeypatch.setenv("TERCET_CPU", nonsense)
        assert real == this_cpu()


def test_a_system_that_says_nothing_is_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.delenv("TERCET_CPU", raising=False)
    monkeypatch.setattr(Path, "open", unreadable)
    monkeypatch.setattr("platform.processor", unreadable)
    for system in ("linux", "darwin", "win32", "sunos5"):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr("subprocess.run", unreadable)
        found = cpu._detected.__wrapped__()
        assert ("", "other") == (found.name, found.kind)


def test_cores_are_those_of_the_affinity_and_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for quota, cores in ((None, 8), (3, 3), (64, 8), (0, 1)):
        monkeypatch.setattr(cpu, "cpu_quota", lambda quota=quota: quota)
        assert cores == cpu.usable_cores()
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: None)
    assert 1 == cpu.usable_cores()
