"""Names of sounds, and finding them: AudioSet's table and a head's own labels."""

import csv
import gzip
import json
from importlib.resources import files

import numpy as np
import pytest

from tercet.errors import LabelError, LanguageError
from tercet.results import SoundEvent, SoundEvents
from tercet.text.labels import (
    audioset_ids,
    audioset_labels,
    find_labels,
    in_language,
    label_languages,
    labels_of,
)

NO_NAMES = [
    "la",
    "et",
    "br",
    "oc",
    "be",
    "tg",
    "yi",
    "nn",
    "sa",
    "lb",
    "tl",
    "haw",
    "jw",
    "su",
    "yue",
]


def heard(*label_ids: int, labels: tuple[str, ...]) -> SoundEvents:
    return SoundEvents(
        events=tuple(
            SoundEvent(start_s=0.4 * i, end_s=2.0, label=labels[i], score=0.5, label_id=i)
            for i in label_ids
        ),
        frames=np.zeros((5, len(labels)), np.float32),
        labels=labels,
        duration_s=2.0,
        channel=1,
    )


def test_the_order_is_audiosets(data_dir):
    with (data_dir / "labels" / "audioset_class_labels_indices.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [str(i) for i in range(527)] == [row["index"] for row in rows]
    assert tuple(row["display_name"] for row in rows) == audioset_labels()
    assert tuple(row["mid"] for row in rows) == audioset_ids()


def test_some_places_that_everybody_knows():
    expected = {0: "Speech", 16: "Laughter", 137: "Music", 500: "Silence", 526: "Field recording"}
    assert expected == {place: audioset_labels()[place] for place in expected}
    assert ("/m/09x0r", "/m/04rlf") == (audioset_ids()[0], audioset_ids()[137])


def test_there_are_85_languages_of_527_names_each():
    languages = label_languages()
    assert (85, "en") == (len(set(languages)), languages[0])
    assert {527} == {len(audioset_labels(code)) for code in languages}
    assert all(name.strip() for code in languages for name in audioset_labels(code))


@pytest.mark.parametrize("language", ["German", " de ", "DE", "german"])
def test_a_language_has_a_code_or_a_name(language):
    assert audioset_labels("de") == audioset_labels(language)
    assert "Klang des Gelächters" == audioset_labels(language)[16]


@pytest.mark.parametrize("language", [*NO_NAMES, "klingon", "", None, 3])
def test_a_language_without_names_is_refused_with_those_that_there_are(language):
    with pytest.raises(LanguageError) as refused:
        audioset_labels(language)
    message = str(refused.value)
    assert repr(language) in message
    assert "en, zh, de, es" in message
    assert message.endswith(" ba")
    assert "\n" not in message


def test_the_packed_file_is_small_and_has_no_date():
    packed = files("tercet.text").joinpath("data/audioset_labels.json.gz").read_bytes()
    assert len(packed) < 400_000
    assert bytes(4) == packed[4:8]  # gzip's time of packing
    assert {"ids", "names"} == set(json.loads(gzip.decompress(packed)))


def test_a_head_without_labels_has_audiosets():
    assert audioset_labels() == labels_of(None)
    assert ("Ship", "Harbour") == labels_of(("Ship", "Harbour"))


def test_events_get_another_languages_names():
    german = audioset_labels("de")
    found = in_language(heard(16, 137, labels=audioset_labels()), "de")
    assert [german[16], german[137]] == [event.label for event in found]
    assert [16, 137] == [event.label_id for event in found]
    assert (german, 1, 2.0) == (found.labels, found.channel, found.duration_s)


def test_and_get_back_to_english_even_where_two_labels_share_a_name():
    chinese = audioset_labels("zh")
    assert len(set(chinese)) < 527
    everything = heard(*range(527), labels=audioset_labels())
    back = in_language(in_language(everything, "zh"), "en")
    assert everything.labels == back.labels
    assert everything.events == back.events


def test_labels_that_are_not_audiosets_keep_their_names():
    german = audioset_labels("de")
    found = in_language(heard(0, 1, labels=("Factory whistle 7", "laughter")), "de")
    assert ("Factory whistle 7", german[16]) == found.labels
    assert ["Factory whistle 7", german[16]] == [event.label for event in found]


def test_events_refuse_a_language_without_names():
    with pytest.raises(LanguageError):
        in_language(heard(labels=("Bark",)), "la")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["Speech", "Music"], (0, 137)),
        (["music", " SPEECH "], (137, 0)),
        (["/m/04rlf", "/m/09x0r"], (137, 0)),
        ([16, np.int64(3)], (16, 3)),
        (["16"], (16,)),
        (["Laughter", 16, "/m/01j3sz"], (16,)),
        ("Male speech, man speaking", (1,)),
        ("music,male speech, man speaking,  /m/09x0r, 16", (137, 1, 0, 16)),
        (["Male speech, man speaking", "Child speech, kid speaking"], (1, 3)),
        (137, (137,)),
    ],
)
def test_labels_are_found_by_name_identifier_or_number(wanted, expected):
    assert expected == find_labels(wanted, audioset_labels())


def test_identifiers_lead_to_the_column_of_a_heads_own_order():
    assert (1,) == find_labels(["/m/04rlf"], ("Hammer drill", "Music"))
    assert (137,) == find_labels(["/m/04rlf"], audioset_labels("fr"))


def test_a_label_that_is_a_number_goes_before_the_column():
    assert (2,) == find_labels(["0"], ("two", "one", "0"))
    assert (0,) == find_labels([0], ("two", "one", "0"))


def test_a_name_that_several_labels_share_means_all_of_them():
    assert (0, 2) == find_labels(["tap"], ("Tap", "Drip", "tap"))


def test_of_names_in_one_text_the_longest_is_meant():
    labels = ("Dog", "Dog, big", "big", "Cat")
    assert (1, 3, 0) == find_labels("dog, big, cat, dog", labels)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("Laugther", "did you mean 'Laughter'"),
        ("bark", "did you mean"),
        ("gunshot", "'Gunshot, gunfire'"),
        ("qqqqqq", "this head knows 527, such as 'Speech', 'Male speech, man speaking'"),
        ("", "this head knows 527"),
        ("/m/0", "'/m/0' is no identifier"),
        (527, "527 is outside 0..526"),
        (-1, "-1 is outside 0..526"),
        ("9000", "9000 is outside 0..526"),
        (True, "True is no name"),
        (1.5, "1.5 is no name"),
        (None, "None is no name"),
    ],
)
def test_an_unknown_label_is_one_line_that_helps(wanted, said):
    labels = tuple("Barking" if name == "Bark" else name for name in audioset_labels())
    with pytest.raises(LabelError) as refused:
        find_labels([wanted], labels)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_identifier_that_the_head_lacks_is_named_in_words():
    with pytest.raises(LabelError, match=r"'/m/04rlf' \(Music\) is none of this head's 1 labels"):
        find_labels(["/m/04rlf"], ("Hammer drill",))


def test_no_label_at_all_is_refused():
    with pytest.raises(LabelError, match="labels is empty"):
        find_labels([], audioset_labels())


def test_a_list_of_names_in_one_string_names_the_one_that_is_unknown():
    with pytest.raises(LabelError, match="label 'Laugther' is unknown"):
        find_labels("Speech, Laugther, Music", audioset_labels())


@pytest.mark.parametrize("wanted", [None, 1.5, True])
def test_something_that_is_no_list_of_labels_is_refused(wanted):
    with pytest.raises(LabelError, match="is no name"):
        find_labels(wanted, audioset_labels())
