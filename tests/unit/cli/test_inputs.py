"""FILES and what their results are called. See inputs.py and naming.py."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tercet.cli.inputs import Input, find
from tercet.cli.listening.naming import base_names, output_name

Recordings = Callable[..., Path]


def found(*arguments: str) -> list[str]:
    inputs, unusable = find(arguments)
    assert [] == unusable
    return [entry.source for entry in inputs]


def refused(argument: str) -> str:
    inputs, unusable = find([argument])
    assert [] == inputs
    return str(unusable[0].error)


def test_files_keep_the_order_of_the_arguments(recordings: Recordings) -> None:
    recordings("b.wav", "a.wav")
    assert ["b.wav", "-", "a.wav"] == found("b.wav", "-", "a.wav")


def test_a_file_named_twice_is_heard_once(recordings: Recordings) -> None:
    recordings("b.wav", "a.wav")
    assert ["b.wav", "a.wav"] == found("b.wav", "./b.wav", "*.wav")


def test_a_folder_stands_for_the_audio_in_it_and_below(recordings: Recordings) -> None:
    recordings("z.MP3", "x/b.wav", "x/a.flac", "x/notes.txt", "x/.hidden.wav", ".git/c.wav")
    assert ["z.MP3", "x/a.flac", "x/b.wav"] == found(".")


def test_pipes_and_sockets_in_a_folder_are_passed_over_and_links_to_files_are_not(
    recordings: Recordings,
) -> None:
    recordings("x/a.wav", "elsewhere.bin")
    os.mkfifo("x/fifo.wav")
    Path("x/pipe.wav").symlink_to("fifo.wav")
    Path("x/null.wav").symlink_to("/dev/null")
    Path("x/link.wav").symlink_to("../elsewhere.bin")
    Path("x/nowhere.wav").symlink_to("gone.wav")  # said when it is heard, not kept quiet
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x/socket.wav")
        kept = ["x/a.wav", "x/link.wav", "x/nowhere.wav"]
        assert kept == found("x") == found("x/*.wav") == found("**/x")
    assert "only: no audio file in this folder" in refused_folder_of_a_pipe()
    assert ["x/fifo.wav"] == found("x/fifo.wav")  # named outright


def refused_folder_of_a_pipe() -> str:
    Path("only").mkdir()
    os.mkfifo("only/fifo.wav")
    return refused("only")


def test_a_pattern_that_the_shell_left_alone_is_matched(recordings: Recordings) -> None:
    recordings("a.wav", "x/b.wav", "x/y/c.wav", "x/notes.txt")
    assert ["a.wav"] == found("*.wav")
    assert ["a.wav", "x/b.wav", "x/y/c.wav"] == found("**/*.wav")
    assert ["a.wav", "x/b.wav", "x/y/c.wav"] == found("**")
    assert ["x/b.wav"] == found("x/[ab].wav")


def test_a_pattern_picks_audio_unless_it_names_the_extension(recordings: Recordings) -> None:
    recordings("talk.wav", "talk.dat")
    assert ["talk.wav"] == found("talk.*a*") == found("t*")
    assert ["talk.dat"] == found("*.dat")


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(recordings: Recordings) -> None:
    recordings("a[1].wav", "a1.wav")
    assert ["a[1].wav"] == found("a[1].wav")


def test_any_extension_will_do_for_a_file_named_outright(recordings: Recordings) -> None:
    recordings("recording.bin")
    assert ["recording.bin"] == found("recording.bin")


@pytest.mark.parametrize(
    ("expected", "argument"),
    [
        ("gone.wav: no such file; check the name", "gone.wav"),
        ("*.mp3: no audio file matches this pattern", "*.mp3"),
        ("empty: no audio file in this folder; name the files", "empty"),
    ],
)
def test_an_argument_that_leads_nowhere_says_so(
    recordings: Recordings, expected: str, argument: str
) -> None:
    recordings("a.wav", "empty/notes.txt")
    assert expected == refused(argument)


def test_a_folder_that_cannot_be_opened_says_so(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    recordings("locked/a.wav")
    monkeypatch.setattr(os, "scandir", refuse)
    assert "locked: cannot be opened: Permission denied" == refused("locked")


def names(*sources: str, folder: str = "out", formats: tuple[str, ...] = ("txt",)) -> list[str]:
    return base_names([Input(source) for source in sources], folder, formats)


def test_an_output_is_named_by_the_stem_as_in_openai_whisper() -> None:
    assert ["talk", "a.b", "stdin"] == names("x/talk.mp3", "a.b.wav", "-")
    assert "talk.srt" == output_name("talk", "srt", None)
    assert "talk.ch0.srt" == output_name("talk", "srt", "ch0")


def test_equal_stems_keep_their_whole_names(recordings: Recordings) -> None:
    recordings()
    assert ["talk.mp3", "talk.wav", "other"] == names("talk.mp3", "x/talk.wav", "other.wav")
    assert ["Talk.mp3", "talk.wav"] == names("Talk.mp3", "talk.wav")


def test_equal_names_take_their_folders_with_them(recordings: Recordings) -> None:
    recordings()
    assert ["x-t.wav", "y-t.wav", "t.mp3"] == names("x/t.wav", "y/t.wav", "t.mp3")
    assert ["x-a-t.wav", "y-a-t.wav"] == names("x/a/t.wav", "y/a/t.wav")


def test_names_that_would_still_be_equal_are_numbered(tmp_path: Path) -> None:
    sources = [f"{tmp_path}/a/b-t.wav", f"{tmp_path}/a-b/t.wav", f"{tmp_path}/a/b/t.wav"]
    assert 3 == len({name.casefold() for name in names(*sources)})
    # The same path spelled twice cannot grow apart at all.
    assert 2 == len(set(names("t.wav", "t.wav")))


def test_a_grown_name_does_not_run_into_another_stem(recordings: Recordings) -> None:
    recordings()
    given = names("t.mp3", "x/t.wav", "t.mp3.ogg")
    assert 3 == len(set(given))


def test_an_output_never_replaces_a_recording(recordings: Recordings) -> None:
    folder = recordings("talk.txt")
    assert ["talk.txt"] == names("talk.txt", folder=str(folder))
    assert ["talk"] == names("talk.txt", folder=str(folder), formats=("srt",))
    assert ["talk"] == names("talk.txt", folder=str(folder / "out"))
