"""Where a head's name leads on this machine, what is said of its licence, and what it is opened as."""

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.catalog import HEADS, KnownHead
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.convert.head_store import write_head
from tercet.errors import LicenceWarning, ModelNotFoundError
from tercet.hub.heads import (
    find_head,
    head_here,
    heads_beside,
    licence_note,
    load_head,
    warn_about_licence,
)

FIXTURES = Path(__file__).resolve().parents[1] / "parity" / "fixtures"
ICHIGO = FIXTURES / "ichigo_parity_merged_tiny.pth"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def whisper_cache(caches: Path) -> Path:
    folder = caches / "cache" / "whisper"
    folder.mkdir(parents=True)
    return folder


def tag_head(**origin: str) -> TagHead:
    head = TagHead(
        layers="mean",
        n_layers=None,
        width=4,
        hidden=4,
        has_projection=False,
        time_heads=0,
        layer_heads=0,
        arrays=HeadArrays({}),
        labels=("a", "b"),
        origin=Origin(**origin),
    )
    arrays = {name: np.ones(shape, np.float32) for name, shape in head_shapes(head).items()}
    return replace(head, arrays=HeadArrays(arrays))


def refused(name: str | Path) -> str:
    with pytest.raises(ModelNotFoundError) as caught:
        find_head(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Paths


@pytest.mark.parametrize("name", ["a.safetensors", "./a.safetensors", "odd name", "x:y"])
def test_a_file_that_is_there_is_a_path_whatever_it_is_called(caches: Path, name: str) -> None:
    (caches / name).touch()
    assert Path(name) == find_head(name)
    assert Path(name) == find_head(Path(name))


def test_a_home_is_expanded(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(caches))
    (caches / "a.pth").touch()
    assert caches / "a.pth" == find_head("~/a.pth")


@pytest.mark.parametrize(
    "name", ["my-tags.safetensors", "./whisper-at:tiny", "sub/x.pth", Path("y")]
)
def test_what_is_written_as_a_path_and_is_not_there_says_so(name: str | Path) -> None:
    assert f"head {str(name)!r}: no such file" in refused(name)


def test_a_folder_is_no_head_but_does_not_hide_a_known_name(caches: Path) -> None:
    (caches / "heads").mkdir()
    assert "is a folder; give the head's file in it" in refused("heads")
    (caches / "ichigo-asr-2502-en").mkdir()
    assert "the hub is switched off" in refused("ichigo-asr-2502-en")


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "~nobody-of-this-name/a"])
def test_a_name_that_can_be_no_path_is_one_line(name: str) -> None:
    refused(name)


# whisper-at's cache


def test_a_head_of_whisper_at_is_taken_from_its_own_cache(whisper_cache: Path) -> None:
    (whisper_cache / "medium_low.pth").touch()
    assert whisper_cache / "medium_low.pth" == find_head("whisper-at-low:medium")
    assert whisper_cache / "medium_low.pth" == find_head("medium_low.pth")
    (whisper_cache / "large-v2_ori.pth").touch()
    assert whisper_cache / "large-v2_ori.pth" == find_head("whisper-at:large")


@pytest.mark.parametrize("offline", [True, False])
def test_what_whisper_at_has_not_downloaded_is_never_fetched(caches: Path, offline: bool) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_head("whisper-at:tiny.en", offline=offline)
    said = str(caught.value)
    assert "https://www.dropbox.com/s/atq9so6w0qug5ai/tiny.en_ori.pth?dl=1" in said
    assert str(caches / "cache" / "whisper" / "tiny.en_ori.pth") in said
    assert said.endswith("and give the file's path")


