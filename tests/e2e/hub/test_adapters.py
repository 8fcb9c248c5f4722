"""Adapters from a hub: two files of a repository, fetched once; refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from tercet.errors import ModelNotFoundError
from tercet.hub.adapters import find_adapter

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(20_000)}


def refused(name: str | Path, **options: Any) -> str:
    with pytest.raises(ModelNotFoundError) as caught:
        find_adapter(name, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("adapter ")
    return str(caught.value)


def test_settings_and_weights_are_fetched_once_and_nothing_else(hub: Any, cache: Path) -> None:
    hub.files.update(FILES)
    folder = find_adapter("owner/model")
    assert folder.is_relative_to(cache)
    assert FILES == {path.name: path.read_bytes() for path in folder.iterdir()}
    asked = len(hub.requests)
    assert folder == find_adapter("owner/model")
    assert folder == find_adapter("owner/model", offline=True)
    assert asked == len(hub.requests)


def test_a_repository_without_an_adapter_says_what_it_lacks(hub: Any, cache: Path) -> None:
    line = refused("owner/model")
    assert "the hub repository owner/model has no file adapter_config.json" in line
    hub.files["adapter_config.json"] = b"{}"
    assert "has no file adapter_model.safetensors" in refused("owner/model")


def test_switched_off_the_hub_is_not_asked(hub: Any, cache: Path) -> None:
    hub.files.update(FILES)
    assert "is not on this machine and the hub is switched off" in refused(
        "owner/model", offline=True
    )
    assert [] == hub.requests


def test_a_folder_comes_before_a_hub_id_of_that_name(
    hub: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "model").mkdir(parents=True)
    assert Path("owner/model") == find_adapter("owner/model")
    assert [] == hub.requests


@pytest.mark.parametrize("name", ["", "lora", "./lora", Path("owner/other"), "a/b/c"])
def test_what_is_neither_there_nor_a_hub_id_is_refused_before_the_hub_is_asked(
    hub: Any, cache: Path, name: str | Path
) -> None:
    assert "no such file or folder" in refused(name)
    assert [] == hub.requests


def test_adapters_that_came_with_a_model_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    for name in ("true-length", "accents"):
        (model / name).mkdir(parents=True)
        (model / name / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert model / "true-length" == find_adapter("true-length", beside=model)
    line = refused("digits", beside=model)
    assert "adapter 'digits': no such file or folder" in line
    assert "with the model came accents, true-length" in line
    (tmp_path / "true-length").mkdir()
    assert Path("true-length") == find_adapter(
        "true-length", beside=model
    )  # what is there comes first
