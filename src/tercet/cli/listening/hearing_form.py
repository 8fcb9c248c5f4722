"""How what was heard is written: a transcript as ever; with more readings, all of them in json and jsonl.

On a terminal, a timeline shows all of them to people. The single readings are rendered by `text.captions`,
`text.timeline`, `text.event_formats` and `dataset.token_files`.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from tercet.cli.listening.results import Form
from tercet.results import Hearing, SpeechTokens, Transcript
from tercet.text import captions
from tercet.text.sound_words import Names
from tercet.text.timeline import timeline, timeline_for_terminal

Extra = Mapping[str, str]
# Formats that have something to say where no text is asked for.
WITHOUT_TEXT = ("txt", "json", "jsonl")
TIMELINE = "timeline"


def of_text(formats: Sequence[str], sounds: str = "on") -> list[str]:
    """The formats that hold text and nothing else; with sounds="only", some hold sounds instead."""
    also = captions.SOUNDS_ALONE if sounds == "only" else ()
    return [name for name in formats if name not in (*WITHOUT_TEXT, TIMELINE, *also)]


def form_of(sounds: str, sound_names: Names | None, *, on_terminal: bool = False) -> Form:
    """How results are written where captions hold sounds, as `captions.render_heard` has it.

    With `on_terminal`, a timeline is wrapped and coloured for standard output.
    """
    # Cues of one part may grow in the next: as text, sounds alone are written when all are known.
    live = ("jsonl",) if sounds == "only" else FORM.live
    written = partial(render, sounds=sounds, sound_names=sound_names, on_terminal=on_terminal)
    return replace(FORM, render=written, live=live)


def render(
    value: Transcript | Hearing,
    format_name: str,
    extra: Extra,
    *,
    sounds: str = "on",
    sound_names: Names | None = None,
    on_terminal: bool = False,
) -> str:
    """One result as a timeline or in one of `captions.FORMATS`; `extra` are further keys of its JSON."""
    if format_name == TIMELINE:
        heard = _without_sounds(value) if sounds == "off" else _hearing_of(value)
        return (
            _on_terminal(heard, sound_names) if on_terminal else timeline(heard, names=sound_names)
        )
    if isinstance(value, Transcript):
        return _transcript(value, format_name, extra)
    if format_name == "json":
        return _json(value, extra)
    if format_name == "jsonl":
        return _json_lines(value, extra)
    if value.transcript is not None or sounds == "only":
        return captions.render_heard(value, format_name, sounds=sounds, sound_names=sound_names)
    # Without text, txt shows what there is instead.
    return _events(value, format_name, extra) + _tokens(value, format_name)


def _hearing_of(value: Transcript | Hearing) -> Hearing:
    if isinstance(value, Hearing):
        return value
    return Hearing(
        transcript=value,
        tags=None,
        speech_tokens=None,
        duration_s=value.duration_s,
        encoder_passes=(("text",),),
        channel=value.channel,
    )


def _without_sounds(value: Transcript | Hearing) -> Hearing:
    return replace(_hearing_of(value), tags=None)


def _on_terminal(heard: Hearing, names: Names | None) -> str:
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size().columns
    return timeline_for_terminal(heard, width=width, colour=colour, names=names)


def _transcript(transcript: Transcript, format_name: str, extra: Extra) -> str:
    if format_name == "json":
        return captions.json_object(transcript, extra)
    if format_name == "jsonl":
        return captions.json_lines(transcript, extra)
    return captions.render(transcript, format_name)


def _json(heard: Hearing, extra: Extra) -> str:
    value = heard.to_json()
    if heard.transcript is not None:
        # captions knows what JSON cannot hold; the rest holds none of it.
        value |= json.loads(captions.json_object(heard.transcript))
    return json.dumps({**value, **extra}, allow_nan=False)


def _json_lines(heard: Hearing, extra: Extra) -> str:
    """Segments, then events, then windows of codes; each line says which `kind` it is."""
    text = "" if heard.transcript is None else captions.json_lines(heard.transcript, extra)
    tokens = "" if heard.speech_tokens is None else _code_lines(heard.speech_tokens, extra)
    return (
        _with_kind("segment", text)
        + _with_kind("sound_event", _events(heard, "jsonl", extra))
        + tokens
    )


def _with_kind(kind: str, lines: str) -> str:
    return "".join(f'{{"kind": "{kind}", {line[1:]}\n' for line in lines.splitlines())


def _code_lines(tokens: SpeechTokens, extra: Extra) -> str:
    """One line per window, the same whether the recording is heard live or as a whole."""
    shared = {
        "codebook": tokens.codebook,
        "rate_hz": tokens.rate_hz,
        **({} if tokens.channel is None else {"channel": tokens.channel}),
        **extra,
    }
    return "".join(
        json.dumps({"kind": "speech_tokens", "start_s": start_s, "ids": ids.tolist(), **shared})
        + "\n"
        for start_s, ids in tokens.windows
        if len(ids)
    )


def _events(heard: Hearing, format_name: str, extra: Extra) -> str:
    if heard.tags is None:
        return ""
    from tercet.text import event_formats

    if format_name == "jsonl":
        return event_formats.json_lines(heard.tags, extra)
    return event_formats.render(heard.tags, format_name)


def _tokens(heard: Hearing, format_name: str) -> str:
    if heard.speech_tokens is None or not len(heard.speech_tokens):
        return ""
    from tercet.dataset.token_files import render_tokens

    return render_tokens(heard.speech_tokens, format_name)


FORM = Form(
    render=render,
    joinable=("txt", "json", "jsonl", TIMELINE),
    live=("txt", "jsonl", TIMELINE),
    extensions={TIMELINE: "timeline.txt"},  # beside txt's own file
)
