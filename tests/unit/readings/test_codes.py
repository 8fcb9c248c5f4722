"""Codes of windows become speech tokens, and anything that holds speech tokens becomes windows again."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.dataset.token_files import read_tokens, render_tokens
from tercet.errors import TokensError
from tercet.readings.codes import (
    Codebook,
    code_count,
    groups_of,
    joined,
    timed_groups,
    tokens_of,
)

BOOK = Codebook(codebook_size=2561, codebook="0123456789abcdef", mask_code=2048)
TWO_LEVELS = Codebook(codebook_size=9, codebook="abc", depth=2)


def tokens(*windows, **more):
    """Windows (start in samples, codes) of `BOOK`."""
    given = {
        "codebook_size": 2561,
        "codebook": "0123456789abcdef",
        "rate_hz": 25.0,
        "duration_s": sum(len(codes) for _, codes in windows) / 25,
        "mask_code": 2048,
    }
    return tokens_of([(at, np.array(codes, np.int32)) for at, codes in windows], **(given | more))


def lists(groups):
    return [group.tolist() for group in groups]


def fault(codes, head=BOOK):
    with pytest.raises(TokensError) as caught:
        groups_of(codes, head=head)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("n_samples", "n_codes"), [(0, 0), (639, 0), (640, 1), (16000, 25), (480000, 750)]
)
def test_a_recording_has_as_many_codes_as_ichigo_gives(n_samples, n_codes):
    assert n_codes == code_count(n_samples, 640)


def test_nothing_is_lost_behind_30_s():
    # Differs from ichigo: it gives 750.
    assert 1500 == code_count(960000, 640)


def test_windows_are_laid_end_to_end_and_remembered():
    found = tokens((6400, [1] * 10), (12800, [2] * 20), (25600, [3]), duration_s=1.25)
    assert [1] * 10 + [2] * 20 + [3] == found.ids.tolist()
    assert (0, 10, 30) == found.window_starts
    assert (0.4, 1.25, np.int32) == (found.start_s, found.duration_s, found.ids.dtype)
    assert [0.4, 0.8, 1.6] == [start_s for start_s, _ in found.windows]


def test_a_window_that_does_not_follow_is_refused():
    with pytest.raises(TokensError, match=r"window at 0\.8 s begins at code 20, but 10 codes"):
        tokens((0, [1] * 10), (12800, [2]))


@pytest.mark.parametrize("windows", [[], [(0, [])]])
def test_a_recording_shorter_than_a_code_has_none(windows):
    found = tokens(*windows, duration_s=0.03)
    assert (0, (0,), 0.03, 0.0) == (
        len(found),
        found.window_starts,
        found.duration_s,
        found.start_s,
    )
    assert [] == groups_of(found, head=BOOK)
    assert (0, 3) == tokens(*windows, depth=3).ids.shape
    assert 8.0 == tokens(start_s=8.0).start_s


def test_a_last_window_without_codes_leaves_no_trace():
    assert (0,) == tokens((0, [1] * 10), (6400, [])).window_starts


def test_parts_of_a_stream_become_the_whole():
    windows = [(0, [1] * 10), (6400, [2] * 20), (19200, [3] * 7)]
    lengths = [6400, 12800, 4500]
    whole = tokens(*windows, duration_s=sum(lengths) / 16000)
    parts = [
        tokens(window, duration_s=n / 16000) for window, n in zip(windows, lengths, strict=True)
    ]
    # A stretch too short for a code: nothing but its length counts.
    last = tokens(start_s=23700 / 16000, duration_s=301 / 16000)
    found = joined([*parts, last])
    assert whole.ids.tolist() == found.ids.tolist()
    assert whole.window_starts == found.window_starts
    assert (24001 / 16000, 0.0) == (found.duration_s, found.start_s)
    assert parts[0].ids.tolist() == joined(parts[:1]).ids.tolist()


@given(
    lengths=st.lists(st.integers(1, 75), min_size=1, max_size=8),
    rest=st.integers(0, 6399),
    cuts=st.sets(st.integers(1, 7)),
)
def test_wherever_a_stream_is_cut_its_parts_are_the_file(lengths, rest, cuts):
    windows, at = [], 0
    for n in lengths:
        windows.append((at * 6400, np.arange(n * 10, dtype=np.int32) % 2561))
        at += n
    windows.append((at * 6400, np.zeros(code_count(rest, 640), np.int32)))
    total = at * 6400 + rest
    whole = tokens(*windows, duration_s=total / 16000)
    edges = sorted({0, *(cut for cut in cuts if cut < len(windows)), len(windows)})
    ends = [start for start, _ in windows] + [total]
    parts = [
        tokens(*windows[a:b], duration_s=(ends[b] - ends[a]) / 16000) for a, b in pairwise(edges)
    ]
    assert whole.to_json() == joined(parts).to_json()


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (tokens((12800, [1])), "part 2 starts at 0.8 s, the codes before it end at 0.4 s"),
        (tokens((0, [1])), "a part is missing, or comes twice"),
        (tokens((6400, [1]), codebook="ff"), "part 2 is of codebook ff"),
        (tokens((6400, [1]), channel=1), "channel 1"),
    ],
)
def test_parts_that_are_no_whole_are_refused(second, said):
    with pytest.raises(TokensError) as caught:
        joined([tokens((0, [1] * 10)), second])
    assert said in str(caught.value)


def test_no_parts_are_no_whole():
    with pytest.raises(TokensError, match="no parts"):
        joined([])


def test_tokens_their_json_and_their_text_give_the_same_windows():
    source = tokens((6400, [1] * 10), (12800, [2, 2048]))
    expected = [[1] * 10, [2, 2048]]
    as_json = source.to_json()
    for codes in (source, as_json, json.dumps(as_json), str(source), {"tokens": str(source)}):
        assert expected == lists(groups_of(codes, head=BOOK))
    assert [0.4, 0.8] == [start_s for start_s, _ in timed_groups(source, head=BOOK)]
    assert [0.0, 0.4] == [start_s for start_s, _ in timed_groups(str(source), head=BOOK)]


def test_a_text_file_is_decoded_by_any_codebook_that_holds_it(tmp_path):
    (tmp_path / "a.txt").write_text(render_tokens(tokens((0, [1, 8])), "txt"))
    ((_, found),) = read_tokens(tmp_path / "a.txt")
    assert [[1, 8]] == lists(groups_of(found, head=BOOK))
    assert [[[1, 8]]] == lists(groups_of(found, head=TWO_LEVELS))
    small = Codebook(codebook_size=8, codebook="abc")
    assert "code 2 (of 2) is 8; this codebook has 0..7" in fault(found, small)


@pytest.mark.parametrize(
    "codes",
    [
        list(range(1600)),
        np.arange(1600),
        np.arange(1600, dtype=np.uint16)[None],
        np.arange(1600)[:, None],
        np.arange(1600)[None, :, None],
        "".join(f"<|sound_{n:04d}|>" for n in range(1600)),
        "<|sound_start|>" + "".join(f"<|sound_{n:04d}|>" for n in range(1600)) + "<|sound_end|>",
    ],
)
def test_what_has_no_windows_is_cut_at_30_s(codes):
    found = timed_groups(codes, head=BOOK)
    assert [(0.0, 750), (30.0, 750), (60.0, 100)] == [(at, len(group)) for at, group in found]
    assert list(range(1600)) == np.concatenate([group for _, group in found]).tolist()
    assert {np.dtype(np.int32)} == {group.dtype for _, group in found}


def test_a_torch_tensor_is_taken():
    torch = pytest.importorskip("torch")
    assert [[1, 2]] == lists(groups_of(torch.tensor([[1, 2]]), head=BOOK))
    assert "torch" not in fault(torch.tensor([1.0]))


@pytest.mark.parametrize("codes", [[[1, 2], [3, 4]], [1, 2, 3, 4], np.array([[1, 2, 3, 4]])])
def test_levels_come_time_by_time(codes):
    assert [[[1, 2], [3, 4]]] == lists(groups_of(codes, head=TWO_LEVELS))
    text = "<|sound_start|><|sound_0001|><|sound_0002|><|sound_0003|><|sound_0004|><|sound_end|>"
    assert [[[1, 2], [3, 4]]] == lists(groups_of(text, head=TWO_LEVELS))


@pytest.mark.parametrize("codes", [[], np.zeros(0), np.zeros((1, 0), np.int64)])
def test_no_ids_are_no_windows(codes):
    assert [] == groups_of(codes, head=BOOK)
    assert [] == groups_of(codes, head=TWO_LEVELS)


@pytest.mark.parametrize("wrong", [2561, -1, 2**31, 2**62, 2**63 - 1])
def test_an_id_out_of_range_is_named_with_its_place_and_never_clipped(wrong):
    # Differs from ichigo: it clips.
    codes = [0] * 120
    codes[16] = wrong
    said = f"speech tokens: code 17 (of 120) is {wrong}; this codebook has 0..2560"
    assert said == fault(codes)


def test_an_id_out_of_range_is_named_in_every_form():
    said = "code 2 (of 3) is 2561; this codebook has 0..2560"
    text = str(tokens((0, [0] * 10), (6400, [1]))).replace("<|sound_0000|>", "", 8)
    text = text.replace("<|sound_0000|><|sound_end|>", "<|sound_2561|><|sound_end|>")
    assert said in fault(text)
    assert said in fault(tokens((0, [0, 2561, 1])))
    assert said in fault(tokens((0, [0, 2561, 1])).to_json())
    assert "code 2 (of 2), level 1 is 9" in fault([[0, 8], [9, 0]], TWO_LEVELS)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([1.0, 2.0], "list of float64 is no array of ids; give whole numbers"),
        ([True, False], "bool"),
        ([[1, 2], [3]], "list is no array of ids"),
        ([[1, 2], [3, 4]], "has the shape [2, 2]; give the ids of one recording"),
        (np.zeros((2, 3, 1), np.int32), "has the shape [2, 3, 1]"),
        (7, "has the shape []"),
        (None, "NoneType of object"),
        ([10**30], "object"),
        (b"<|sound_0001|>", "bytes"),
        ("hello", "behind 0 ids comes 'hello'"),
        ("<|sound_start|><|sound_0001|>", "cut short"),
        ({"text": "hi"}, "holds no speech tokens"),
        ('{"text": "hi"}', "holds no speech tokens"),
        ('{"windows": [', "not readable as JSON"),
        ('{"a": 1} {"a": 2}', "holds 2 JSON values"),
        ('{"a": 1} 7', "holds 2 JSON values"),
    ],
)
def test_what_holds_no_ids_is_refused(codes, said):
    assert said in fault(codes)


def test_a_count_that_is_no_multiple_of_the_levels_is_refused():
    assert "has 3 ids, no multiple of the 2 levels" in fault([1, 2, 3], TWO_LEVELS)
    text = str(tokens((0, [1] * 10), (6400, [1])))
    assert "group 2: has 1 ids" in fault(text, TWO_LEVELS)


def test_tokens_of_another_codebook_are_refused_and_both_named():
    said = fault(tokens((0, [1]), codebook="ffff", codebook_size=513))
    assert "made with codebook ffff (513 codes)" in said
    assert "this model has codebook 0123456789abcdef (2561 codes)" in said
    assert "codebook ffff (2561 codes)" in fault(tokens((0, [1]), codebook="ffff"))
    assert "513 codes" in fault(tokens((0, [1]), codebook="", codebook_size=513))
    assert "3 levels" in fault(tokens((0, [[1, 2, 3]])))


def test_a_mask_code_among_others_is_a_code():
    # Differs from ichigo's ancestor, which cut off everything behind it.
    assert [[1, 2048, 2]] == lists(groups_of([1, 2048, 2], head=BOOK))


def test_what_a_head_says_is_taken_from_it():
    from tercet.checkpoint.heads import HeadArrays, Quantizer

    head = Quantizer(
        width=512,
        heads=8,
        mlp_width=2048,
        code_width=64,
        codebook_size=2049,
        mask_code=2048,
        depth=2,
        downsample=4,
        arrays=HeadArrays({}),
    )
    expected = Codebook(
        codebook_size=2049,
        codebook="ab",
        depth=2,
        mask_code=2048,
        codes_per_window=375,
        rate_hz=12.5,
    )
    assert expected == Codebook.of(head, "ab")
