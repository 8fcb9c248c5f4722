"""The gate: what the decoder wrote is kept only where several witnesses agree that somebody speaks.

Whisper writes words under rain, barking and a baby's cry. Three witnesses hear each segment: the tag head
(its score of Speech), the voice detector (for how long it hears a voice) and the decoder itself (how sure it
was). Each gives an opinion from -1 (no speech) to 1 (speech); what counts is their mean. Pure functions of
evidence; nothing is encoded or decoded here. The constants were set on development clips
(benchmarks/gate.py; docs/captions.md has the table).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from tercet.results import Segment

SPEECH_LABEL = "Speech"
# Reason codes: which witnesses hear no speech. Several are joined with "+".
TAGS, VOICE, DECODER = "no_speech_tag", "no_voice", "unsure_text"
TAG_FRAME_S, VOICE_FRAME_S = 0.4, 0.01
_AROUND_S = 0.8  # heard on both sides of a segment, whose times the decoder guesses
_VOICED = 0.5  # probability from which a frame counts as a voice: Silero's
DROP_BELOW, DOUBT_BELOW = 0.0, 0.25  # means of opinions

Decision = Literal["keep", "doubt", "drop"]


class Ramp(NamedTuple):
    """An opinion of a number: -1 at `no`, 1 at `yes`, a straight line between them, and no more beyond."""

    no: float
    yes: float

    def opinion(self, value: float) -> float:
        """-1..1."""
        share = (value - self.no) / (self.yes - self.no)
        return 2.0 * min(max(share, 0.0), 1.0) - 1.0


_TAG_SCORE = Ramp(0.1, 0.6)
_VOICED_S = Ramp(0.1, 0.7)
_AVG_LOGPROB = Ramp(-3.0, -1.0)
_NO_SPEECH_PROB = Ramp(0.45, 0.2)
_COMPRESSION_RATIO = Ramp(3.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one answer to ==
class SpeechEvidence:
    """What was heard of speech in a window, apart from its text. None: nobody listened."""

    tag_scores: (
        np.ndarray | None
    )  # Speech's, 0..1, float32 [n], one per 0.4 s from the window's start
    voice: np.ndarray | None  # probabilities 0..1, float32 [n], one per 10 ms


NOTHING_HEARD = SpeechEvidence(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one segment."""

    speech_score: float | None  # the highest score of Speech within it, 0..1
    voiced_s: (
        float | None
    )  # for how long a voice was heard; of 0.3 s all voiced, as if they went on
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a segment, and the codes of the witnesses against it."""

    decision: Decision
    reason: str | None  # None where it is kept


@dataclass(frozen=True, slots=True)
class Judged:
    """A window's segments after the gate."""

    kept: tuple[Segment, ...]  # doubted ones have their reason
    dropped: tuple[Segment, ...]  # each with its reason, and the id -1

    def noted(self, note: str | None) -> str | None:
        """A window's note with what the gate did."""
        for name, segments in (("dropped", self.dropped), ("doubted", self.kept)):
            reasons = dict.fromkeys(s.reason for s in segments if s.reason is not None)
            if reasons:
                told = f"{name}: {', '.join(reasons)}"
                note = told if note is None else f"{note}; {told}"
        return note


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When each witness is for speech, and when against it."""

    tag_score: Ramp = _TAG_SCORE
    voiced_s: Ramp = _VOICED_S
    avg_logprob: Ramp = _AVG_LOGPROB
    no_speech_prob: Ramp = _NO_SPEECH_PROB
    compression_ratio: Ramp = _COMPRESSION_RATIO

    def judge(
        self, segments: Sequence[Segment], heard: SpeechEvidence, *, window_start_s: float
    ) -> Judged:
        """Keep, doubt or drop each segment of a window.

        Args:
            segments: The window's.
            heard: In this window.
            window_start_s: Where its arrays begin, on the segments' clock.
        """
        kept, dropped = list[Segment](), list[Segment]()
        for segment in segments:
            verdict = self.verdict(evidence_of(segment, heard, window_start_s=window_start_s))
            if verdict.decision == "drop":
                dropped.append(replace(segment, id=-1, reason=verdict.reason))
            else:
                kept.append(replace(segment, reason=verdict.reason))
        return Judged(tuple(kept), tuple(dropped))

    def verdict(self, evidence: Evidence) -> Verdict:
        """One segment's: the mean opinion of the witnesses that were there."""
        opinions = self.opinions(evidence)
        mean = sum(opinions.values()) / len(opinions)
        if mean >= DOUBT_BELOW:
            return Verdict("keep", None)
        against = [code for code, opinion in opinions.items() if opinion < 0]
        reason = "+".join(against or [min(opinions, key=opinions.__getitem__)])
        return Verdict("drop" if mean < DROP_BELOW else "doubt", reason)

    def opinions(self, evidence: Evidence) -> dict[str, float]:
        """-1..1 by the witness's reason code; those that heard nothing are left out."""
        opinions: dict[str, float] = {}
        if evidence.speech_score is not None:
            opinions[TAGS] = self.tag_score.opinion(evidence.speech_score)
        if evidence.voiced_s is not None:
            opinions[VOICE] = self.voiced_s.opinion(evidence.voiced_s)
        # The decoder is as sure as its weakest sign says.
        opinions[DECODER] = min(
            self.avg_logprob.opinion(evidence.avg_logprob),
            self.no_speech_prob.opinion(evidence.no_speech_prob),
            self.compression_ratio.opinion(evidence.compression_ratio),
        )
        return opinions


def evidence_of(
    segment: Segment, heard: SpeechEvidence, *, window_start_s: float = 0.0
) -> Evidence:
    """What is known of one segment, from what was heard in its window."""
    start_s = segment.start - window_start_s - _AROUND_S
    end_s = segment.end - window_start_s + _AROUND_S
    score: float | None = None
    voiced_s: float | None = None
    if heard.tag_scores is not None and heard.tag_scores.size:
        score = float(_within(heard.tag_scores, TAG_FRAME_S, start_s, end_s).max())
    if heard.voice is not None:
        voice = _within(heard.voice, VOICE_FRAME_S, start_s, end_s)
        # What is short cannot hold much of a voice: a word may last 0.3 s, and the recording, too.
        share = float(np.mean(voice >= _VOICED)) if voice.size else 0.0
        voiced_s = share * max(_VOICED_S.yes, voice.size * VOICE_FRAME_S)
    return Evidence(
        speech_score=score,
        voiced_s=voiced_s,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
        compression_ratio=segment.compression_ratio,
    )


def _within(values: np.ndarray, step_s: float, start_s: float, end_s: float) -> np.ndarray:
    """The values of a stretch of time; one at least, if there is any."""
    first = min(max(0, int(start_s / step_s)), max(0, values.size - 1))
    last = max(first + 1, int(np.ceil(end_s / step_s)))
    return values[first:last]
