"""What is said of results on stderr: that nothing was found; with --verbose, what and when. Prints none."""

from tercet.cli.inputs import Input
from tercet.cli.listening.progress import Screen, clock_text
from tercet.results import Hearing, SoundEvents, SpeechTokens, Transcript
from tercet.text.captions import timestamp

Told = Transcript | SoundEvents | SpeechTokens


def readings_in(value: object) -> list[Told]:
    """The single readings of a result."""
    if isinstance(value, Hearing):
        parts = (value.transcript, value.tags, value.speech_tokens)
        return [part for part in parts if part is not None]
    return [value] if isinstance(value, Transcript | SoundEvents | SpeechTokens) else []


def is_empty(reading: Told) -> bool:
    """Whether nothing was found. No code at all is no find: sound was too short for one."""
    if isinstance(reading, Transcript):
        return not reading.segments
    return not len(reading)


def tell(reading: Told, entry: Input, screen: Screen, *, is_empty: bool) -> None:
    """The notes on a recording: that nothing was found; with --verbose its length and what it gave."""
    channel = "" if reading.channel is None else f", channel {reading.channel}"
    name = f"{entry.shown}{channel}"
    if is_empty:
        screen.note(f"{name}: {_absence(reading)}")
    screen.detail(f"{name}: {clock_text(reading.duration_s)}, {_summary(reading)}")


def tell_details(reading: Told, screen: Screen) -> None:
    """With --verbose, what was found when, and how each window was heard."""
    if isinstance(reading, Transcript):
        for segment in reading.segments:
            screen.detail(f"[{_times(segment.start, segment.end)}] {segment.text.strip()}")
        for window in reading.windows:
            if window.reason is not None:
                span = f"{window.start_s:.2f}-{window.end_s:.2f}"
                screen.detail(f"window {span} s: {window.reason}")
    elif isinstance(reading, SoundEvents):
        for event in reading:
            times = _times(event.start_s, event.end_s)
            screen.detail(f"[{times}] {event.label} ({event.score:.2f})")


def _times(start_s: float, end_s: float) -> str:
    return " --> ".join(
        timestamp(seconds, always_hours=False, decimal_mark=".") for seconds in (start_s, end_s)
    )


def _absence(reading: Told) -> str:
    if isinstance(reading, Transcript):
        return "no speech found"
    return "no sound event found" if isinstance(reading, SoundEvents) else "too short for a token"


def _summary(reading: Told) -> str:
    if isinstance(reading, SoundEvents):
        return f"{len(reading)} sound events"
    if isinstance(reading, SpeechTokens):
        codebook = f" of codebook {reading.codebook}" if reading.codebook else ""
        return f"{len(reading)} speech tokens{codebook}"
    known = reading.language_probability
    language = reading.language if known is None else f"{reading.language} ({known:.2f})"
    return f"language {language}"