def test_a_published_checksum_is_compared(
    whisper_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whisper_cache / "medium.en_ori.pth").write_bytes(b"the head")
    said = refused("whisper-at:medium.en")
    assert "medium.en_ori.pth is damaged (its SHA-256 is not the published 2bb6ed52169c..)" in said
    digest = hashlib.sha256(b"the head").hexdigest()
    row = replace(HEADS["whisper-at:medium.en"], sha256=digest)
    monkeypatch.setitem(HEADS, "whisper-at:medium.en", row)
    assert whisper_cache / "medium.en_ori.pth" == find_head("whisper-at:medium.en")


# The hub's cache


def in_hub_cache(root: Path, repository: str, file: str) -> Path:
    folder = root / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    path = folder / "snapshots" / "c0ffee" / file
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_cached_file_is_found_by_every_name_it_has(caches: Path) -> None:
    row: KnownHead = HEADS["whispervq-2405-en"]
    path = in_hub_cache(caches, row.repository, row.file)
    for name in (row.name, row.file, f"{row.repository}:{row.file}"):
        assert path == find_head(name)


def test_a_cached_file_of_anybody_is_found(caches: Path) -> None:
    path = in_hub_cache(caches, "some-one/heads", "sub/en+pl.safetensors")
    assert path == find_head("some-one/heads:sub/en+pl.safetensors")


@pytest.mark.parametrize(
    "name", ["some-one/heads:tags.safetensors", "ichigo-asr-2501-en", "whispervq-2405-en"]
)
def test_switched_off_the_hub_is_not_asked_and_the_line_names_a_way(name: str) -> None:
    said = refused(name)
    assert (
        f"head {name!r} is not on this machine and the hub is switched off; give the path" in said
    )


@pytest.mark.parametrize("file", ["../tags.pth", "a/../../b", "/etc/passwd", ".hidden", ""])
def test_a_file_outside_its_repository_is_never_asked_for(caches: Path, file: str) -> None:
    in_hub_cache(caches, "some-one/heads", "x").parent.joinpath("a").mkdir()
    (caches / "hub" / "models--some-one--heads" / "snapshots" / "b").touch()
    said = refused(f"some-one/heads:{file}")
    assert "no head is called" in said or "no such file" in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("whisper-at:medum", "whisper-at:medium"),
        ("ichigo-asr", "ichigo-asr-2502-en"),
        ("base", "whisper-at:medium"),
        ("owner/name", "whisper-at:medium"),
    ],
)
def test_an_unknown_name_is_one_line_with_suggestions(name: str, meant: str) -> None:
    said = refused(name)
    assert f"no head is called {name!r}; did you mean" in said
    assert repr(meant) in said


def test_here_are_paths_and_whisper_ats_copies_alone(whisper_cache: Path, caches: Path) -> None:
    (whisper_cache / "small_ori.pth").touch()
    (caches / "mine.safetensors").touch()
    row = HEADS["whispervq-2405-en"]
    in_hub_cache(caches, row.repository, row.file)
    assert whisper_cache / "small_ori.pth" == head_here("whisper-at:small")
    assert Path("mine.safetensors") == head_here("mine.safetensors")
    absent = ("whisper-at:tiny", "absent.safetensors", "nobody", row.name)
    assert [None] * 4 == [head_here(name) for name in absent]


# Beside a model


def test_heads_that_lie_beside_a_model_are_found(caches: Path) -> None:
    folder = caches / "model"
    folder.mkdir()
    assert {} == heads_beside(folder)
    (folder / "tokens.safetensors").touch()
    assert {"tokens": folder / "tokens.safetensors"} == heads_beside(folder)
    (folder / "tags.safetensors").touch()
    assert {"tags", "tokens"} == set(heads_beside(folder))
    assert {} == heads_beside(folder / "tags.safetensors")
    assert {} == heads_beside(folder / "absent")


# Licences


@pytest.mark.parametrize(
    "name",
    [
        "ichigo-asr-2501-en-vi",
        "ichigo-asr-2501-vi",
        "homebrewltd/ichigo-asr:ichigo-asr-2502-en.ckpt",
        "somewhere/merge-medium-vi-2d-2560c-dim64.pth",
        ICHIGO,
    ],
)
def test_weights_that_forbid_commercial_use_are_named(name: str | Path) -> None:
    note = licence_note(name)
    assert f"{name}: these weights are under CC-BY-NC-SA-4.0, which forbids commercial use" == note


