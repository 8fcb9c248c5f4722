"""What a recording's reference says in each of its windows, and how far the teacher's text is from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tercet.errors import EngineError
from tercet.text.normalizer import normalize


@dataclass(frozen=True, slots=True)
class Distance:
    """Error rates of one window's text, as shares, both sides normalised as Whisper's authors do."""

    wer: float  # of letters where the language has no spaces
    cer: float
    reference_words: int


def distances(reference: str, texts: Sequence[str], language: str) -> list[Distance]:
    """How far each window's text is from its part of the reference.

    The reference is laid beside the texts of all windows end to end; each of its words belongs to the window
    of the word that it meets there, a missed one to the window of the word before it.

    Args:
        reference: Of the windows together.
        texts: One per window, in order.
        language: A code, for the normaliser.

    Raises:
        EngineError: jiwer (extra `eval`) is not installed.
        TercetError: whisper-normalizer is not.
    """
    written = [normalize(text, language).split() for text in texts]
    said = normalize(reference, language).split()
    shares = [said] if len(texts) == 1 else _shared_out(said, written)
    return [_distance(part, words) for part, words in zip(shares, written, strict=True)]


def _shared_out(said: Sequence[str], written: Sequence[Sequence[str]]) -> list[list[str]]:
    shares: list[list[str]] = [[] for _ in written]
    owners = [number for number, words in enumerate(written) for _ in words]
    if not said or not owners:
        shares[0] = list(said)
        return shares
    aligned = _jiwer().process_words(
        " ".join(said), " ".join(word for each in written for word in each)
    )
    for chunk in aligned.alignments[0]:
        for offset, word in enumerate(said[chunk.ref_start_idx : chunk.ref_end_idx]):
            at = chunk.hyp_start_idx - 1 if chunk.type == "delete" else chunk.hyp_start_idx + offset
            shares[owners[max(0, at)]].append(word)
    return shares


def _distance(said: Sequence[str], written: Sequence[str]) -> Distance:
    if not said:  # each invented word is an error, of a reference that is taken as one word
        return Distance(float(len(written)), float(len("".join(written))), 0)
    jiwer = _jiwer()
    reference, text = " ".join(said), " ".join(written)
    return Distance(float(jiwer.wer(reference, text)), float(jiwer.cer(reference, text)), len(said))


def _jiwer() -> Any:
    try:
        import jiwer
    except ModuleNotFoundError:
        raise EngineError("counting word errors needs jiwer: pip install 'tercet[eval]'") from None
    return jiwer
