"""The few words that a picture says of itself, the same on paper and on a page."""

from tercet.picture.scene import Scene
from tercet.text.languages import LANGUAGES
from tercet.text.timeline import clock


def is_part(scene: Scene) -> bool:
    """Whether there is more of the recording than what is shown."""
    return scene.start_s > 0 or scene.total_s is None or scene.total_s > scene.end_s + 0.5


def subtitle(scene: Scene) -> str:
    """Which stretch of the recording is shown, and in which language somebody speaks."""
    length_s = scene.end_s - scene.start_s
    parts = [f"{length_s:.1f} s" if length_s < 60 else tick_text(round(length_s))]
    if is_part(scene):
        whole = "" if scene.total_s is None else f" of {tick_text(scene.total_s)}"
        parts = [f"{tick_text(scene.start_s)} to {tick_text(scene.end_s)}{whole}"]
    if scene.language in LANGUAGES:
        parts.append(LANGUAGES[scene.language].title())
    if scene.strip is not None and len(scene.strip.ids):
        parts.append(f"{len(scene.strip.ids)} speech tokens")
    return "  ·  ".join(parts)


def lane_note(scene: Scene) -> str:
    """What is said of sounds that have no lane."""
    if scene.lanes is not None and not scene.lanes:
        return "no sound event found"
    n = scene.hidden_lanes
    return f"{n} more sound{'s' if n > 1 else ''} not shown" if n else ""


def tick_text(seconds: float) -> str:
    """`0:05`, `0:05.5`, `1:00:05`."""
    whole = clock(seconds)
    return whole.removesuffix(".0")


def short_label(label: str) -> str:
    """A sound's name without its synonyms: AudioSet writes "Crowing, cock-a-doodle-doo"."""
    return label.partition(",")[0].strip() or label