@pytest.mark.parametrize("name", ["whisper-at:tiny", "whispervq-2405-en", "owner/name:x", "absent"])
def test_nothing_is_said_of_other_weights(name: str) -> None:
    assert licence_note(name) is None


def test_a_file_says_its_own_licence_whatever_it_is_called(caches: Path) -> None:
    path = caches / "a.safetensors"
    write_head(path, tag_head(licence="CC-BY-NC-4.0"))
    assert "under CC-BY-NC-4.0" in str(licence_note(path))
    assert "under CC-BY-NC-4.0" in str(licence_note(str(path)))
    assert "under CC-BY-NC-4.0" in str(licence_note(tag_head(licence="CC-BY-NC-4.0")))
    mit = caches / "merge-medium-vi-2d-2560c-dim64.pth"
    write_head(mit, tag_head(licence="MIT"))
    assert licence_note(mit) is None


@pytest.mark.parametrize("name", ["~nobody-of-this-name/tags.pth", "x" * 5000, "a\0b"])
def test_what_no_path_can_be_is_a_name_that_leads_nowhere(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no head is called"):
        load_head(name)


def test_the_warning_is_a_licence_warning_and_says_whether_there_was_one() -> None:
    with pytest.warns(LicenceWarning, match="ichigo-asr-2502-en: .* forbids commercial use"):
        assert warn_about_licence("ichigo-asr-2502-en")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_about_licence("whisper-at:tiny")


# Opening by name


def test_the_licence_is_said_before_the_file_is_opened(caches: Path) -> None:
    path = caches / "merge-medium-vi-2d-2560c-dim64.pth"
    path.write_bytes(b"PK\x03\x04 cut short")
    with (
        pytest.warns(LicenceWarning) as said,
        pytest.raises(Exception, match="damaged or cut short"),
    ):
        load_head(path)
    assert 1 == len(said)


def test_the_licence_is_said_once_and_before_the_hub_is_asked() -> None:
    with pytest.warns(LicenceWarning) as said, pytest.raises(ModelNotFoundError):
        load_head("ichigo-asr-2501-en-vi")
    assert 1 == len(said)


def test_a_published_head_says_what_the_catalog_knows(whisper_cache: Path, peer) -> None:  # type: ignore[no-untyped-def]
    torch = peer("torch")
    stored = np.load(FIXTURES / "whisper_at_parity_heads.npz")
    prefix = "pkg/tl_tr_1_8/w/"
    state = {
        f"at_model.{key.removeprefix(prefix)}": torch.from_numpy(stored[key])
        for key in stored.files
        if key.startswith(prefix)
    }
    assert 34 == len(state)
    torch.save(state, whisper_cache / "medium.en_low.pth")
    head = load_head("whisper-at-low:medium.en")
    row = HEADS["whisper-at-low:medium.en"]
    assert isinstance(head, TagHead)
    assert (row.name, row.licence, row.source, "medium.en") == (
        head.origin.name,
        head.origin.licence,
        head.origin.source,
        head.origin.encoder_name,
    )


def test_a_head_of_ones_own_keeps_its_origin(caches: Path) -> None:
    path = caches / "a.safetensors"
    write_head(path, tag_head(name="mine", licence="MIT", encoder_name="base"))
    head = load_head(path, labels=["x", "y"])
    assert isinstance(head, TagHead)
    assert (Origin(name="mine", licence="MIT", encoder_name="base"), ("x", "y")) == (
        head.origin,
        head.labels,
    )


def test_ichigos_file_opens_by_its_path() -> None:
    with pytest.warns(LicenceWarning):
        head = load_head(str(ICHIGO))
    assert isinstance(head, Quantizer)
