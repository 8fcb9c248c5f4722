"""`tercet push` against a hub that records: what is sent, in one commit; what is said where it fails."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tercet
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, TagHead
from tercet.cli.main import main
from tercet.convert.head_store import write_head
from tercet.hub.contents import contents_of
from tercet.hub.push import push

LITTER = {".env", "optimizer.pt", "report.json"}  # of a training run, in `student`
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """`say("push", ...)` -> exit code, standard output, standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def model_files(folder: Path) -> set[str]:
    """All files of a model's folder that are the model's."""
    names = {entry.name for entry in folder.iterdir() if entry.is_file()} - LITTER
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names
    return names


def bodies(folder: Path, names: Sequence[str] | set[str]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def make_head(path: Path, licence: str = "Apache-2.0") -> Path:
    """A tag head's file of random weights."""
    head = TagHead(
        layers="mean", n_layers=None, width=64, hidden=64, has_projection=False, time_heads=0,
        layer_heads=0, arrays=HeadArrays({}), labels=("Dog", "Rain"), origin=Origin(licence=licence),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in head_shapes(head).items()
    }
    write_head(path, replace(head, arrays=HeadArrays(arrays)))
    return path


def test_a_models_files_arrive_in_one_commit_and_nothing_else_does(
    taking: Any, student: Path, say: Say
) -> None:
    assert (0, f"{taking.address}/owner/new\n") == say("push", student, "owner/new")[:2]
    assert bodies(student, model_files(student)) == taking.files()
    assert 1 == len(taking.commits)
    assert not taking.repositories["owner/new"].private


def test_what_was_pushed_is_found_by_its_name_and_opened(
    taking: Any, student: Path, say: Say
) -> None:
    make_head(student / "tags.safetensors")
    assert 0 == say("push", student, "owner/new")[0]
    model = tercet.load_model("owner/new", engine="onnx")
    assert model.transcribe(np.zeros(16000, np.float32)) is not None
    assert {"Dog", "Rain"} == set(model.tag(np.zeros(16000, np.float32)).labels)
    found = tercet.hub.find_model("owner/new", offline=True)
    names = {"model.safetensors", "tags.safetensors", "config.json"}
    assert bodies(student, names) == bodies(found, names)


def test_the_same_again_sends_nothing_and_says_so(taking: Any, student: Path, say: Say) -> None:
    say("push", student, "owner/new")
    seen = len(taking.seen)
    code, out, err = say("push", student, "owner/new")
    assert (0, f"{taking.address}/owner/new\n") == (code, out)
    assert "has all of it already" in err
    assert 1 == len(taking.commits)
    assert set() == {line.split()[0] for line in taking.seen[seen:]} - {"GET"}


def test_only_what_changed_is_sent_and_what_else_is_there_is_left(
    taking: Any, student: Path, say: Say
) -> None:
    say("push", student, "owner/new")
    taking.repositories["owner/new"].branches["main"].files["notes.txt"] = b"theirs"
    (student / "generation_config.json").write_text("{}")
    err = say("push", student, "owner/new")[2]
    assert ["generation_config.json"] == taking.commits[-1]["names"]
    assert b"theirs" == taking.files()["notes.txt"]
    assert "left alone in owner/new: notes.txt" in err


@pytest.mark.option("--private")
def test_a_new_repository_is_private_on_request(taking: Any, student: Path, say: Say) -> None:
    say("push", student, "owner/new", "--private")
    assert taking.repositories["owner/new"].private


def test_an_open_repository_is_not_taken_for_a_private_one(
    taking: Any, student: Path, say: Say
) -> None:
    say("push", student, "owner/new")
    (student / "README.md").write_text("secret")
    code, _, err = say("push", student, "owner/new", "--private")
    assert 1 == code
    assert "everybody sees it" in err
    assert b"secret" != taking.files()["README.md"]


@pytest.mark.option("--revision")
@pytest.mark.option("--message")
def test_a_branch_is_made_and_the_main_one_is_left(taking: Any, student: Path, say: Say) -> None:
    words = ("push", student, "owner/new", "--revision", "trial", "--message", "Two layers")
    assert f"{taking.address}/owner/new/tree/trial\n" == say(*words)[1]
    assert set(taking.files(branch="trial")) == model_files(student)
    assert {} == taking.files()
    assert "Two layers" == taking.commits[0]["summary"]


@pytest.mark.option("--include")
def test_further_files_go_by_name_or_pattern(taking: Any, student: Path, say: Say) -> None:
    (student / "plots").mkdir()
    (student / "plots" / "wer.png").write_bytes(b"png")
    say("push", student, "owner/new", "--include", "report.json", "--include", "plots/*.png")
    assert {*model_files(student), "report.json", "plots/wer.png"} == set(taking.files())


@pytest.mark.parametrize("pattern", ["../x", "/etc/hosts", "nothing.txt", ""])
def test_what_cannot_be_included_is_a_usage_error(
    taking: Any, student: Path, say: Say, pattern: str
) -> None:
    code, _, err = say("push", student, "owner/new", "--include", pattern)
    assert (2, 1, []) == (code, err.count("\n"), taking.seen)


@pytest.mark.option("--dry_run")
def test_a_dry_run_lists_names_and_sizes_and_asks_nobody(
    taking: Any, student: Path, say: Say
) -> None:
    code, out, _ = say("push", student, "owner/new", "--dry_run")
    lines = out.splitlines()
    assert 0 == code
    assert model_files(student) == {line.split()[0] for line in lines[:-2]}
    assert lines[-2].startswith("in all")
    assert "stays: .env, optimizer.pt, report.json" == lines[-1]
    assert [] == taking.seen


@pytest.mark.option("--quiet")
def test_quiet_says_the_address_alone(taking: Any, student: Path, say: Say) -> None:
    (student / "README.md").unlink()
    assert "" == say("push", student, "owner/new", "--quiet")[2]
    assert "tercet card" in say("push", student, "owner/new")[2]


def test_a_heads_file_goes_with_its_card_under_the_name_by_which_it_is_found(
    taking: Any, tmp_path: Path, say: Say
) -> None:
    head = make_head(tmp_path / "mine.safetensors")
    (tmp_path / "TAGS_CARD.md").write_text("# Sounds")
    (tmp_path / "notes.txt").write_text("-")
    assert (0, f"{taking.address}/owner/new\n") == say("push", head, "owner/new")[:2]
    assert {"tags.safetensors", "TAGS_CARD.md"} == set(taking.files())
    assert tercet.hub.heads.load_head("owner/new:tags.safetensors").labels == ("Dog", "Rain")


def test_a_models_head_alone_leaves_the_models_page_at_home(
    taking: Any, student: Path, say: Say
) -> None:
    head = make_head(student / "tags.safetensors")
    say("push", head, "owner/new")
    assert {"tags.safetensors"} == set(taking.files())


def test_a_licence_that_forbids_commerce_is_said(taking: Any, tmp_path: Path, say: Say) -> None:
    head = make_head(tmp_path / "tags.safetensors", "CC-BY-NC-4.0")
    assert "forbids commercial use" in say("push", head, "owner/new", "--dry_run")[2]


def test_an_adapter_is_two_files_and_its_page(taking: Any, tmp_path: Path, say: Say) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json", "README.md", "trainer.log"):
        (folder / name).write_text("{}")
    say("push", folder, "owner/new")
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} == set(taking.files())


