"""whisper-at's results are read as sounds with names."""

import numpy as np
import pytest

from tercet.compat.whisper_at import parse_at_label, print_label_name, print_support_language
from tercet.errors import LabelError, LanguageError, OptionError

SPEECH, LAUGHTER, MUSIC = 0, 16, 137  # AudioSet's columns


def result(rows=1, language="en", resolution=10, **more):
    """Speech at 2.0, music at 1.0, laughter at 0.5, everything else at -3."""
    logits = np.full((rows, 527), -3.0, np.float32)
    logits[:, [SPEECH, MUSIC, LAUGHTER]] = [2.0, 1.0, 0.5]
    return {"language": language, "at_time_res": resolution, "audio_tag": logits} | more


def tags(*args, **options):
    return [row["audio tags"] for row in parse_at_label(*args, **options)]


def test_the_highest_come_first_with_their_logits():
    assert [[("Speech", 2.0), ("Music", 1.0), ("Laughter", 0.5)]] == tags(result())


def test_top_k_and_threshold_bound_what_is_reported():
    assert [[("Speech", 2.0)]] == tags(result(), top_k=1)
    assert [[("Speech", 2.0), ("Music", 1.0)]] == tags(result(), p_threshold=0.5)
    assert [[]] == tags(result(), top_k=0)
    assert 527 == len(tags(result(), top_k=9999, p_threshold=-10)[0])


def test_classes_are_chosen_before_the_highest_of_them():
    assert [[("Laughter", 0.5)]] == tags(result(), top_k=1, include_class_list=[LAUGHTER])
    assert [[("Music", 1.0)]] == tags(result(), top_k=1, include_class_list=["laughter", MUSIC])
    assert [[]] == tags(result(), include_class_list=[])


def test_rows_lie_side_by_side_and_the_last_ends_with_the_recording():
    times = [row["time"] for row in parse_at_label(result(3, resolution=4.4, duration_s=12.5))]
    expected = [(0.0, 4.4), (4.4, 8.8), (8.8, 12.5)]
    assert expected == [(time["start"], time["end"]) for time in times]


def test_without_a_duration_the_last_row_ends_where_it_ends():
    assert {"start": 0, "end": 10} == parse_at_label(result())[0]["time"]


def test_labels_follow_the_transcripts_language():
    assert "Speech" != tags(result(language="de"))[0][0][0]
    assert tags(result(language="de")) == tags(result(), language="German")
    assert tags(result()) == tags(result(language="de"), language="en")


@pytest.mark.parametrize("language", ["la", "xx"])
def test_a_language_without_names_gives_english_ones_and_a_warning(language):
    with pytest.warns(UserWarning, match=language):
        assert tags(result()) == tags(result(language=language))


@pytest.mark.filterwarnings("error")
def test_a_recording_in_which_nobody_speaks_has_english_labels():
    assert tags(result()) == tags(result(language="und"))


def test_tensors_and_lists_are_read_as_arrays(peer):
    torch = peer("torch")
    asked = result()
    expected = tags(asked)
    for form in (torch.from_numpy, np.ndarray.tolist):
        assert expected == tags(asked | {"audio_tag": form(asked["audio_tag"])})


def test_no_rows_give_no_rows():
    assert [] == parse_at_label(result(0))
    assert [] == parse_at_label(result(0) | {"audio_tag": []})


def test_a_head_of_its_own_labels_has_its_own_names():
    own = result() | {"audio_tag": np.array([[0.1, 0.2]]), "label_names": ["Hum", "Hiss"]}
    assert ["Hiss", "Hum"] == [name for name, _ in tags(own)[0]]
    assert [("Hum", pytest.approx(0.1))] == tags(own, include_class_list=["Hum"])[0]


@pytest.mark.parametrize(
    "options",
    [{"top_k": -1}, {"top_k": 1.5}, {"p_threshold": "high"}, {"include_class_list": 16}],
)
def test_nonsense_is_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        parse_at_label(result(), **options)


@pytest.mark.parametrize("given", [{}, {"text": "hi", "segments": []}, None, "text"])
def test_what_is_no_result_is_refused(given):
    with pytest.raises(OptionError, match="give what transcribe gave"):
        parse_at_label(given)


@pytest.mark.parametrize("wanted", [[527], [-1], ["Laughterr"]])
def test_an_unknown_class_is_refused(wanted):
    with pytest.raises(LabelError):
        parse_at_label(result(), include_class_list=wanted)


def test_names_are_printed_as_the_original_prints_them(capsys):
    print_label_name()
    lines = capsys.readouterr().out.splitlines()
    assert (527, "index: 0 : Speech") == (len(lines), lines[0])
    with pytest.raises(LanguageError):
        print_label_name("xx")


def test_languages_are_printed_as_the_original_prints_them(capsys):
    print_support_language()
    lines = capsys.readouterr().out.splitlines()
    assert 85 == len(lines)
    assert "language code: en : english" in lines
