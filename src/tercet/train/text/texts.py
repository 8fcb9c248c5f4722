"""The ids that a lesson asks for: with or without timestamps, with or without what was said before."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from tercet.text.tokenizer import Tokenizer
from tercet.train.text.losses import IGNORED
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import DataRecipe


class Text(NamedTuple):
    """What goes into the decoder, and what it should say behind each id; as long as each other."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]  # `IGNORED` where nothing is asked for


def text_of(
    lesson: Lesson,
    tokenizer: Tokenizer,
    recipe: DataRecipe,
    rng: np.random.Generator | None,
    *,
    room: int,
    speed: float = 1.0,
) -> Text:
    """Choose a text.

    Where it begins with a prompt, the decoder sees it, but what it would say there does not count; language
    and task behind <|startoftranscript|> do, so that a student goes on detecting languages.

    Args:
        lesson: Which.
        tokenizer: Of teacher and student.
        recipe: How often there are timestamps and prompts.
        rng: Of the choices; None: timestamps where the label has some, and no prompt.
        room: How many positions the decoder has.
        speed: How many times as fast the sound is played; timestamps follow.
    """
    label = lesson.label
    has_times = any(each >= tokenizer.timestamp_begin for each in lesson.text_ids)
    # Both chances are drawn for every lesson, so that one's choice does not move the other's.
    timed, prompted = (-1.0, 1.0) if rng is None else rng.random(2)
    start = list(tokenizer.sot_sequence(label.language, lesson.task))
    written = at_speed(lesson.text_ids, tokenizer, speed)
    if rng is not None and recipe.bpe_dropout:
        written = recut(written, tokenizer, recipe.bpe_dropout, rng)
    if not (has_times and timed < recipe.timestamps_share):
        written = plain(written, tokenizer)
        start.append(tokenizer.no_timestamps)
    ids = [*start, *written, tokenizer.eot][: room + 1]
    prompt: list[int] = []
    fits = min(recipe.prompt_tokens, room - len(ids))  # beside <|startofprev|>
    if lesson.before and prompted < recipe.prompts_share and fits > 0:
        prompt = [tokenizer.sot_prev, *plain(lesson.before, tokenizer)[-fits:]]
    return Text((*prompt, *ids[:-1]), (*([IGNORED] * len(prompt)), *ids[1:]))


def plain(ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """Without timestamps."""
    return [each for each in ids if each < tokenizer.timestamp_begin]


def at_speed(ids: Sequence[int], tokenizer: Tokenizer, speed: float) -> list[int]:
    """With the timestamps of a sound that is played so many times as fast."""
    begin = tokenizer.timestamp_begin
    return [each if each < begin else begin + round((each - begin) / speed) for each in ids]


def recut(
    ids: Sequence[int], tokenizer: Tokenizer, share: float, rng: np.random.Generator
) -> list[int]:
    """The same text in other subwords (`text.bpe_dropout`); timestamps stay where they are."""
    found: list[int] = []
    for is_time, group in groupby(ids, lambda each: each >= tokenizer.timestamp_begin):
        run = list(group)
        found += run if is_time else tokenizer.recut(run, share, rng)
    return found
