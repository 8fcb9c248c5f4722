"""Two models by the same recordings: which makes fewer errors, and whether that may be chance."""

from collections.abc import Sequence

from tercet.errors import DataError
from tercet.evaluate.text.bootstrap import PairedTest, paired_test
from tercet.evaluate.text.journal import Heard
from tercet.evaluate.text.report import utterances_of
from tercet.evaluate.text.scores import Counted, Unit, counted


def compare(
    first: Sequence[Heard], second: Sequence[Heard], *, names: tuple[str, str] = ("A", "B")
) -> PairedTest:
    """A paired test over clean recordings; see `bootstrap.paired_test`.

    Words are counted, or letters where most recordings are in languages without spaces.

    Args:
        first: What one model heard.
        second: What the other heard, of the same recordings in any order.
        names: For the errors' lines.

    Raises:
        DataError: they heard other recordings, or compare them with other texts.
        EngineError: jiwer is not installed.
    """
    pairs = list(zip(*_matched(first, second, names), strict=True))
    counts = [
        (mine, other)
        for mine, other in zip(
            (counted(each) for each in utterances_of(one for one, _ in pairs)),
            (counted(each) for each in utterances_of(two for _, two in pairs)),
            strict=True,
        )
        if mine is not None and other is not None
    ]
    if not counts:
        raise DataError(f"{names[0]}, {names[1]}: no recording has a word to compare")
    unit = _unit([mine for mine, _ in counts])
    return paired_test(
        [mine.edits[unit].errors for mine, _ in counts],
        [other.edits[unit].errors for _, other in counts],
        [mine.edits[unit].size for mine, _ in counts],
    )


def _unit(of: Sequence[Counted]) -> Unit:
    return "cer" if 2 * sum(each.is_unspaced for each in of) > len(of) else "wer"


def _matched(
    first: Sequence[Heard], second: Sequence[Heard], names: tuple[str, str]
) -> tuple[list[Heard], list[Heard]]:
    """Clean recordings of both, pairwise."""
    mine, other = (
        {each.key: each for each in heard if not each.noise} for heard in (first, second)
    )
    if missing := sorted(set(mine) ^ set(other)):
        who = names[1] if missing[0] in mine else names[0]
        raise DataError(
            f"{names[0]}, {names[1]}: heard other recordings ({missing[0].split('|')[0]} is not in {who}, "
            f"{len(missing)} in all); compare runs over the same manifest"
        )
    for key, each in mine.items():
        if each.reference != other[key].reference:
            raise DataError(
                f"{names[0]}, {names[1]}: {key.split('|')[0]} has another reference in each; "
                "compare runs over the same manifest"
            )
    return list(mine.values()), [other[key] for key in mine]
