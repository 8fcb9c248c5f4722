"""A folder that appears complete or not at all."""

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from tercet.checkpoint import whole_folder as module
from tercet.checkpoint.whole_folder import check_replaceable, whole_folder
from tercet.errors import CheckpointError, OutputError

KNOWN = frozenset({"a", "b"})


def write(folder, *, text="new", replace=False, names=("a", "b")):
    with whole_folder(folder, replace=replace, known=KNOWN) as place:
        for name in names:
            (place / name).write_text(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_appears_with_its_files_and_nothing_beside_it(tmp_path):
    write(tmp_path / "deep" / "out")
    assert {"a": "new", "b": "new"} == content(tmp_path / "deep" / "out")
    assert ["out"] == [path.name for path in (tmp_path / "deep").iterdir()]


def test_nothing_of_that_name_is_there_while_it_is_written(tmp_path):
    with whole_folder(tmp_path / "out", replace=False, known=KNOWN) as place:
        (place / "a").write_text("new")
        assert not (tmp_path / "out").exists()
    assert {"a": "new"} == content(tmp_path / "out")


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    assert {"a": "new", "b": "new"} == content(tmp_path / "out")


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_older_one_is_replaced_as_a_whole_if_asked_for(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    write(tmp_path / "out", text="old")
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / "out")
    write(tmp_path / "out", replace=True, names=("b",))
    assert {"b": "new"} == content(tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_this_system_exchanges_names_at_once(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not module._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("neither Linux nor a file system that can")
    assert (tmp_path / "one" / "other").exists()
    with pytest.raises(OSError, match="No such file"):
        module._exchange(tmp_path / "absent", tmp_path / "other")


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path, replace):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(OutputError, match=r"holds notes\.txt, which would be lost"):
        write(tmp_path, replace=replace)
    assert {"notes.txt": "mine", "a": "mine"} == content(tmp_path)


def test_a_file_of_that_name_is_never_replaced(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="a file has this name"):
        write(tmp_path / "out", replace=True)


@pytest.mark.parametrize(
    ("fault", "raised", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "free space"),
        (OSError(errno.EIO, "Input/output error"), OutputError, "nothing was changed"),
        (CheckpointError("x: damaged"), CheckpointError, "x: damaged"),
        (KeyboardInterrupt("stopped"), KeyboardInterrupt, "stopped"),
    ],
)
def test_an_error_leaves_what_was_there(tmp_path, fault, raised, said):
    write(tmp_path / "out", text="old")

    def fail():
        with whole_folder(tmp_path / "out", replace=True, known=KNOWN) as place:
            (place / "a").write_text("half")
            raise fault

    with pytest.raises(raised, match=said) as caught:
        fail()
    assert "\n" not in str(caught.value)
    assert {"a": "old", "b": "old"} == content(tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write(tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)


def test_an_error_of_a_file_in_it_names_the_folder_that_the_user_knows(tmp_path):
    def fail():
        with whole_folder(tmp_path / "out", replace=False, known=KNOWN) as place:
            raise OutputError(f"{place / 'a'}: cannot be written")

    with pytest.raises(OutputError, match=f"^{tmp_path / 'out' / 'a'}: cannot be written$"):
        fail()


def test_a_mount_point_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "out")
    with pytest.raises(OutputError, match="mount point"):
        write(tmp_path / "out")


def test_a_link_is_followed_to_its_folder(tmp_path):
    write(tmp_path / "real", text="old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", replace=True)
    assert {"a": "new", "b": "new"} == content(tmp_path / "real")
    assert (tmp_path / "link").is_symlink()


def test_a_link_in_the_hidden_folders_place_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("mine")
    (tmp_path / ".out.tercet-part").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "out")
    assert {"a": "mine"} == content(tmp_path / "mine")


# Several processes. Each is forked with a pipe to stop it at a place of the test's choosing.

forked = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
pytestmark = pytest.mark.skipif(forked is None, reason="needs fork")


def write_slowly(folder, pipe, replace):
    with whole_folder(folder, replace=replace, known=KNOWN) as place:
        (place / "a").write_text("slow")
        pipe.send("half")
        pipe.recv()
        (place / "b").write_text("slow")
    pipe.send("done")


@pytest.fixture
def slow(tmp_path):
    """A process that has written half of `out`; (process, pipe)."""
    ours, theirs = forked.Pipe()
    process = forked.Process(target=write_slowly, args=(tmp_path / "out", theirs, True))
    process.start()
    assert "half" == ours.recv()
    yield process, ours
    process.kill()
    process.join()


def test_a_second_process_is_refused_and_does_not_disturb_the_first(tmp_path, slow):
    process, pipe = slow
    with pytest.raises(OutputError, match="another process is writing it"):
        write(tmp_path / "out")
    pipe.send("go on")
    assert "done" == pipe.recv()
    process.join()
    assert {"a": "slow", "b": "slow"} == content(tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("has_old", [True, False])
def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path, slow, has_old):
    if has_old:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("old")
    process, _ = slow
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert [".out.tercet-part"] == [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert has_old == (tmp_path / "out").exists()
    write(tmp_path / "out", replace=True)
    assert {"a": "new", "b": "new"} == content(tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_an_early_check_clears_up_and_sees_who_is_writing(tmp_path, slow):
    process, _ = slow
    with pytest.raises(OutputError, match="another process is writing it"):
        check_replaceable(tmp_path / "out", replace=False, known=KNOWN)
    process.kill()
    process.join()
    check_replaceable(tmp_path / "out", replace=False, known=KNOWN)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("replaced", [True, False])
def test_a_replacement_in_two_steps_that_was_killed_between_them_is_undone(tmp_path, replaced):
    """Where names cannot be exchanged: the old folder is aside, the new one not yet in its place."""
    old = tmp_path / ".out.tercet-old"
    old.mkdir()
    (old / "a").write_text("old")
    if replaced:
        write(tmp_path / "other", text="done")
        Path(tmp_path / "other").rename(tmp_path / "out")
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / "out")
    expected = {"a": "done", "b": "done"} if replaced else {"a": "old"}
    assert expected == content(tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]
