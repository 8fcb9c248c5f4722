"""Which labels are lessons, and what was said before them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tercet.dataset.label_table import Label
from tercet.errors import DataError, OptionError
from tercet.text.tokenizer import Tokenizer
from tercet.train.text.material import Split, splits
from tercet.train.text.recipe import (
    AdapterRecipe,
    DataRecipe,
    LossRecipe,
    PartsRecipe,
    SetRecipe,
    SoundRecipe,
    TextRecipe,
)

LabelOf = Callable[..., Label]
Store = Callable[..., Path]
SplitOf = Callable[..., Split]
SET = SetRecipe(labels="speech", field="speaker", held_out=("3",))


def ids(split: Split) -> tuple[list[str], list[str]]:
    return [each.label.id for each in split.train], [each.label.id for each in split.held_out]


@pytest.fixture
def root(store: Store, label_of: LabelOf, tmp_path: Path) -> Path:
    store(tmp_path / "speech", [label_of(n) for n in range(12)], dropped=("w4",))
    return tmp_path


@pytest.fixture
def tokenizer(byte_tokenizer: Callable[[int], Tokenizer]) -> Tokenizer:
    return byte_tokenizer(51865)


@pytest.fixture
def split_of(tokenizer: Tokenizer) -> Callable[..., Split]:
    def of(root: Path, tell: Callable[[str], object] = print, **changes: object) -> Split:
        data = DataRecipe(sets=(replace(SET, **changes),))  # type: ignore[arg-type]
        [found] = splits(data, root, tokenizer, tell)
        return found

    return of


def test_speakers_are_held_out_and_dropped_windows_left_out(split_of: SplitOf, root: Path) -> None:
    train, held_out = ids(split_of(root))
    assert [f"w{n}" for n in (0, 1, 2, 3, 5, 6, 7, 8)] == train
    assert ["w9", "w10", "w11"] == held_out
    assert 8 == split_of(root).weight
    assert 2.5 == split_of(root, weight=2.5).weight


def test_all_windows_count_if_the_filter_does_not(split_of: SplitOf, root: Path) -> None:
    (root / "speech" / "filter.parquet").unlink()
    assert 9 == len(split_of(root, kept=False).train)
    with pytest.raises(DataError, match=r"filter.parquet: is not there; make it: tercet label"):
        split_of(root)


def test_further_columns_hold_out_too_and_every_nth_counts(split_of: SplitOf, root: Path) -> None:
    train, held_out = ids(split_of(root, field="domain", held_out=("odd",), development=2))
    assert ["w0", "w2", "w6", "w8", "w10"] == train
    assert ["w1", "w3"] == held_out
    assert ["w0", "w2", "w5", "w7"] == ids(split_of(root, every=2))[0]


def test_languages_are_held_out_evenly(
    store: Store, label_of: LabelOf, split_of: SplitOf, tmp_path: Path
) -> None:
    made = [label_of(n, language="vi" if n == 11 else "en") for n in range(12)]
    store(tmp_path / "speech", made)
    assert ["w9", "w11"] == ids(split_of(tmp_path, development=2))[1]


def test_what_the_same_speaker_said_before_is_known(split_of: SplitOf, root: Path) -> None:
    before = {each.label.id: each.before for each in split_of(root).train}
    assert () == before["w0"] == before["w3"]  # another speaker spoke
    assert (50364, 300, 400, 50464) == before["w1"]
    assert (50364, 304, 404, 50464) == before["w5"]  # heard, though not fit to learn from


@pytest.mark.parametrize("change", [{"speaker": "someone"}, {"is_cut_off": True}])
def test_what_others_said_or_nobody_knows_is_no_prompt(
    split_of: SplitOf, store: Store, label_of: LabelOf, tmp_path: Path, change: dict[str, object]
) -> None:
    made = [label_of(0, **change), *(label_of(n) for n in range(1, 12))]
    store(tmp_path / "speech", made)
    before = {each.label.id: each.before for each in split_of(tmp_path).train}
    assert () == before["w1"]


def said(number: int) -> dict[str, object]:
    """Of label `n`: "Said n.", with stray white space."""
    return {"reference": f" Said \n {number}. ", "reference_of": "window"}


def test_references_are_learnt_as_whisper_writes_without_timestamps(
    store: Store, label_of: LabelOf, split_of: SplitOf, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    made = [label_of(n, **said(n)) for n in range(12)]
    made[2] = label_of(2, reference=None)
    made[4] = label_of(
        4, **said(4), is_cut_off=True
    )  # the teacher's text is, and nobody asks for it
    store(tmp_path / "speech", made)
    told: list[str] = []
    lessons = {
        each.label.id: each for each in split_of(tmp_path, told.append, text="reference").train
    }
    assert ["w0", "w1", "w3", "w4", "w5", "w6", "w7", "w8"] == list(lessons)
    assert " Said 1." == tokenizer.decode(lessons["w1"].text_ids)
    assert " Said 0." == tokenizer.decode(lessons["w1"].before)
    assert " Said 4." == tokenizer.decode(lessons["w5"].before)
    assert not any(
        each.text_ids[0] >= 50257 or each.text_ids[-1] >= 50257 for each in lessons.values()
    )
    assert ["speech: left out 1 of 12 windows, which have no reference of their own"] == told
    teachers = split_of(tmp_path).train
    assert (50364, 301, 401, 50464) == teachers[1].text_ids


def test_a_reference_of_many_windows_is_nobodys(
    store: Store, label_of: LabelOf, split_of: SplitOf, tmp_path: Path
) -> None:
    whole = {"reference": "all of it", "reference_of": "recording"}
    empty = {"reference": "  ", "reference_of": "window"}
    made = [label_of(n, **(said(n) if n > 7 else empty if n > 5 else whole)) for n in range(12)]
    store(tmp_path / "speech", made)
    assert (["w8"], ["w9", "w10", "w11"]) == ids(split_of(tmp_path, text="reference"))
    store(tmp_path / "long" / "speech", [label_of(n, **whole) for n in range(12)])
    with pytest.raises(DataError, match="none of its 12 windows has a reference of its own; label"):
        split_of(tmp_path / "long", text="reference")


def test_languages_without_spaces_begin_without_one(
    store: Store, label_of: LabelOf, split_of: SplitOf, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    made = [label_of(n, **said(n), language="ja" if n < 2 else "vi") for n in range(12)]
    store(tmp_path / "speech", made)
    lessons = split_of(tmp_path, text="reference").train
    starts = [tokenizer.decode(each.text_ids)[:2] for each in lessons]
    assert ["Sa"] * 2 + [" S"] * 7 == starts


def test_languages_may_be_chosen(
    store: Store, label_of: LabelOf, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    made = [label_of(n, language="de" if n % 2 else "en") for n in range(12)]
    store(tmp_path / "speech", made)
    [found] = splits(DataRecipe(sets=(SET,), languages=("de",)), tmp_path, tokenizer)
    assert ["w1", "w3", "w5", "w7"] == ids(found)[0]


def test_empty_splits_say_what_to_check(
    split_of: SplitOf, root: Path, store: Store, label_of: LabelOf, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no window's speaker ends in 7; check held_out"):
        split_of(root, held_out=("7",))
    with pytest.raises(DataError, match="none of its 12 windows is left to train on"):
        split_of(root, held_out=("s0", "s1", "s2", "s3"))
    with pytest.raises(DataError, match="no folder of labels"):
        split_of(root, labels="elsewhere")


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SetRecipe(labels="x", field="speaker"), "field and held_out belong together"),
        (lambda: DataRecipe(sets=()), "data.sets is empty"),
        (lambda: DataRecipe(sets=(SET,), prompts_share=2), "prompts_share is 2; give 0..1"),
        (lambda: DataRecipe(sets=(SET,), prompt_tokens=300), "give 1 to 223"),
        (
            lambda: DataRecipe(sets=(SET,), sound=SoundRecipe(speed=(0.9, 1.1))),
            "data.sound changes what is heard; give cached = false",
        ),
        (
            lambda: DataRecipe(sets=(SET,), sound=SoundRecipe(time_masks=1)),
            "data.sound changes what is heard; give cached = false",
        ),
        (lambda: SoundRecipe(noise_share=2), "noise_share is 2; give 0..1"),
        (lambda: SoundRecipe(snr_db=(5, 1)), "give the smaller number first"),
        (lambda: SoundRecipe(speed=(1.1, 0.9)), "give the smaller number first"),
        (lambda: SoundRecipe(speed=(0.0, 1.0)), "give numbers above 0"),
        (lambda: DataRecipe(sets=(SET,), bpe_dropout=2), "bpe_dropout is 2; give 0..1"),
        (lambda: SoundRecipe(mel_masks=-1), "mel_masks is -1; give at least 0"),
        (lambda: LossRecipe(temperature=0), "temperature is 0; give a number above 0"),
        (lambda: LossRecipe(cross_entropy=0, divergence=0), "there is nothing to learn"),
        (lambda: LossRecipe(states=-1), "states is -1; give at least 0"),
        (lambda: PartsRecipe(dropout=1), "dropout is 1; give 0 to below 1"),
        (lambda: AdapterRecipe(rank=-1), "rank is -1; give at least 0"),
        (lambda: AdapterRecipe(encoder=False, decoder=False), "adapter changes nothing"),
        (lambda: AdapterRecipe(modules=()), "adapter changes nothing"),
        (
            lambda: TextRecipe(
                student="s",
                data=DataRecipe(sets=(SET,)),
                learns=PartsRecipe(encoder=True),
                adapter=AdapterRecipe(rank=4),
            ),
            "adapter.rank lets nothing else learn; leave learns.encoder out",
        ),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(make: Callable[[], object], line: str) -> None:
    with pytest.raises(OptionError, match=line):
        make()
