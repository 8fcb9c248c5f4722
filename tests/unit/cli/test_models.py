"""`tercet models` over caches and packages laid out on the spot; no hub is asked.

Downloads are in tests/e2e/hub.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.download_bar import download_bar
from tercet.hub.packages import installed_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHISPER = {"model_type": "whisper", "vocab_size": 51865}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, no packages, no hub."""
    folder = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("tercet.hub.packages.entry_points", lambda group: ())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def snapshot(cache: Path) -> Callable[..., Path]:
    """`snapshot("owner/model")` lays a model of 3 MB out in the cache, as huggingface_hub does."""

    def make(
        repository: str, *, config: dict[str, Any] | None = None, weights: str = "model.safetensors"
    ) -> Path:
        root = cache / f"models--{repository.replace('/', '--')}"
        folder = root / "snapshots" / COMMIT
        for each in (root / "refs", root / "blobs", folder):
            each.mkdir(parents=True)
        (root / "refs" / "main").write_text(COMMIT)
        bodies = {
            "config.json": json.dumps(config or WHISPER).encode(),
            "tokenizer.json": b"{}",
            weights: bytes(3_000_000),
        }
        for name, body in bodies.items():
            (root / "blobs" / f"blob-of-{name}").write_bytes(body)
            (folder / name).symlink_to(f"../../blobs/blob-of-{name}")
        return folder

    return make


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """`package("acme-models", "meetings")` installs a data package whose import would fail."""
    import importlib.metadata

    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(distribution: str, model: str) -> Path:
        folder = site / distribution.replace("-", "_")
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
        (folder / "config.json").write_text(json.dumps(WHISPER))
        (folder / "model.safetensors").write_bytes(bytes(2_000_000))
        info = site / f"{folder.name}-1.0.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: 1.0\n"
        (info / "METADATA").write_text(about + "License-Expression: CC-BY-4.0\n")
        (info / "entry_points.txt").write_text(f"[tercet.models]\n{model} = {folder.name}\n")
        found = importlib.metadata.PathDistribution(info).entry_points
        monkeypatch.setattr("tercet.hub.packages.entry_points", lambda group: found)
        return folder

    return make


def row_of(table: str, name: str) -> str:
    """The line of a model, blanks between its columns brought to one `|`."""
    [line] = [line for line in table.splitlines() if line.split()[0] == name]
    return " | ".join(cell.strip() for cell in line.split("  ") if cell.strip())


# list


def test_the_list_has_every_known_model_and_what_a_download_would_be(
    run_tercet: Callable[..., Any],
) -> None:
    ran = run_tercet("models", "list")
    assert (0, "") == (ran.code, ran.err)
    assert "name | size | licence | languages | where" == row_of(ran.out, "name")
    assert "small | (967 MB) | MIT | 99 | not here" == row_of(ran.out, "small")
    assert "distil-large-v3.5 | (3026 MB) | MIT | English | not here" == row_of(
        ran.out, "distil-large-v3.5"
    )
    assert 18 == len(ran.out.splitlines())


def test_the_list_says_where_each_copy_lies(
    run_tercet: Callable[..., Any],
    snapshot: Callable[..., Path],
    package: Callable[[str, str], Path],
    tmp_path: Path,
    cache: Path,
) -> None:
    snapshot("openai/whisper-tiny")
    snapshot("Systran/faster-whisper-small", weights="model.bin")
    (snapshot("openai/whisper-medium") / "config.json").unlink()
    part = cache / "models--openai--whisper-large-v2" / "blobs" / "0abc.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(4_000_000))
    openai = tmp_path / "user-cache" / "whisper" / "base.pt"
    openai.parent.mkdir(parents=True)
    openai.write_bytes(bytes(5_000_000))
    package("acme-models", "meetings")
    out = run_tercet("models", "list").out
    assert [
        "tiny | 3 MB | MIT | 99 | hub cache",
        "small | 3 MB | MIT | 99 | faster-whisper's copy (Systran/faster-whisper-small)",
        "medium | 3 MB | MIT | 99 | hub cache, without config.json",
        "large-v2 | 4 MB | MIT | 99 | unfinished download (openai/whisper-large-v2)",
        "base | 5 MB | MIT | 99 | openai-whisper's cache (base.pt)",
        "meetings | 2 MB | CC-BY-4.0 | 99 | package acme-models",
    ] == [row_of(out, name) for name in ("tiny", "small", "medium", "large-v2", "base", "meetings")]
    assert "acme_models" not in sys.modules


