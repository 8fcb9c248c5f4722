"""From the pieces that the loop hands out to results: of a whole recording, or part by part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from tercet.audio.windows import RATE_HZ
from tercet.engine.heads import OpenCodes
from tercet.errors import TercetError
from tercet.longform.ear import joined_rows
from tercet.longform.parallel import Piece
from tercet.longform.tag_options import TagReading
from tercet.readings.codes import tokens_of
from tercet.readings.events import EventTracker
from tercet.readings.frames import Rows
from tercet.results import Hearing, SoundEvent, SoundEvents, SpeechTokens, Transcript

Heard = Hearing | tuple[Hearing, ...] | TercetError
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is made of the pieces; None for a reading that is not wanted."""

    has_text: bool
    tags: TagReading | None
    codes: OpenCodes | None
    encoder_passes: tuple[tuple[str, ...], ...]


class TrackGathering:
    """The pieces of one track, in order, until somebody takes what they make."""

    def __init__(self, wanted: Wanted, channel: int | None) -> None:
        self._wanted = wanted
        self._channel = channel
        self._tracker: EventTracker | None = None
        if wanted.tags is not None:
            self._tracker = wanted.tags.tracker()
        self._heard_s = 0.0
        self._taken_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._transcripts: list[Transcript] = []
        self._rows: list[Rows] = []
        self._events: list[SoundEvent] = []
        self._codes: list[tuple[int, np.ndarray]] = []

    def add(self, piece: Piece) -> None:
        """Take the next window's piece."""
        self._heard_s = piece.end / RATE_HZ
        if piece.transcript is not None:
            self._transcripts.append(piece.transcript)
        if piece.codes is not None:
            self._codes.append((piece.start, piece.codes))
        if piece.rows is not None and self._tracker is not None:
            self._rows.append(piece.rows)
            self._events += self._tracker.push(piece.rows.scores)
            if piece.is_last:
                self._events += self._tracker.finish(self._heard_s)

    def take(self) -> Hearing:
        """What has come since the last time.

        The hearing's and the transcript's durations reach from the recording's start, those of tags and
        tokens from their own.
        """
        hearing = Hearing(
            transcript=self._transcript(),
            tags=self._tags(),
            speech_tokens=self._tokens(),
            duration_s=self._heard_s,
            encoder_passes=self._wanted.encoder_passes,
            channel=self._channel,
        )
        self._taken_s = self._heard_s
        self._forget()
        return hearing

    def _transcript(self) -> Transcript | None:
        if not self._wanted.has_text or not self._transcripts:
            return None
        parts = self._transcripts
        return replace(
            parts[-1],
            text="".join(part.text for part in parts),
            segments=tuple(segment for part in parts for segment in part.segments),
            windows=tuple(window for part in parts for window in part.windows),
            dropped=tuple(segment for part in parts for segment in part.dropped),
        )

    def _tags(self) -> SoundEvents | None:
        reading = self._wanted.tags
        if reading is None:
            return None
        rows = joined_rows(self._rows)
        duration_s = self._heard_s - self._taken_s
        return reading.result(rows, self._events, duration_s=duration_s, channel=self._channel)

    def _tokens(self) -> SpeechTokens | None:
        codes = self._wanted.codes
        if codes is None:
            return None
        head = codes.head
        return tokens_of(
            self._codes,
            codebook_size=head.codebook_size,
            codebook=codes.codebook,
            rate_hz=head.rate_hz,
            duration_s=self._heard_s - self._taken_s,
            mask_code=head.mask_code,
            depth=head.depth,
            channel=self._channel,
            start_s=self._taken_s,
        )


def gather(pieces: Iterator[Piece], wanted: Wanted, *, each: bool) -> Iterator[tuple[int, Heard]]:
    """Whole recordings, as they are finished; with `each`, a tuple of one result per channel."""
    tracks: dict[int, dict[int | None, TrackGathering]] = {}  # by source and channel
    n_ended: dict[int, int] = {}
    for piece in pieces:
        index = piece.source_index
        if piece.error is not None:
            tracks.pop(index, None)
            yield index, piece.error
        elif not piece.is_end:
            of_source = tracks.setdefault(index, {})
            if piece.channel not in of_source:
                of_source[piece.channel] = TrackGathering(wanted, piece.channel)
            of_source[piece.channel].add(piece)
        else:
            n_ended[index] = n_ended.get(index, 0) + 1
            if n_ended[index] == piece.n_tracks:
                # A channel where nobody speaks may end before those opened earlier.
                ordered = sorted(tracks.pop(index).items(), key=lambda track: track[0] or 0)
                results = tuple(track.take() for _, track in ordered)
                yield index, results if each else results[0]


def parts_of(pieces: Iterator[Piece], wanted: Wanted) -> Iterator[Hearing]:
    """One recording of one track, window by window.

    Raises:
        AudioError: the recording cannot be heard (any further).
    """
    track: TrackGathering | None = None
    for piece in pieces:
        if piece.error is not None:
            raise piece.error
        if not piece.is_end:
            track = track or TrackGathering(wanted, piece.channel)
            track.add(piece)
            yield track.take()


def transcripts(
    outcomes: Iterator[tuple[int, Heard]],
) -> Iterator[tuple[int, Transcript | tuple[Transcript, ...] | TercetError]]:
    """The same outcomes, of which the transcripts alone are wanted."""
    for index, outcome in outcomes:
        yield index, mapped(outcome, _transcript_of)


def mapped(
    outcome: Heard, function: Callable[[Hearing], Result]
) -> Result | tuple[Result, ...] | TercetError:
    """A function of each channel's result; errors stay."""
    if isinstance(outcome, TercetError):
        return outcome
    if isinstance(outcome, Hearing):
        return function(outcome)
    return tuple(function(each) for each in outcome)


def _transcript_of(hearing: Hearing) -> Transcript:
    assert hearing.transcript is not None  # text was asked for
    return hearing.transcript
