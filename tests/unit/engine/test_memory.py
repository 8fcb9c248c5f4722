"""What a model needs, what there is, and the one line where that is too little."""

import subprocess
import sys

import pytest

from tercet.checkpoint import Geometry
from tercet.engine import memory
from tercet.engine.memory import available_bytes, check_fits, needed_bytes
from tercet.errors import EngineError

BASE = Geometry(
    n_mels=80,
    width=512,
    encoder_layers=6,
    encoder_heads=8,
    decoder_layers=6,
    decoder_heads=8,
    vocab_size=51865,
)
LARGE = Geometry(
    n_mels=128,
    width=1280,
    encoder_layers=32,
    encoder_heads=20,
    decoder_layers=32,
    decoder_heads=20,
    vocab_size=51866,
)
GB = 10**9


@pytest.fixture
def machine(tmp_path):
    """`machine("proc/meminfo", text)` writes a file of a made-up system."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    write("proc/meminfo", "MemTotal: 16000000 kB\nMemFree: 1000000 kB\nMemAvailable: 8000000 kB\n")
    return write


def test_larger_models_wider_types_and_batches_need_more():
    assert needed_bytes(BASE, "int8", 1) < needed_bytes(BASE, "float32", 1)
    assert needed_bytes(BASE, "int8", 1) < needed_bytes(BASE, "int8", 8)
    assert 5 * needed_bytes(BASE, "int8", 1) < needed_bytes(LARGE, "int8", 1)
    assert needed_bytes(BASE, "float16", 1) < needed_bytes(BASE, "float32", 1)


def test_memory_that_only_caches_files_is_free(machine):
    assert 8_000_000 * 1024 == available_bytes(machine("proc/x", ""))


def test_this_machine_tells_how_much_is_free():
    assert 10**6 < available_bytes() <= sys.maxsize


def test_a_group_of_version_2_limits_its_members(machine):
    machine("proc/self/cgroup", "0::/batch/job\n")
    machine("sys/fs/cgroup/batch/job/memory.max", "max\n")
    machine("sys/fs/cgroup/batch/memory.max", f"{4 * GB}\n")
    machine("sys/fs/cgroup/batch/memory.current", f"{3 * GB}\n")
    stat = f"anon {GB}\nactive_file {GB // 2}\ninactive_file {GB}\n"
    root = machine("sys/fs/cgroup/batch/memory.stat", stat)
    assert GB + GB + GB // 2 == available_bytes(root)


def test_in_a_container_the_groups_own_folder_is_the_top_one(machine):
    machine("proc/self/cgroup", "0::/system.slice/docker-1234.scope\n")
    machine("sys/fs/cgroup/memory.max", f"{2 * GB}\n")
    root = machine("sys/fs/cgroup/memory.current", f"{GB}\n")
    assert GB == available_bytes(root)


def test_a_group_of_version_1_limits_its_members(machine):
    machine("proc/self/cgroup", "5:cpu:/\n4:hugetlb,memory:/job\n0::/\n")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{2**63 - 4096}\n")
    machine("sys/fs/cgroup/memory/memory.usage_in_bytes", f"{GB}\n")
    machine("sys/fs/cgroup/memory/job/memory.limit_in_bytes", f"{3 * GB}\n")
    machine("sys/fs/cgroup/memory/job/memory.usage_in_bytes", f"{2 * GB}\n")
    root = machine("sys/fs/cgroup/memory/job/memory.stat", f"total_inactive_file {GB // 4}\n")
    assert GB + GB // 4 == available_bytes(root)


def test_a_group_beyond_its_limit_leaves_nothing(machine):
    machine("proc/self/cgroup", "0::/\n")
    machine("sys/fs/cgroup/memory.max", f"{GB}\n")
    assert 0 == available_bytes(machine("sys/fs/cgroup/memory.current", f"{2 * GB}\n"))


@pytest.mark.parametrize("text", ["", "nonsense", "0::", "0::/../../..\n", "1:memory\n", ":::\n"])
def test_unknown_forms_are_passed_over(machine, text):
    assert 8_000_000 * 1024 == available_bytes(machine("proc/self/cgroup", text))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is enforced on Linux")
def test_ulimit_limits_the_process():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); "
        "from tercet.engine.memory import available_bytes; print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**28 < int(done.stdout) < 2**31


@pytest.mark.parametrize(
    ("free_gb", "compute_type", "batch_size", "said"),
    [
        (0.1, "int8", 1, "choose a smaller model, or free memory"),
        (5.5, "float32", 8, "compute_type 'int8' and batch_size 1 need"),
        (5.5, "int8", 64, "batch_size 1 needs"),
    ],
)
def test_a_model_that_cannot_fit_is_one_line_with_a_way_out(
    monkeypatch, free_gb, compute_type, batch_size, said
):
    monkeypatch.setattr(memory, "available_bytes", lambda: int(free_gb * GB))
    with pytest.raises(EngineError, match=said) as caught:
        check_fits("large-v3", LARGE, compute_type, batch_size)
    assert str(caught.value).startswith("model 'large-v3' needs about ")
    assert f"{free_gb:.1f} GB are free" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_fits_passes(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 4 * GB)
    check_fits("base", BASE, "float32", 8)
