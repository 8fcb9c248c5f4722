"""Heads from a hub: one file of a repository, resumed, checked, refused in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.catalog import HEADS
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, TagHead
from tercet.cli.main import main
from tercet.convert.head_store import write_head
from tercet.errors import LicenceWarning, ModelNotFoundError
from tercet.hub import find_model
from tercet.hub.heads import find_head, load_head
from tercet.hub.transfer import CHUNK_BYTES

NAME = "owner/model:heads/tags.safetensors"


@pytest.fixture
def head(tmp_path: Path) -> TagHead:
    """A head whose file takes 1.1 MB."""
    made = TagHead(
        layers="mean",
        n_layers=None,
        width=512,
        hidden=512,
        has_projection=False,
        time_heads=0,
        layer_heads=0,
        arrays=HeadArrays({}),
        origin=Origin(licence="CC-BY-NC-4.0"),
    )
    rng = np.random.default_rng(0)
    shapes = head_shapes(made)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return replace(made, arrays=HeadArrays(arrays))


@pytest.fixture
def body(hub: Any, head: TagHead, tmp_path: Path) -> bytes:
    """The head's file, which the hub has now."""
    write_head(tmp_path / "made.safetensors", head)
    content = (tmp_path / "made.safetensors").read_bytes()
    hub.files["heads/tags.safetensors"] = content
    return content


def refused(name: str = NAME, **options: Any) -> str:
    with pytest.raises(ModelNotFoundError) as caught:
        find_head(name, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"head {name!r}")
    return str(caught.value)


def test_one_file_is_fetched_once_and_no_other(hub: Any, cache: Path, body: bytes) -> None:
    seen: list[tuple[int, int]] = []
    path = find_head(NAME, on_progress=lambda *numbers: seen.append(numbers))
    assert body == path.read_bytes()
    assert path.is_relative_to(cache)
    assert (len(body), len(body)) == seen[-1]
    assert len(body) == hub.served()
    asked = len(hub.requests)
    assert path == find_head(NAME)
    assert path == find_head(NAME, offline=True)
    assert asked == len(hub.requests)


def test_what_was_fetched_opens_and_says_its_licence(body: bytes, head: TagHead) -> None:
    with pytest.warns(LicenceWarning, match="CC-BY-NC-4.0") as said:
        found = load_head(NAME)
    assert 1 == len(said)
    assert replace(head, arrays=found.arrays) == found
    np.testing.assert_array_equal(
        head.arrays.read("classifier.proj.weight"), found.arrays.read("classifier.proj.weight")
    )


def test_a_head_of_the_catalog_comes_from_its_repository(
    hub: Any, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = replace(
        HEADS["whispervq-2405-en"], repository="owner/model", file="heads/tags.safetensors"
    )
    monkeypatch.setitem(HEADS, "whispervq-2405-en", row)
    assert body == find_head("whispervq-2405-en").read_bytes()


def test_a_line_that_breaks_is_taken_up_where_it_stopped(hub: Any, body: bytes) -> None:
    hub.drop_after = [400_000]
    assert body == find_head(NAME).read_bytes()
    whole_chunks = 400_000 // CHUNK_BYTES * CHUNK_BYTES
    assert f"bytes={whole_chunks}-" == hub.downloads()[1].range
    assert len(body) + 400_000 - whole_chunks == hub.served()


def test_what_arrives_damaged_is_removed_and_named(hub: Any, cache: Path, body: bytes) -> None:
    hub.corrupt = True
    said = refused()
    assert "heads/tags.safetensors arrived damaged" in said
    assert said.endswith("or give the path of a copy of heads/tags.safetensors")
    assert [] == [path for path in cache.rglob("blobs/*") if path.is_file()]


def test_a_file_that_the_repository_lacks_is_named(hub: Any) -> None:
    assert "the hub repository owner/model has no file heads/tags.safetensors" in refused()
    assert [] == hub.downloads()


def test_a_repository_that_is_not_there_is_one_line(hub: Any) -> None:
    assert "the hub has no repository some/body" in refused("some/body:a.safetensors")


def test_switched_off_nothing_is_asked(
    hub: Any, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the hub is switched off" in refused(offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "the hub is switched off" in refused()
    assert [] == hub.requests


def test_a_hub_that_is_not_there_is_one_line() -> None:
    assert "the hub cannot be reached" in refused()


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: Any, body: bytes) -> None:
    find_head(NAME, token="hf_secret")
    assert {"Bearer hf_secret"} == {each.token for each in hub.requests if each.server == "hub"}
    assert {None} == {each.token for each in hub.requests if each.server == "storage"}


def test_a_head_alone_is_not_taken_for_the_model_of_its_repository(
    hub: Any, body: bytes, weights: bytes
) -> None:
    path = find_head(NAME)
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    assert body == path.read_bytes()
    assert isinstance(open_head(path), TagHead)


def test_a_dropbox_address_is_never_asked(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr("socket.socket.connect", never)
    assert "download https://www.dropbox.com/s/" in refused("whisper-at:base")


def test_convert_fetches_a_head_by_its_name(
    body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["convert", NAME, str(tmp_path / "out.safetensors"), "--compute_type", "int8"])
    told = capsys.readouterr()
    assert told.err.startswith("note: ")
    assert "CC-BY-NC-4.0, which forbids commercial use" in told.err
    assert "out.safetensors: tag head mean_mlp in int8, 527 labels" in told.out
