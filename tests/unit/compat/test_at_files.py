"""What whisper-at's names mean on a machine, file by file; nothing is opened, nothing fetched."""

from pathlib import Path

import pytest

from tercet.compat.at_files import MODELS, find_files
from tercet.compat.whisper_at import available_models, load_model
from tercet.errors import HeadError, ModelNotFoundError, OptionError


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches, and no hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def found(name, root=None, *, is_low=False, tags=None):
    files = find_files(name, root, is_low=is_low, tags=tags)
    return files.whisper, files.tags


def test_the_names_are_the_originals():
    assert ["tiny.en", "tiny", "base.en", "base"] == available_models()[:4]
    assert ("large-v1", "large-v2", "large") == MODELS[-3:]


def test_a_download_root_has_both_files(tmp_path):
    root = put(tmp_path / "root", "small.pt", "small_ori.pth", "small_low.pth")
    assert (root / "small.pt", root / "small_ori.pth") == found("small", str(root))
    assert (root / "small.pt", root / "small_low.pth") == found("small", root, is_low=True)


def test_without_a_root_the_cache_of_whisper_at_is_looked_into(tmp_path):
    cache = put(tmp_path / "cache" / "whisper", "medium.pt", "medium_ori.pth")
    assert (cache / "medium.pt", cache / "medium_ori.pth") == found("medium")


def test_a_root_comes_before_the_cache_and_what_it_lacks_is_looked_for_there(tmp_path):
    cache = put(tmp_path / "cache" / "whisper", "tiny.pt", "tiny_ori.pth")
    root = put(tmp_path / "root", "tiny_ori.pth")
    assert ("tiny", root / "tiny_ori.pth") == found("tiny", root)
    assert ("tiny", cache / "tiny_ori.pth") == found("tiny", put(tmp_path / "empty"))


def test_large_is_large_v2_as_there(tmp_path):
    root = put(tmp_path / "root", "large-v2.pt", "large-v2_ori.pth")
    assert (root / "large-v2.pt", root / "large-v2_ori.pth") == found("large", root)


def test_a_head_that_is_nowhere_is_named_with_its_address(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"small_ori\.pth.*dropbox.*give tags="):
        found("small", tmp_path)


@pytest.mark.parametrize("name", ["tiny", "base.en"])
def test_small_models_have_no_head_of_low_compute_and_the_error_says_which_have(tmp_path, name):
    root = put(tmp_path / "root", f"{name}.pt", f"{name}_ori.pth")
    with pytest.raises(OptionError, match=rf"'{name}'.*small, small\.en, medium.*large-v2"):
        found(name, root, is_low=True)


def test_a_checkpoint_of_ones_own_has_its_head_beside_it(tmp_path):
    folder = put(tmp_path / "mine", "tuned.pt", "tuned_ori.pth")
    path = folder / "tuned.pt"
    assert (str(path), folder / "tuned_ori.pth") == found(str(path))
    with pytest.raises(HeadError, match=r"tuned_low\.pth"):
        found(path, is_low=True)


def test_another_model_needs_a_head_and_takes_one():
    with pytest.raises(HeadError, match=r"'large-v3' has no tag head.*give tags="):
        found("large-v3")
    assert ("large-v3", "mine.safetensors") == found("large-v3", tags="mine.safetensors")


def test_two_heads_are_one_too_many():
    with pytest.raises(OptionError, match="at_low_compute and tags"):
        found("small", is_low=True, tags="mine.safetensors")


def test_the_head_that_came_with_a_model_stands_in_with_a_warning(tmp_path, monkeypatch):
    folder = put(tmp_path / "box", "tags.safetensors")
    monkeypatch.setattr("tercet.compat.at_files.find_model", lambda name, offline: folder)
    with pytest.warns(UserWarning, match=r"base_ori\.pth.*numbers differ"):
        assert ("base", None) == found("base")
    with pytest.raises(ModelNotFoundError, match=r"small_low\.pth"):
        found("small", is_low=True)


def test_a_damaged_file_of_known_checksum_is_refused(tmp_path):
    root = put(tmp_path / "root", "medium.en_ori.pth")
    with pytest.raises(ModelNotFoundError, match="damaged"):
        found("medium.en", root)


@pytest.mark.parametrize("option", ["in_memory", "at_low_compute"])
def test_switches_are_switches(option):
    with pytest.raises(OptionError, match=option):
        load_model("small", **{option: "yes"})