def test_cached_whispers_of_other_ids_are_listed_and_other_models_are_not(
    run_tercet: Callable[..., Any], snapshot: Callable[..., Path]
) -> None:
    snapshot("someone/whisper-small-cantonese")
    snapshot("someone/bert", config={"model_type": "bert"})
    snapshot("deepdml/faster-whisper-large-v3-turbo-ct2", weights="model.bin")
    out = run_tercet("models", "list").out
    assert "someone/whisper-small-cantonese | 3 MB | ? | 99 | hub cache" == row_of(
        out, "someone/whisper-small-cantonese"
    )
    assert "bert" not in out
    assert 1 == out.count("deepdml/")
    assert row_of(out, "large-v3-turbo").endswith(
        "faster-whisper's copy (deepdml/faster-whisper-large-v3-turbo-ct2)"
    )


def test_a_machine_gets_an_object(
    run_tercet: Callable[..., Any], snapshot: Callable[..., Path]
) -> None:
    folder = snapshot("openai/whisper-small")
    ran = run_tercet("models", "list", "--json")
    told = json.loads(ran.out)
    assert "tercet/1" == told["schema"]
    by_name = {each["name"]: each for each in told["models"]}
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    assert {
        "name": "small",
        "repository": "openai/whisper-small",
        "languages": 99,
        "licence": "MIT",
        "download_mb": 967,
        "path": str(folder),
        "copies": [
            {
                "place": "hub cache",
                "source": "openai/whisper-small",
                "path": str(folder),
                "size_bytes": size_bytes,
                "missing": [],
                "whole": True,
            }
        ],
    } == by_name["small"]
    assert (None, []) == (by_name["tiny"]["path"], by_name["tiny"]["copies"])


def test_two_packages_of_one_name_do_not_break_the_list(
    run_tercet: Callable[..., Any],
    package: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package("acme-models", "meetings")
    entries = installed_models()["meetings"] * 2
    monkeypatch.setattr("tercet.hub.packages.entry_points", lambda group: entries)
    ran = run_tercet("models", "list")
    assert (0, "meetings | ? | CC-BY-4.0 | ? | not here") == (ran.code, row_of(ran.out, "meetings"))


# path


def test_path_is_one_line(run_tercet: Callable[..., Any], snapshot: Callable[..., Path]) -> None:
    folder = snapshot("openai/whisper-large-v3-turbo")
    for name in ("turbo", "large-v3-turbo", "openai/whisper-large-v3-turbo", str(folder)):
        ran = run_tercet("models", "path", name)
        assert (0, f"{folder}\n", "") == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "small",
            "model 'small' is not on this machine; this fetches it: tercet models pull small",
        ),
        ("smal", "no model is called 'smal'; did you mean 'small'"),
        ("./nowhere", "model './nowhere': no such file or folder"),
    ],
)
def test_path_of_what_is_not_there_is_a_line_and_exit_code_1(
    run_tercet: Callable[..., Any], name: str, expected: str
) -> None:
    ran = run_tercet("models", "path", name)
    assert (1, "") == (ran.code, ran.out)
    assert ran.err.startswith(f"tercet: {expected}")
    assert 1 == ran.err.count("\n")


# remove


def test_remove_frees_the_cache_and_says_how_much(
    run_tercet: Callable[..., Any], snapshot: Callable[..., Path], cache: Path
) -> None:
    gone, kept = snapshot("openai/whisper-small"), snapshot("openai/whisper-tiny")
    ran = run_tercet("models", "remove", "small")
    assert (0, "small: 3.0 MB freed\n", "") == (ran.code, ran.out, ran.err)
    assert not gone.exists()
    assert not (cache / "models--openai--whisper-small").exists()
    # The same commit's name in another repository: no harm is done to it.
    assert 3_000_000 == (kept / "model.safetensors").stat().st_size


def test_remove_takes_unfinished_downloads_too(run_tercet: Callable[..., Any], cache: Path) -> None:
    part = cache / "models--openai--whisper-small" / "blobs" / "0abc.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(4_000_000))
    ran = run_tercet("models", "remove", "small")
    assert (0, "small: 4.0 MB freed\n", "") == (ran.code, ran.out, ran.err)
    assert not part.exists()


