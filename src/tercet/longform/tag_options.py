"""What a caller may ask of the sounds in a recording, checked once, before any audio is opened."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from tercet.checkpoint.heads import TagHead
from tercet.errors import OptionError
from tercet.longform.ear import TagWindows
from tercet.readings.events import EventOptions, EventTracker, PerLabel, in_order
from tercet.readings.frames import FRAME_S, Rows, frames_of
from tercet.results import SoundEvent, SoundEvents
from tercet.text.labels import audioset_labels, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TagReading:
    """How taps become frame scores, and frame scores events."""

    labels: tuple[str, ...]  # all of the head's, English
    windows: TagWindows
    events: EventOptions
    label_language: str

    @property
    def frame_s(self) -> float:
        """Seconds between two rows of scores."""
        return round(self.windows.row_frames * FRAME_S, 6)

    def tracker(self) -> EventTracker:
        """A tracker for one track."""
        return EventTracker(self.events, self.labels, self.frame_s)

    def result(
        self, rows: Rows, events: Sequence[SoundEvent], *, duration_s: float, channel: int | None
    ) -> SoundEvents:
        """Rows and the events that ended within them, with labels in the language asked for."""
        found = SoundEvents(
            events=tuple(in_order(events)),
            frames=rows.scores,
            labels=self.labels,
            frame_s=self.frame_s,
            start_s=round(rows.start_frame * FRAME_S, 6),
            duration_s=duration_s,
            logits=rows.logits,
            channel=channel,
        )
        return found if self.label_language == "en" else found.in_language(self.label_language)


def tag_reading(
    head: TagHead,
    *,
    labels: str | Sequence[str | int] | None = None,
    top_k: int | None = None,
    threshold: PerLabel | None = None,
    off_threshold: PerLabel | None = None,
    min_duration_s: PerLabel | None = None,
    min_gap_s: PerLabel | None = None,
    at_time_res: float | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    label_language: str | None = None,
    zero_padded: bool = False,
) -> TagReading:
    """The options of `Model.tag`, checked.

    Raises:
        OptionError: a value is not allowed, or two contradict each other.
        LabelError: the head knows no such label.
        LanguageError: there are no display names in this language.
    """
    label_language = "en" if label_language is None else label_language
    audioset_labels(label_language)  # refuses a language without names
    names = labels_of(head.labels)
    given = {"min_duration_s": min_duration_s, "min_gap_s": min_gap_s}
    events = EventOptions.of(
        names,
        head.thresholds,
        wanted=labels,
        top_k=top_k,
        threshold=threshold,
        off_threshold=off_threshold,
        **{name: value for name, value in given.items() if value is not None},
    )
    windows = _windows(head, at_time_res, window_s, hop_s, zero_padded=zero_padded)
    return TagReading(labels=names, windows=windows, events=events, label_language=label_language)


TAG_OPTIONS = frozenset(inspect.signature(tag_reading).parameters) - {"head", "zero_padded"}


def _windows(
    head: TagHead,
    at_time_res: float | None,
    window_s: float | None,
    hop_s: float | None,
    *,
    zero_padded: bool,
) -> TagWindows:
    if at_time_res is not None:
        if window_s is not None or hop_s is not None:
            raise OptionError(
                "at_time_res gives one row per window; leave it out to set window_s or hop_s"
            )
        frames = frames_of(at_time_res)
        return TagWindows(
            window_frames=frames, hop_frames=frames, row_frames=frames, zero_padded=zero_padded
        )
    window = head.window_frames if window_s is None else frames_of(window_s, name="window_s")
    hop = frames_of(hop_s, name="hop_s") if hop_s is not None else head.hop_frames
    if hop_s is None and window % hop:
        hop = 1  # the head's own hop belongs to its own window
    if window % hop:
        raise OptionError(
            f"hop_s is {hop * FRAME_S:g} and the window {window * FRAME_S:g} s; "
            "the hop must divide the window"
        )
    return TagWindows(window_frames=window, hop_frames=hop, row_frames=1, zero_padded=zero_padded)
