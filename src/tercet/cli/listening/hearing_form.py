"""How what was heard is written: a transcript as ever; with more readings, all of them in json and jsonl.

The single readings are rendered by `text.captions`, `text.event_formats` and `dataset.token_files`.
"""

import json
from collections.abc import Mapping, Sequence

from tercet.cli.listening.results import Form
from tercet.results import Hearing, SpeechTokens, Transcript
from tercet.text import captions

Extra = Mapping[str, str]
# Formats that have something to say where no text is asked for.
WITHOUT_TEXT = ("txt", "json", "jsonl")


def of_text(formats: Sequence[str]) -> list[str]:
    """The formats that hold text and nothing else."""
    return [name for name in formats if name not in WITHOUT_TEXT]


def render(value: Transcript | Hearing, format_name: str, extra: Extra) -> str:
    """One result in one of `captions.FORMATS`; `extra` are further keys of its JSON."""
    if isinstance(value, Transcript):
        return _transcript(value, format_name, extra)
    if format_name == "json":
        return _json(value, extra)
    if format_name == "jsonl":
        return _json_lines(value, extra)
    if value.transcript is not None:
        return captions.render(value.transcript, format_name)
    # Without text, txt shows what there is instead.
    return _events(value, format_name, extra) + _tokens(value, format_name)


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


FORM = Form(render=render, joinable=("txt", "json", "jsonl"), live=("txt", "jsonl"))
