"""Switched off, the hub is never asked: any use of a socket fails these tests."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.cli.main import main
from tercet.errors import ModelNotFoundError
from tercet.hub import find_model, find_tokenizer
from tercet.hub.pull import pull_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every way to the network raises; afterwards nobody may have tried one."""
    tried: list[str] = []

    def guard(name: str) -> Any:
        def refuse(*args: object, **_: object) -> None:
            tried.append(f"{name}{args[1:] if name.startswith('socket.') else args}")
            raise OSError("the network is off limits in this test")

        return refuse

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, guard(f"socket.{name}"))
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, guard(name))
    yield tried
    assert [] == tried


@pytest.fixture(params=["argument", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def switch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Each way to switch the hub off: what to pass, where the environment does not say it."""
    if request.param == "argument":
        return {"offline": True}
    monkeypatch.setenv(request.param, "1")
    return {}


@pytest.fixture
def cached(cache: Path, checkpoint_files: dict[str, bytes]) -> Path:
    """The model in the hub's cache, as owner/model."""
    root = cache / "models--owner--model"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name, body in checkpoint_files.items():
        if "/" not in name and name != "pytorch_model.bin":
            (folder / name).write_bytes(body)
    return folder


def test_the_guard_sees_a_call() -> None:
    """Without the switch the same code does try the network."""
    with pytest.MonkeyPatch.context() as patch:
        tried: list[object] = []

        def refuse(*args: object, **_: object) -> None:
            tried.append(args)
            raise OSError("off limits")

        for owner, name in ((socket, "create_connection"), (socket.socket, "connect")):
            patch.setattr(owner, name, refuse)
        with pytest.raises(ModelNotFoundError, match="cannot be reached"):
            find_model("small")
        assert tried


def test_a_cached_model_loads_and_listens(
    attempts: list[str], switch: dict[str, bool], cached: Path
) -> None:
    model = tercet.load_model("owner/model", threads=1, **switch)
    heard = model.transcribe(
        np.zeros(16000, np.float32), sampling_rate=16000, language="en", vad_filter=False,
        temperature=0.0,
    )  # fmt: skip
    assert 1.0 == heard.duration_s


def test_a_name_that_is_not_here_is_refused(attempts: list[str], switch: dict[str, bool]) -> None:
    for name in ("small", "owner/model", "Systran/faster-whisper-small"):
        with pytest.raises(ModelNotFoundError) as caught:
            find_model(name, **switch)
        assert str(caught.value).startswith(
            f"model {name!r} is not on this machine and the hub is switched off; name a folder"
        )
        with pytest.raises(ModelNotFoundError, match="hub is switched off"):
            find_model(name, revision="main", **switch)


def test_a_tokenizer_that_is_not_here_is_refused(
    attempts: list[str], switch: dict[str, bool], cached: Path
) -> None:
    expected = "the tokenizer of openai/whisper-tiny.en is not on this machine and the hub is"
    with pytest.raises(ModelNotFoundError, match=expected):
        find_tokenizer(51864, **switch)
    (cached / "tokenizer.json").unlink()
    no_package = "tercet.hub.packages.entry_points"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(no_package, lambda group: ())
        with pytest.raises(ModelNotFoundError, match=r"put its tokenizer\.json beside the weights"):
            tercet.load_model("owner/model", **switch)


def test_every_file_that_is_missing_is_named_at_once(
    attempts: list[str], switch: dict[str, bool], cached: Path
) -> None:
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (cached / name).unlink()
    for number in (1, 3):
        (cached / f"model-0000{number}-of-00003.safetensors").write_bytes(b"shard")
    index = '{"weight_map": {"a": "model-00001-of-00003.safetensors", "b": ' + (
        '"model-00002-of-00003.safetensors", "c": "model-00003-of-00003.safetensors"}}'
    )
    (cached / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("owner/model", **switch)
    assert (
        "model 'owner/model' is only partly on this machine (missing in "
        f"{cached}: config.json, model-00002-of-00003.safetensors, tokenizer.json) "
        "and the hub is switched off; name a folder that holds it, or fetch it where the "
        "hub can be reached: tercet models pull owner/model"
    ) == str(caught.value)


def test_the_commands_ask_nobody(
    attempts: list[str], switch: dict[str, bool], cached: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--offline"] if switch else []
    assert 1 == main(["models", "pull", "small", *words])
    assert "the hub is switched off" in capsys.readouterr().err
    assert 0 == main(["models", "pull", "owner/model", *words])
    assert 0 == main(["models", "path", "owner/model"])
    assert f"{cached}\n{cached}\n" == capsys.readouterr().out
    assert 1 == main(["models", "path", "small"])
    assert 0 == main(["models", "list"])
    assert "owner/model" in capsys.readouterr().out
    assert 0 == main(["models", "remove", "owner/model"])
    assert not cached.exists()


@pytest.mark.option("--offline")
def test_listen_asks_nobody(
    attempts: list[str],
    switch: dict[str, bool],
    cached: Path,
    clips_dir: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = str(sorted(clips_dir.glob("librispeech-4507*"))[0])
    words = ["--offline"] if switch else []
    options = ["--language", "en", "--temperature_increment_on_fallback", "None", "--threads", "1"]
    assert 0 == main(["listen", clip, "--model", "owner/model", *options, *words])
    assert 2 == main(["listen", clip, "--model", "small", *words])
    assert "model 'small' is not on this machine and the hub is switched off" in (
        capsys.readouterr().err
    )


def test_a_pull_of_what_is_whole_needs_no_hub(
    attempts: list[str], switch: dict[str, bool], cached: Path
) -> None:
    assert cached == pull_model("owner/model", **switch)