def test_what_is_not_in_the_cache_is_left_and_the_way_is_told(
    run_tercet: Callable[..., Any],
    snapshot: Callable[..., Path],
    package: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    copy = snapshot("Systran/faster-whisper-small", weights="model.bin")
    openai = tmp_path / "user-cache" / "whisper" / "base.pt"
    openai.parent.mkdir(parents=True)
    openai.write_bytes(b"weights")
    boxed = package("acme-models", "meetings")
    mine = tmp_path / "mine"
    mine.mkdir()
    names = ["small", "base", "meetings", "./mine", "tiny", "nonsense"]
    ran = run_tercet("models", "remove", *names)
    assert (1, "") == (ran.code, ran.out)
    told = [
        "model 'small' is here as faster-whisper's copy; remove that with: "
        "tercet models remove Systran/faster-whisper-small",
        f"model 'base' is openai-whisper's own file; delete it yourself: {openai}",
        "model 'meetings' is in a package; remove it with: pip uninstall acme-models",
        "model './mine' is a path of yours (mine), not a cached model; delete it yourself",
        "model 'tiny' is not in the hub's cache on this machine; nothing to remove",
        "no model is called 'nonsense'",
    ]
    lines = ran.err.splitlines()
    assert len(told) == len(lines)
    for expected, line in zip(told, lines, strict=True):
        assert line.startswith(f"tercet: {expected}")
    assert all(path.exists() for path in (copy, openai, boxed, mine))
    ran = run_tercet("models", "remove", "Systran/faster-whisper-small")
    assert (0, "Systran/faster-whisper-small: 3.0 MB freed\n") == (ran.code, ran.out)
    assert not copy.exists()


def test_a_link_in_the_cache_does_not_lead_the_removal_elsewhere(
    run_tercet: Callable[..., Any], snapshot: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    snapshot("openai/whisper-small")
    root = cache / "models--openai--whisper-small"
    elsewhere = tmp_path / "elsewhere"
    root.rename(elsewhere)
    root.symlink_to(elsewhere)
    ran = run_tercet("models", "remove", "small")
    assert (1, "") == (ran.code, ran.out)
    assert f"'openai/whisper-small': {root} leads out of the cache; delete it yourself" in ran.err
    assert 3_000_000 == (elsewhere / "blobs/blob-of-model.safetensors").stat().st_size


# pull


def test_pull_leaves_packages_and_openais_files_as_they_are(
    run_tercet: Callable[..., Any], package: Callable[[str, str], Path], tmp_path: Path
) -> None:
    boxed = package("acme-models", "meetings")
    openai = tmp_path / "user-cache" / "whisper" / "large-v3-turbo.pt"
    openai.parent.mkdir(parents=True)
    openai.write_bytes(b"weights")
    ran = run_tercet("models", "pull", "meetings", "turbo")
    assert (0, f"{boxed}\n{openai}\n", "") == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("small", "model 'small': not on this machine and the hub cannot be reached"),
        ("smal", "no model is called 'smal'"),
        (".", "model '.' is a path, and nothing to fetch; give a model's name"),
    ],
)
def test_a_pull_that_fails_is_a_line_and_the_others_go_on(
    run_tercet: Callable[..., Any], package: Callable[[str, str], Path], name: str, expected: str
) -> None:
    boxed = package("acme-models", "meetings")
    ran = run_tercet("models", "pull", name, "meetings")
    assert (1, f"{boxed}\n") == (ran.code, ran.out)
    assert ran.err.startswith(f"tercet: {expected}")
    assert 1 == ran.err.count("\n")


def test_ctrl_c_says_that_what_came_is_kept(
    run_tercet: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tercet.hub.pull.pull_model", interrupted)
    ran = run_tercet("models", "pull", "small")
    line = "tercet: stopped; what has arrived is kept, and the same command goes on from there\n"
    assert (130, "", line) == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize(
    ("words", "option", "expected"),
    [
        ([], "revision", None),
        (["--revision", "v2"], "revision", "v2"),
        ([], "offline", None),
        (["--offline"], "offline", True),
    ],
)
def test_an_option_of_pull_arrives(
    run_tercet: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    option: str,
    expected: object,
) -> None:
    seen: list[dict[str, Any]] = []

    def pull_model(name: str, **options: Any) -> Path:
        seen.append(options)
        return Path(name)

    monkeypatch.setattr("tercet.hub.pull.pull_model", pull_model)
    assert 0 == run_tercet("models", "pull", "small", *words).code
    assert expected == seen[0][option]


def test_a_bar_is_drawn_on_a_terminal_and_not_with_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with download_bar("small", quiet=False) as on_progress:
        assert on_progress is None  # stderr is no terminal here
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with download_bar("small", quiet=True) as on_progress:
        assert on_progress is None
    assert "" == capsys.readouterr().err
    with download_bar("small", quiet=False) as on_progress:
        assert on_progress is not None
        on_progress(250_000_000, 1_000_000_000)
    drawn = capsys.readouterr()
    assert "" == drawn.out
    assert "small" in drawn.err
    assert "250.0 MB" in drawn.err or "0.2/1.0 GB" in drawn.err


# usage


@pytest.mark.parametrize(
    "words",
    [["frobnicate"], ["pull"], ["remove"], ["path"], ["path", "a", "b"], ["pull", "--speed", "x"]],
)
def test_a_command_line_that_cannot_be_meant_is_one_line(
    run_tercet: Callable[..., Any], words: list[str]
) -> None:
    ran = run_tercet("models", *words)
    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith("tercet models: ")
    assert ran.err.endswith("(see tercet models --help)\n")
    assert 1 == ran.err.count("\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["pull", "--help"]])
def test_help_is_shown(run_tercet: Callable[..., Any], words: list[str]) -> None:
    ran = run_tercet("models", *words)
    assert (0, "") == (ran.code, ran.err)
    assert "Usage: tercet models" in ran.out
