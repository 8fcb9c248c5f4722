"""Files of speech tokens are read back as they were written, or refused in one line."""

import json

import pytest

from tercet.dataset.token_files import FORMATS, read_tokens, render_tokens
from tercet.errors import OptionError, TokensError


@pytest.fixture
def written(tmp_path):
    """`written(name, text or bytes)`: a file's path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def fault(path, **options):
    with pytest.raises(TokensError) as caught:
        list(read_tokens(path, **options))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_a_text_file_has_a_window_per_line_and_keeps_no_times(tokens, written):
    source = tokens([1, 2, 300], window_starts=(0, 2), start_s=4.0)
    text = render_tokens(source, "txt")
    assert (
        "<|sound_start|><|sound_0001|><|sound_0002|><|sound_end|>\n"
        "<|sound_start|><|sound_0300|><|sound_end|>\n" == text
    )
    ((name, found),) = read_tokens(written("street.txt", text))
    assert ("street", [1, 2, 300], (0, 2)) == (name, found.ids.tolist(), found.window_starts)
    assert ("", 301, 0.0, 3 / 25) == (
        found.codebook,
        found.codebook_size,
        found.start_s,
        found.duration_s,
    )


def test_a_text_of_several_levels_is_read_when_their_number_is_given(tokens, written):
    path = written("a.txt", render_tokens(tokens([[1, 2], [3, 4]]), "txt"))
    ((_, found),) = read_tokens(path, depth=2)
    assert [[1, 2], [3, 4]] == found.ids.tolist()
    assert "group 1: has 4 ids, no multiple of the 3 levels" in fault(path, depth=3)


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("ids", "more"),
    [
        ([5, 2560, 0], {"window_starts": (0, 1), "start_s": 0.4, "channel": 1}),
        ([[5, 6], [7, 8]], {"window_starts": (0, 1)}),
        ([], {"duration_s": 0.03}),
        ([1], {"mask_code": None, "codebook": "", "rate_hz": 12.5}),
        ([1], {"start_s": 1.1015625}),
    ],
)
def test_json_keeps_everything(tokens, fields, written, format_name, ids, more):
    source = tokens(ids, **more)
    path = written(f"a.{format_name}", render_tokens(source, format_name))
    ((name, found),) = read_tokens(path)
    assert ("a", fields(source)) == (name, fields(found))


def test_an_empty_recording_keeps_its_levels(tokens, fields, written):
    source = tokens([[1, 2]])
    source = tokens(source.ids[:0], duration_s=0.01)
    path = written("a.json", render_tokens(source, "json"))
    assert [(0, 2)] == [found.ids.shape for _, found in read_tokens(path)]


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_recordings_printed_one_after_the_other_are_told_apart(
    tokens, fields, written, format_name
):
    a, b = tokens([1, 2], window_starts=(0, 1)), tokens([3, 4, 5])
    text = "".join(
        render_tokens(one, format_name, file=file).rstrip("\n") + "\n"
        for one, file in [(a, "x/a.wav"), (b, "b.wav")]
    )
    found = [(name, fields(one)) for name, one in read_tokens(written(f"all.{format_name}", text))]
    assert [("x/a.wav", fields(a)), ("b.wav", fields(b))] == found


def test_a_line_of_json_is_a_window_and_can_be_read_alone(tokens):
    source = tokens([1, 2, 3], window_starts=(0, 2), start_s=0.5)
    lines = [json.loads(line) for line in render_tokens(source, "jsonl").splitlines()]
    assert [([1, 2], 0.5), ([3], 0.58)] == [(line["ids"], line["start_s"]) for line in lines]
    assert {(0, 2), (1, 2)} == {(line["window"], line["n_windows"]) for line in lines}
    assert {2561} == {line["codebook_size"] for line in lines}


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_ichigos_server_answers_is_read(written, suffix):
    answer = {"model": "whispervq-2405-en", "tokens": "<|sound_start|><|sound_0511|><|sound_end|>"}
    ((name, found),) = read_tokens(written(f"reply.{suffix}", json.dumps(answer)))
    assert ("reply", [511], "") == (name, found.ids.tolist(), found.codebook)


def test_the_tokens_of_a_whole_hearing_are_read(tokens, fields, written):
    source = tokens([1, 2])
    hearing = {"text": "hi", "schema": "tercet/1", "speech_tokens": source.to_json(), "file": "a"}
    ((name, found),) = read_tokens(written("b.json", json.dumps([hearing])))
    assert ("a", fields(source)) == (name, fields(found))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"windows": [{"start_s": 0.0, "ids": [1, 2561]}]}, "code 2 (of 2) is 2561"),
        (
            {"windows": [{"start_s": 0.0, "ids": [-1]}]},
            "code 1 (of 1) is -1; this codebook has 0..2560",
        ),
        ({"windows": [{"start_s": 0.0, "ids": [1.5]}]}, "window 1: not every id is a whole number"),
        ({"windows": [{"start_s": 0.0, "ids": [True]}]}, "not every id is a whole number"),
        ({"windows": [{"start_s": 0.0, "ids": [10**30]}]}, "not every id is a whole number"),
        ({"windows": [{"start_s": 0.0, "ids": "12"}]}, "window 1 has no list of ids"),
        ({"windows": [{"ids": [1]}]}, "'start_s' is not a number"),
        ({"windows": [{"start_s": 9.0, "ids": [1]}]}, "window 1 starts at 9.0 s"),
        ({"windows": [4]}, "window 1 has no list of ids"),
        ({"depth": 2}, "not every code has 2 levels"),
        ({"depth": "1"}, "'depth'"),
        ({"depth": 0}, "'depth'"),
        ({"codebook_size": 0}, "'codebook_size'"),
        ({"codebook": None}, "'codebook'"),
        ({"mask_code": 2561}, "'mask_code'"),
        ({"channel": -1}, "'channel'"),
        ({"rate_hz": 0}, "'rate_hz' is 0"),
        ({"rate_hz": 10**400}, "'rate_hz' is too large"),
        ({"duration_s": -1}, "'duration_s'"),
        ({"schema": "tercet/2"}, "schema 'tercet/2'"),
    ],
)
def test_json_that_makes_no_sense_is_refused(tokens, written, change, said):
    value = tokens([1]).to_json() | change
    assert said in fault(written("a.json", json.dumps(value)))


def test_a_window_without_codes_leaves_no_trace(tokens, written):
    windows = [{"start_s": at, "ids": ids} for at, ids in [(0.0, [1]), (0.04, []), (0.04, [2])]]
    path = written("a.json", json.dumps(tokens([1]).to_json() | {"windows": windows}))
    assert [(2, (0, 1))] == [(len(found), found.window_starts) for _, found in read_tokens(path)]


def test_no_windows_are_an_empty_recording(tokens, written):
    path = written("a.json", json.dumps(tokens([1]).to_json() | {"windows": []}))
    assert [(0, (0,))] == [(len(found), found.window_starts) for _, found in read_tokens(path)]


def test_windows_that_are_missing_are_noticed(tokens, written):
    lines = render_tokens(tokens([1, 2, 3], window_starts=(0, 1, 2)), "jsonl").splitlines()
    assert "line 2: only 2 of a recording's 3 windows" in fault(
        written("a.jsonl", "\n".join(lines[:2]))
    )
    assert "line 1: is window 2 of 3, but 0" in fault(written("b.jsonl", "\n".join(lines[1:])))
    assert "line 2: is window 3 of 3, but 1" in fault(written("c.jsonl", "\n".join(lines[::2])))
    other = render_tokens(tokens([7, 8, 9], window_starts=(0, 1, 2)), "jsonl", file="b.mp3")
    mixed = [lines[0], other.splitlines()[1], lines[2]]
    assert "line 2: is window 2 of 3" in fault(written("d.jsonl", "\n".join(mixed)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "no speech tokens"),
        ("a.json", b"", "is empty"),
        ("a.jsonl", b"", "is empty"),
        ("a.json", b"[]", "holds no speech tokens"),
        ("a.json", b"[" * 100_000, "not readable as JSON"),
        ("a.jsonl", b'{"a":' * 100_000, "line 1: not readable as JSON"),
        ("a.json", b'{"windows": NaN}', "NaN is no number"),
        ("a.json", b'{"segments": [{"tokens": [1, 2]}], "text": "hi"}', "`tercet tokenize` writes"),
        ("a.json", b'{"tokens": [50364, 2]}', "holds no speech tokens"),
        ("a.json", b"7", "holds no speech tokens"),
        ("a.txt", bytes(range(256)), "no text in UTF-8"),
        ("a.jsonl", b"\n\xff\n", "line 2: is no text in UTF-8"),
        ("a.parquet", b"PAR1" + bytes(100), "not readable as a table"),
        ("a.wav", b"RIFF", "is not called .txt, .json, .jsonl, .parquet"),
    ],
)
def test_a_foreign_or_hostile_file_is_refused_in_one_line(written, name, content, said):
    assert said in fault(written(name, content))


def test_a_missing_file_is_named(tmp_path):
    for name in ("a.txt", "a.json", "a.jsonl", "a.parquet"):
        assert "no such file" in fault(tmp_path / name)


def test_a_huge_file_is_not_read_to_its_end(written, monkeypatch):
    monkeypatch.setattr("tercet.dataset.token_files._MOST_BYTES", 1 << 20)
    monkeypatch.setattr("tercet.dataset.token_files._MOST_LINE_BYTES", 1 << 20)
    for name in ("a.txt", "a.json", "a.jsonl"):
        assert "more than 1 MB" in fault(written(name, b" " * ((1 << 20) + 1)))


def test_another_format_is_refused(tokens):
    assert ("txt", "json", "jsonl") == FORMATS
    with pytest.raises(OptionError, match="'srt' is not a format of speech tokens; choose txt"):
        render_tokens(tokens([1]), "srt")
