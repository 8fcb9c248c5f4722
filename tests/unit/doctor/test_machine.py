"""Folders, GPUs and the environment: sizes are right, secrets stay where they are."""

import os
import stat
from pathlib import Path

import pytest

from tercet.doctor import machine
from tercet.doctor.machine import (
    look_at_cache,
    nvidia_gpus,
    proxies,
    without_home,
    without_secrets,
)


def test_a_cache_counts_each_blob_once_and_what_was_interrupted(tmp_path: Path) -> None:
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "aa").write_bytes(b"x" * 1000)
    (blobs / "bb.incomplete").write_bytes(b"x" * 200)
    (snapshot / "model.safetensors").symlink_to(blobs / "aa")
    found = look_at_cache("hub cache", tmp_path)
    assert (1200, True, 1) == (found.size_bytes, found.is_size_complete, found.unfinished)
    assert (True, True) == (found.is_there, found.is_writable)
    assert found.free_bytes


def test_a_cache_that_is_not_there_is_judged_by_where_it_would_be_made(tmp_path: Path) -> None:
    found = look_at_cache("hub cache", tmp_path / "a" / "b")
    assert (False, True, 0) == (found.is_there, found.is_writable, found.size_bytes)
    assert [] == list(tmp_path.iterdir())


def test_a_cache_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not look_at_cache("hub cache", tmp_path / "file" / "hub").is_writable


def test_a_huge_cache_is_not_counted_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        (tmp_path / str(n)).write_bytes(b"x")
    monkeypatch.setattr(machine, "_SCAN_S", -1)
    found = look_at_cache("hub cache", tmp_path)
    assert (1, False) == (found.size_bytes, found.is_size_complete)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)

    def write(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def test_gpus_are_those_that_nvidia_smi_lists(nvidia_smi) -> None:
    assert () == nvidia_gpus()
    nvidia_smi("echo 'NVIDIA H100, 81559 MiB, 570.1'; echo 'NVIDIA L4, 23034 MiB, 570.1'")
    assert ("NVIDIA H100, 81559 MiB, 570.1", "NVIDIA L4, 23034 MiB, 570.1") == nvidia_gpus()


@pytest.mark.parametrize("script", ["echo failed to talk to the driver; exit 9", "exit 0", "\0"])
def test_a_driver_that_fails_is_no_gpu(nvidia_smi, script: str) -> None:
    nvidia_smi(script)
    assert () == nvidia_gpus()


def test_a_driver_that_hangs_is_not_waited_for(nvidia_smi, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_NVIDIA_SMI_S", 0.2)
    nvidia_smi("exec /bin/sleep 30")
    assert () == nvidia_gpus()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hub.example/mirror", "https://hub.example/mirror"),
        ("https://me:secret@hub.example:8443/a?token=secret#secret", "https://hub.example:8443/a"),
        ("secret", "(not an address)"),
        ("http://[secret", "(not an address)"),
        ("http://host:secret/", "(not an address)"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert shown == without_secrets(address)


def test_of_proxies_the_names_alone_are_told() -> None:
    environment = {
        "HTTPS_PROXY": "http://me:secret@proxy",
        "no_proxy": "",
        "all_proxy": "x",
        "A": "b",
    }
    assert ("HTTPS_PROXY", "all_proxy") == proxies(environment)


def test_the_home_folder_is_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert "ImportError: ~/env/lib.so" == without_home("ImportError: /home/ada/env/lib.so")
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert "/srv/x" == without_home("/srv/x")


def test_the_cache_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.sep + "elsewhere")
    assert Path("/elsewhere") == machine.cache_home()
