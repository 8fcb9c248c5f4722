"""Speech tokens survive every file format; a damaged file is refused, or says something valid."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.dataset.token_files import read_tokens, render_tokens
from tercet.dataset.token_shards import TokenTableWriter
from tercet.errors import TokensError
from tercet.readings.codes import Codebook, groups_of
from tercet.results import SpeechTokens

RELAXED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def speech_tokens(draw) -> SpeechTokens:
    """Any ids, depth 1 to 3, several windows, or none at all."""
    depth, size = draw(st.integers(1, 3)), draw(st.sampled_from([1, 9, 2561, 70_000]))
    counts = draw(st.lists(st.integers(1, 12), max_size=4))
    n = sum(counts)
    ids = draw(st.lists(st.integers(0, size - 1), min_size=n * depth, max_size=n * depth))
    values = np.array(ids, np.int32).reshape((n,) if depth == 1 else (n, depth))
    seconds = st.floats(0, 1e5)
    return SpeechTokens(
        ids=values,
        codebook_size=size,
        codebook=draw(st.sampled_from(["", "0123456789abcdef"])),
        rate_hz=draw(st.sampled_from([25.0, 12.5, 50.0])),
        start_s=draw(seconds),
        duration_s=draw(seconds),
        window_starts=(0, *np.cumsum(counts[:-1], dtype=int).tolist()),
        mask_code=draw(st.none() | st.integers(0, size - 1)),
        channel=draw(st.none() | st.integers(0, 63)),
    )


def fields(tokens: SpeechTokens) -> tuple:
    return (
        tokens.ids.tolist(),
        tokens.ids.shape,
        tokens.codebook_size,
        tokens.codebook,
        tokens.rate_hz,
        tokens.start_s,
        tokens.duration_s,
        tokens.window_starts,
        tokens.mask_code,
        tokens.channel,
    )


def write(folder: Path, tokens: SpeechTokens, format_name: str) -> Path:
    """A file of the format; never one that another example left."""
    path = folder / f"a.{format_name}"
    if format_name == "parquet":
        for old in folder.glob("*.parquet"):
            old.unlink()
        with TokenTableWriter(folder) as writer:
            writer.add("a", tokens)
        return (folder / "codes-00000.parquet").rename(path)
    path.write_text(render_tokens(tokens, format_name))
    return path


@RELAXED
@given(tokens=speech_tokens(), format_name=st.sampled_from(["json", "jsonl", "parquet"]))
def test_files_keep_everything(tmp_path, tokens, format_name):
    ((name, found),) = read_tokens(write(tmp_path, tokens, format_name))
    assert ("a", fields(tokens)) == (name, fields(found))


@RELAXED
@given(tokens=speech_tokens())
def test_a_text_keeps_ids_and_windows(tmp_path, tokens):
    ((_, found),) = read_tokens(write(tmp_path, tokens, "txt"), depth=tokens.depth)
    assert tokens.ids.tolist() == found.ids.tolist()
    assert tokens.ids.shape == found.ids.shape
    assert tokens.window_starts == found.window_starts
    head = Codebook(codebook_size=tokens.codebook_size, codebook="ab", depth=tokens.depth)
    expected = [ids.tolist() for _, ids in tokens.windows if len(ids)]
    for codes in (found, tokens.to_text()):
        assert expected == [group.tolist() for group in groups_of(codes, head=head)]


def check_damaged(path: Path) -> None:
    """One line that names the file, or tokens that make sense."""
    recordings: list[SpeechTokens] = []
    said = str(path)
    try:
        recordings.extend(found for _, found in read_tokens(path))
    except TokensError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert "\n" not in said
    for found in recordings:
        assert ((0 <= found.ids) & (found.ids < found.codebook_size)).all()
        assert len(found) == sum(len(ids) for _, ids in found.windows)
        assert "" != render_tokens(found, "json")


@pytest.mark.parametrize("format_name", ["txt", "json", "jsonl"])
@RELAXED
@given(tokens=speech_tokens(), data=st.data())
def test_a_damaged_file_is_refused_or_valid(tmp_path, format_name, tokens, data):
    path = write(tmp_path, tokens, format_name)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    if data.draw(st.booleans(), label="cut"):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255), label="flip")
    path.write_bytes(content)
    check_damaged(path)


@RELAXED
@given(content=st.binary(max_size=60), suffix=st.sampled_from(["txt", "json", "jsonl"]))
def test_any_bytes_are_refused_or_valid(tmp_path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    check_damaged(path)


READ_DAMAGED = """
import pathlib, random, sys
from tercet.dataset.token_files import read_tokens
from tercet.errors import TokensError

path, whole = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_bytes()
chance = random.Random(7)
for _ in range(200):
    content = bytearray(whole)
    place = chance.randrange(len(content))
    if chance.random() < 0.5:
        content = content[:place]
    else:
        content[place] ^= chance.randrange(1, 256)
    path.write_bytes(content)
    try:
        for _, found in read_tokens(path):
            assert ((0 <= found.ids) & (found.ids < found.codebook_size)).all()
            assert len(found) == sum(len(ids) for _, ids in found.windows)
    except TokensError as error:
        assert str(error).startswith(str(path)) and "\\n" not in str(error), error
print("read")
"""


def test_a_damaged_table_is_refused_or_valid(tmp_path):
    """In a process of its own: Arrow's reader is C++, and what damage does to it must not stay."""
    ids = np.arange(40, dtype=np.int32) % 9
    tokens = SpeechTokens(
        ids=ids, codebook_size=9, codebook="0123456789abcdef", duration_s=1.6, window_starts=(0, 30)
    )
    whole = write(tmp_path, tokens, "parquet")
    command = [sys.executable, "-c", READ_DAMAGED, str(tmp_path / "b.parquet"), str(whole)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "read\n", "") == (run.returncode, run.stdout, run.stderr)
