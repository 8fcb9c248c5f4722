"""What a decoder writes down by itself, and how far that is from what was said."""

from collections.abc import Sequence

import numpy as np

from tercet.decoding.loop import decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.protocol import Projections
from tercet.evaluate.text.scores import Counted, counted
from tercet.evaluate.word_errors import Utterance
from tercet.model.engine import TorchDecoder
from tercet.text.tokenizer import Tokenizer
from tercet.train.text.material import Lesson, own_reference

_MOST_TOKENS = 2  # that are written down, relative to the longest text beside it


def written_down(
    decoder: TorchDecoder,
    windows: Sequence[np.ndarray],
    lessons: Sequence[Lesson],
    tokenizer: Tokenizer,
) -> list[str]:
    """Greedy text without timestamps.

    Args:
        decoder: Who writes.
        windows: States of each, float32 [positions, width].
        lessons: Of the windows: their languages and tasks, and about how long their texts are.
        tokenizer: The decoder's.
    """
    texts = [""] * len(lessons)
    for task in dict.fromkeys(each.task for each in lessons):
        rows = [row for row, each in enumerate(lessons) if each.task == task]
        # A student that has learnt little goes on for ever; what it should say is not so long.
        longest = max(len(lessons[row].text_ids) for row in rows)
        decoded = decode(
            decoder,
            Projections(decoder, [windows[row] for row in rows]),
            tokenizer,
            DecodeOptions(without_timestamps=True, task=task, max_tokens=_MOST_TOKENS * longest),
            languages=[lessons[row].label.language for row in rows],
        )
        for row, each in zip(rows, decoded, strict=True):
            texts[row] = each.text
    return texts


def errors_of(lesson: Lesson, text: str) -> Counted | None:
    """How far a text is from a window's reference, else from the teacher's text; None: there is no word.

    Raises:
        EngineError: jiwer (extra `eval`) is not installed.
        TercetError: whisper-normalizer is not.
    """
    reference = own_reference(lesson.label)
    said = lesson.label.text if reference is None else reference
    return counted(Utterance(said, text, lesson.label.language))