def test_the_token_of_hf_auth_login_will_do(
    taking: Any, student: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("hf_test\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert 0 == say("push", student, "owner/new")[0]


def test_a_card_is_written_and_published_as_it_lies_there(
    taking: Any, student: Path, say: Say
) -> None:
    assert 0 == say("card", student, "--repo", "owner/new", "--licence", "MIT")[0]
    assert 0 == say("push", student, "owner/new")[0]
    assert b'tercet.load_model("owner/new")' in taking.files()["README.md"]
    assert "POST /api/validate-yaml" in taking.seen


def test_a_large_file_goes_in_parts_where_the_hub_wants_them(
    taking: Any, student: Path, say: Say
) -> None:
    taking.part_bytes = 1 << 20
    assert 0 == say("push", student, "owner/new")[0]
    assert bodies(student, model_files(student)) == taking.files()
    assert max(len(parts) for parts in taking.parts.values()) > 2


def test_progress_counts_the_files_that_take_a_while_up_to_their_end(
    taking: Any, student: Path
) -> None:
    seen: list[tuple[int, int]] = []
    push(contents_of(student), "owner/new", on_progress=lambda *numbers: seen.append(numbers))
    sizes = [(student / name).stat().st_size for name in model_files(student)]
    size = sum(each for each in sizes if each > 1 << 20)
    assert {size} == {total for _, total in seen}
    assert sorted(seen) == seen
    assert (size, size) == seen[-1]


# What stops a push


def test_ctrl_c_while_a_file_is_sent_is_one_line_and_the_same_command_goes_on(
    taking: Any, student: Path, say: Say
) -> None:
    make_head(student / "tags.safetensors")
    arrived, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        may_end.wait(60)

    taking.before_storing = hold
    environment = {**os.environ, "HF_ENDPOINT": taking.address, "HF_TOKEN": "hf_test"}
    command = [sys.executable, "-m", "tercet.cli.main", "push", str(student), "owner/new"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(60)
    process.send_signal(signal.SIGINT)
    assert 130 == process.wait(20)
    may_end.set()
    assert process.stderr is not None
    assert ["tercet: stopped; the same command goes on, and finds what is there"] == (
        process.stderr.read().splitlines()
    )
    assert [] == taking.commits
    taking.before_storing = lambda: None
    assert 0 == say("push", student, "owner/new")[0]
    assert bodies(student, {*model_files(student), "tags.safetensors"}) == taking.files()


def failed(say: Say, *words: str | Path, code: int = 1) -> str:
    """The one line on stderr."""
    found, out, err = say("push", *words)
    assert (code, "", 1) == (found, out, err.count("\n"))
    assert err.startswith("tercet push: ")
    return err


def test_without_a_token_it_says_where_to_put_one(
    taking: Any, student: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(student / "no-token"))
    assert "set HF_TOKEN" in failed(say, student, "owner/new")
    assert [] == taking.seen


def test_without_a_network_it_says_so(
    student: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    line = failed(say, student, "owner/new")  # the address of these tests' hub answers nobody
    assert "the hub cannot be reached" in line
    assert "nothing was committed" in line


def test_switched_off_the_hub_is_not_asked(
    taking: Any, student: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "switched off" in failed(say, student, "owner/new")
    assert [] == taking.seen


def test_a_wrong_token_is_told(
    taking: Any, student: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "HF_TOKEN" in failed(say, student, "owner/new")
    assert {} == taking.repositories


@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("/repos/create", 403, "may not write"),
        ("/preupload/", 403, "may not write"),
        ("/objects/batch", 403, "may not write"),
        ("PUT /storage/", 403, "may not write"),
        ("/preupload/", 404, "HTTP 404"),
        ("/commit/", 409, "somebody else changed it"),
        ("/commit/", 413, "too large"),
        ("/commit/", 422, "so it is"),
    ],
)
def test_a_refusal_is_one_line_and_nothing_is_public(
    taking: Any, student: Path, say: Say, where: str, status: int, words: str
) -> None:
    taking.refusals[where] = (status, {})
    line = failed(say, student, "owner/new")
    assert words in line
    assert "nothing was committed" in line
    assert [] == taking.commits


def test_after_a_refusal_the_same_command_completes_it(
    taking: Any, student: Path, say: Say
) -> None:
    taking.refusals["/commit/"] = (409, {})
    failed(say, student, "owner/new")
    taking.refusals.clear()
    assert 0 == say("push", student, "owner/new")[0]
    assert bodies(student, model_files(student)) == taking.files()
    assert 1 == sum(line.startswith("PUT /storage/") for line in taking.seen)


def test_a_hub_that_fails_at_the_commit_leaves_it_open_whether_there_is_one(
    taking: Any, student: Path, say: Say
) -> None:
    taking.refusals["/commit/"] = (500, {})
    assert "finds out whether it was committed" in failed(say, student, "owner/new")


def test_a_commit_of_somebody_else_meanwhile_is_not_written_over(
    taking: Any, student: Path, say: Say
) -> None:
    def somebody() -> None:
        taking.repositories["owner/new"].branches["main"].commit = "f" * 40

    taking.before_storing = somebody
    assert "somebody else changed it" in failed(say, student, "owner/new")
    assert [] == taking.commits


def test_a_file_that_changes_meanwhile_stops_the_push(taking: Any, student: Path, say: Say) -> None:
    taking.before_storing = lambda: (student / "config.json").write_text("{}") and None
    line = failed(say, student, "owner/new")
    assert "config.json: changed while it was sent" in line
    assert [] == taking.commits


def test_what_the_hub_has_otherwise_than_it_was_sent_is_told(
    taking: Any, student: Path, say: Say
) -> None:
    taking.corrupts = "tokenizer.json"
    line = failed(say, student, "owner/new")
    assert "tokenizer.json" in line
    assert "not what was sent" in line


@pytest.mark.parametrize("name", ["new", "a/b/c", "owner/", "owner/..", "own er/x", "-x/y"])
def test_what_is_no_hub_id_is_a_usage_error(
    taking: Any, student: Path, say: Say, name: str
) -> None:
    code, _, err = say("push", student, "--quiet", "--", name)
    assert (2, 1) == (code, err.count("\n"))
    assert [] == taking.seen


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove("model.safetensors"), "without model.safetensors"),
        (remove("config.json"), "without config.json"),
        (remove("tokenizer.json"), "without tokenizer.json"),
        (cut, "model.safetensors"),
        (lambda folder: (folder / "tags.safetensors").write_bytes(b"x" * 99), "tags.safetensors"),
        (lambda folder: [each.unlink() for each in folder.iterdir()], "is empty"),
    ],
)
def test_what_is_not_whole_is_not_published(
    taking: Any, student: Path, say: Say, harm: Callable[[Path], object], words: str
) -> None:
    harm(student)
    assert words in failed(say, student, "owner/new")
    assert [] == taking.seen


def test_a_runs_folder_leads_to_its_model(taking: Any, student: Path, say: Say) -> None:
    run = student.parent / "run"
    run.mkdir()
    student.rename(run / "model")
    assert f"its model is {run / 'model'}" in failed(say, run, "owner/new")


def test_what_is_not_there_and_what_is_no_head_are_one_line(
    taking: Any, student: Path, say: Say
) -> None:
    assert "no such file or folder" in failed(say, student / "nowhere", "owner/new")
    assert "no head's file" in failed(say, student / "config.json", "owner/new")
    assert [] == taking.seen


def test_the_endpoint_and_the_token_are_the_environments(taking: Any, student: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": taking.address, "HF_TOKEN": "hf_test"}
    command = [sys.executable, "-m", "tercet.cli.main", "push", str(student), "owner/new"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (0, f"{taking.address}/owner/new\n") == (done.returncode, done.stdout), done.stderr
    assert "hf_test" not in done.stderr
