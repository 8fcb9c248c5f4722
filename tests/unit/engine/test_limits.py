"""Control groups as files in a folder: what containers of both versions look like from inside."""

from pathlib import Path

import pytest

from tercet.engine.limits import cpu_quota, total_memory_bytes

GB = 10**9


def root_with(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


V1 = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        # The path is the host's, and not there: the container's own group is the root.
        ({"proc/self/cgroup": "0::/kube/pod\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        # The tightest of all groups around counts.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_quota_is_rounded_up_to_whole_cores(
    tmp_path: Path, files: dict[str, str], quota: int | None
) -> None:
    assert quota == cpu_quota(root_with(tmp_path, files))


MEMINFO = {"proc/meminfo": "MemTotal:       16000000 kB\nMemFree: 1 kB\n"}


@pytest.mark.parametrize(
    ("files", "total"),
    [
        ({}, 16_384_000_000),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 16_384_000_000),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{2 * GB}\n"}, 2 * GB),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{99 * GB}\n"},
            16_384_000_000,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{3 * GB}\n",
            },
            3 * GB,
        ),
    ],
)
def test_memory_is_the_machines_or_the_containers(
    tmp_path: Path, files: dict[str, str], total: int
) -> None:
    assert total == total_memory_bytes(root_with(tmp_path, MEMINFO | files))
