"""Downloads from a hub that behaves, breaks off, lies, refuses or is not there.

What huggingface_hub 2.4 does of itself, measured against this server: a line that breaks is taken up
again within one process, at the last whole 10 MB; a process that is killed leaves its part behind
under a name of its own, and the next run begins at the first byte; bytes of a wrong checksum are
accepted.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tercet
from tercet.checkpoint import open_checkpoint
from tercet.errors import ModelNotFoundError
from tercet.hub import find_model, find_tokenizer
from tercet.hub.pull import pull_model

NEEDED = {
    "config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def refused(**options: Any) -> str:
    """The line for owner/model that cannot be had."""
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("owner/model", **options)
    return one_line(caught.value)


def parts_in(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.incomplete"))


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# A hub that behaves


def test_a_clean_download_is_whole_and_asked_for_once(
    hub: Any, cache: Path, weights: bytes
) -> None:
    seen: list[tuple[int, int]] = []
    folder = find_model("owner/model", on_progress=lambda *numbers: seen.append(numbers))
    assert {name: hub.files[name] for name in NEEDED} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    whole = sum(len(hub.files[name]) for name in NEEDED)
    assert (whole, whole) == seen[-1]
    assert sorted(seen) == seen
    large = sum(len(hub.files[n]) for n in NEEDED if len(hub.files[n]) >= 10_000)
    assert large == hub.served()
    asked = len(hub.requests)
    assert folder == find_model("owner/model")
    assert asked == len(hub.requests)
    assert [] == parts_in(cache)


def test_what_was_fetched_opens_as_a_whisper(hub: Any) -> None:
    checkpoint = open_checkpoint(find_model("owner/model"))
    assert 51865 == checkpoint.geometry.vocab_size
    assert checkpoint.tokenizer_file is not None


def test_other_programs_find_what_was_fetched(hub: Any) -> None:
    from huggingface_hub import snapshot_download

    folder = find_model("owner/model")
    found = snapshot_download(
        "owner/model", allow_patterns=["*.safetensors"], local_files_only=True
    )
    assert str(folder) == found


def test_what_another_program_fetched_is_not_fetched_again(hub: Any) -> None:
    from huggingface_hub import hf_hub_download

    for name in NEEDED:
        hf_hub_download("owner/model", name)
    before = len(hub.requests)
    find_model("owner/model")
    assert before == len(hub.requests)


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: Any) -> None:
    find_model("owner/model", token="hf_secret")
    tokens = {
        server: {r.token for r in hub.requests if r.server == server}
        for server in ("hub", "storage")
    }
    assert {"hub": {"Bearer hf_secret"}, "storage": {None}} == tokens


def test_a_hub_whose_listing_has_no_checksums_is_asked_for_them(hub: Any, weights: bytes) -> None:
    hub.announces_checksums = False
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    hub.corrupt = True
    (folder / "model.safetensors").resolve().unlink()
    assert "model.safetensors arrived damaged" in refused()


def test_a_renamed_repository_is_followed(hub: Any, weights: bytes) -> None:
    hub.renamed_from = "old/name"
    folder = find_model("old/name")
    assert weights == (folder / "model.safetensors").read_bytes()
    assert folder == find_model("old/name", offline=True)


def test_shards_are_fetched_all(hub: Any, weights: bytes) -> None:
    del hub.files["model.safetensors"]
    shards = {
        f"model-0000{n}-of-00003.safetensors": weights[n * 20_000 :][:20_000] for n in (1, 2, 3)
    }
    index = {"weight_map": dict(zip("abc", shards, strict=True))}
    hub.files |= {**shards, "model.safetensors.index.json": json.dumps(index).encode()}
    folder = find_model("owner/model")
    assert shards == {name: (folder / name).read_bytes() for name in shards}


def test_a_file_of_no_bytes_is_a_file(hub: Any) -> None:
    hub.files["added_tokens.json"] = b""
    assert b"" == (find_model("owner/model") / "added_tokens.json").read_bytes()


# Lines that break


def test_a_line_that_breaks_is_taken_up_where_it_broke(hub: Any, weights: bytes) -> None:
    hub.drop_after = [0, 0, 300_000, 500_000]
    hub.files["tokenizer.json"] = b"{}"  # so that the weights alone come from the storage
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    ranges = [each.range for each in hub.downloads()]
    assert [None, None, None] == ranges[:3]
    starts = [int(re.fullmatch(r"bytes=(\d+)-", text)[1]) for text in ranges[3:]]  # type: ignore[index]
    assert 2 == len(starts)
    assert 0 < starts[0] <= 300_000
    assert starts[0] < starts[1] <= 800_000
    # A block that had not come whole is all that is asked for twice.
    assert hub.served() - len(weights) < 2 * (1 << 17)


def test_a_line_that_always_breaks_is_one_line_and_keeps_what_came(
    hub: Any, cache: Path, weights: bytes
) -> None:
    hub.drop_after = [400_000] + [0] * 20
    hub.files["tokenizer.json"] = b"{}"
    line = refused()
    assert "model 'owner/model': not on this machine and the hub cannot be reached" in line
    [part] = parts_in(cache)
    kept = part.stat().st_size
    assert 0 < kept <= 400_000
    hub.drop_after = []
    hub.requests.clear()
    find_model("owner/model")
    assert [f"bytes={kept}-"] == [each.range for each in hub.downloads()]


def test_a_killed_download_goes_on_with_the_bytes_that_are_missing(
    hub: Any, cache: Path, weights: bytes, pull: Callable[..., subprocess.Popen[str]]
) -> None:
    hub.stall_after = 2_000_000
    hub.files["tokenizer.json"] = b"{}"
    process = pull("owner/model")
    wait_for(lambda: any(part.stat().st_size > 1_500_000 for part in parts_in(cache)))
    process.kill()
    process.wait()
    [part] = parts_in(cache)
    kept = part.stat().st_size
    hub.stall_after = None
    hub.requests.clear()
    process = pull("owner/model")
    out, err = process.communicate(timeout=60)
    assert (0, "") == (process.returncode, err)
    assert [f"bytes={kept}-"] == [each.range for each in hub.downloads()]
    assert len(weights) - kept == hub.served()
    assert weights == (Path(out.strip()) / "model.safetensors").read_bytes()
    assert [] == parts_in(cache)


def test_a_server_without_ranges_is_asked_from_the_start(
    hub: Any, cache: Path, weights: bytes
) -> None:
    hub.drop_after, hub.ignores_ranges = [400_000], True
    hub.files["tokenizer.json"] = b"{}"
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    assert 2 == len(hub.downloads())


def test_a_part_that_is_longer_than_the_file_is_written_anew(
    hub: Any, cache: Path, weights: bytes
) -> None:
    blob = (find_model("owner/model") / "model.safetensors").resolve()
    blob.unlink()
    blob.with_name(f"{blob.name}.incomplete").write_bytes(weights + b"more")
    hub.requests.clear()
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    assert [None] == [each.range for each in hub.downloads()]


def test_an_older_part_with_holes_costs_a_second_download_and_no_more(
    hub: Any, cache: Path, weights: bytes
) -> None:
    blob = (find_model("owner/model") / "model.safetensors").resolve()
    blob.unlink()
    blob.with_name(f"{blob.name}.incomplete").write_bytes(bytes(500_000))
    hub.requests.clear()
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()
    assert ["bytes=500000-", None] == [each.range for each in hub.downloads()]


# Wrong bytes


def test_weights_of_another_checksum_are_never_accepted(hub: Any, cache: Path) -> None:
    hub.corrupt = True
    line = refused()
    assert "arrived damaged (its checksum is not the one that the hub announced" in line
    assert "and was removed; try again, or name a folder that holds it" in line
    assert [] == parts_in(cache)
    assert not list(cache.rglob("model.safetensors"))
    with pytest.raises(ModelNotFoundError):
        find_model("owner/model", offline=True)
    hub.corrupt = False
    find_model("owner/model")


def test_a_file_that_is_longer_than_announced_is_refused_at_once(hub: Any, cache: Path) -> None:
    hub.adds = b"and more"
    assert "arrived damaged" in refused()
    assert 1 == len(hub.downloads())
    assert [] == parts_in(cache)


def test_a_file_that_is_shorter_than_announced_is_refused(hub: Any, cache: Path) -> None:
    hub.lacks = 7
    assert "arrived damaged" in refused()
    assert 2 == len(hub.downloads())
    assert [] == parts_in(cache)


def test_a_small_file_of_another_checksum_is_not_accepted_either(hub: Any, cache: Path) -> None:
    hub.corrupt_small = True
    assert "config.json arrived damaged" in refused()
    assert [] == parts_in(cache)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_file_that_changes_at_the_hub_meanwhile_is_checked_too(
    hub: Any, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    import huggingface_hub

    original = huggingface_hub.snapshot_download
    changed = hub.files["config.json"] + b" "

    def later(*args: Any, **options: Any) -> str:
        hub.files["config.json"] = changed
        hub.corrupt_small = is_damaged
        return original(*args, **options)

    monkeypatch.setattr("huggingface_hub.snapshot_download", later)
    if is_damaged:
        assert "config.json arrived damaged" in refused()
    else:
        assert changed == (find_model("owner/model") / "config.json").read_bytes()


def test_pull_finds_damage_on_the_disk_and_repairs_it(hub: Any, weights: bytes) -> None:
    folder = find_model("owner/model")
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(weights[:-1] + b"?")
    with pytest.raises(ModelNotFoundError) as caught:
        pull_model("owner/model", offline=True)
    assert "is damaged on this machine (model.safetensors in" in one_line(caught.value)
    assert folder == pull_model("owner/model")
    assert weights == blob.read_bytes()
    assert folder == pull_model("owner/model", offline=True)


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "GatedRepo", "owner/model is gated; ask for access on its page, then set HF_TOKEN"),
        (403, "GatedRepo", "owner/model is gated; ask for access on its page, then set HF_TOKEN"),
        (404, "RepoNotFound", "the hub has no repository owner/model, or it is private; check"),
        (401, "", "HTTP 401; set HF_TOKEN to a token that may read owner/model"),
        (403, "", "HTTP 403; set HF_TOKEN to a token that may read owner/model"),
        (500, "", "the hub answered HTTP 500; try again later, or name a folder that holds it"),
        (503, "", "the hub answered HTTP 503; try again later, or name a folder that holds it"),
    ],
)
def test_each_refusal_of_the_hub_is_one_line(
    hub: Any, status: int, code: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.refusal = (status, {"X-Error-Code": code} if code else {})
    assert refused().startswith(f"model 'owner/model': {expected}")
    assert ("", "") == capfd.readouterr()


def test_a_refusal_that_huggingface_hub_wraps_is_told_as_it_was(hub: Any) -> None:
    hub.head_refusal = 403
    assert refused() == (
        "model 'owner/model': HTTP 403; set HF_TOKEN to a token that may read owner/model"
    )


def test_a_missing_revision_is_one_line(hub: Any) -> None:
    expected = "owner/model has no revision 'v9'; check the branch, tag or commit"
    assert f"model 'owner/model': {expected}" == refused(revision="v9")


def test_a_storage_that_is_busy_for_a_while_is_asked_again(hub: Any, weights: bytes) -> None:
    hub.storage_refusals = [503, 500, 429]
    folder = find_model("owner/model")
    assert weights == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("status", [500, 503])
def test_a_storage_that_stays_broken_is_one_line(hub: Any, status: int) -> None:
    hub.storage_refusals = [status] * 50
    assert f"the hub answered HTTP {status}; try again later" in refused()
    assert 50 - len(hub.storage_refusals) < 8


def test_a_storage_that_says_no_is_not_asked_again(hub: Any) -> None:
    hub.storage_refusals = [403] * 50
    assert "HTTP 403; set HF_TOKEN" in refused()
    assert 49 == len(hub.storage_refusals)


def test_no_network_is_one_line(cache: Path) -> None:
    assert refused().startswith(
        "model 'owner/model': not on this machine and the hub cannot be reached (ConnectError); "
        "name a folder that holds it"
    )
    with pytest.raises(ModelNotFoundError, match=r"cannot be reached .*put tokenizer.json beside"):
        find_tokenizer(51864)


# The disk


def test_a_cache_that_cannot_be_written_is_one_line(hub: Any, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    line = refused()
    assert f"cannot write {cache}" in line
    assert "make it writable, or set HF_HOME elsewhere" in line


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    hub: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_500_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert re.search(
        rf"model 'owner/model': \d+ MB are to come and 2 MB are free in {cache}; free some, or set",
        refused(),
    )
    assert [] == hub.downloads()


def in_small_room(room: Path, script: str, size: str) -> tuple[str, ...]:
    """A prefix that runs a command with a small disk of its own at `room`."""
    mount = f'mount -t tmpfs -o size={size} tmpfs {room} && {script} && exec "$@"'
    return ("unshare", "-rm", "sh", "-c", mount, "sh")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    folder = tmp_path / "room"
    folder.mkdir()
    try:
        subprocess.run(
            [*in_small_room(folder, "true", "1m"), "true"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a system that lets a test mount a disk of its own")
    return folder


def test_a_disk_that_fills_up_meanwhile_is_one_line(
    hub: Any, room: Path, pull: Callable[..., subprocess.Popen[str]]
) -> None:
    # Somebody else takes the room once the download has begun.
    script = f"(sleep 3; dd if=/dev/zero of={room}/else bs=1k count=9000 2>/dev/null) & true"
    hub.pause_s = 0.2
    before = in_small_room(room, f"{{ {script}; }}", "10m")
    process = pull("owner/model", before=before, HF_HUB_CACHE=f"{room}/hub")
    _, err = process.communicate(timeout=120)
    assert 1 == process.returncode
    assert err.startswith(f"tercet: model 'owner/model': no space left for {room}/hub; free some")
    assert 1 == err.count("\n")


def test_a_disk_that_is_read_only_is_one_line(
    hub: Any, room: Path, pull: Callable[..., subprocess.Popen[str]]
) -> None:
    before = in_small_room(room, f"mount -o remount,ro {room}", "20m")
    process = pull("owner/model", before=before, HF_HUB_CACHE=f"{room}/hub")
    _, err = process.communicate(timeout=60)
    assert 1 == process.returncode
    assert f"cannot write {room}/hub: Read-only file system; make it writable" in err
    assert 1 == err.count("\n")


# Two at once


def test_two_processes_that_pull_one_model_share_one_download(
    hub: Any, cache: Path, weights: bytes, pull: Callable[..., subprocess.Popen[str]]
) -> None:
    hub.pause_s = 0.02
    both = [pull("owner/model"), pull("owner/model")]
    results = [process.communicate(timeout=120) for process in both]
    assert [0, 0] == [process.returncode for process in both], results
    [folder] = {Path(out.strip()) for out, _ in results}
    assert weights == (folder / "model.safetensors").read_bytes()
    large = sum(len(hub.files[n]) for n in NEEDED if len(hub.files[n]) >= 10_000)
    assert large == hub.served()
    assert [] == parts_in(cache)


def test_a_python_program_gets_the_same_line(hub: Any) -> None:
    hub.refusal = (403, {"X-Error-Code": "GatedRepo"})
    with pytest.raises(tercet.ModelNotFoundError, match="owner/model is gated"):
        tercet.load_model("owner/model")
