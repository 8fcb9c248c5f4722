"""Labels and rows to begin with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tercet.dataset.label_table import Label, Span, TimedText
from tercet.dataset.manifests import Row

GOOD = Label(
    id="a-1",
    recording="a-1",
    is_last=True,
    spans=(Span("a.wav", 0.0, 4.0, 0.0),),
    duration_s=4.0,
    speech_s=3.5,
    cut="end",
    speaker="s",
    previous=None,
    language="en",
    language_probability=0.9,
    text="The birch canoe slid.",
    text_ids=(50364, 440, 50564),
    segments=(TimedText(0.0, 4.0, "The birch canoe slid."),),
    avg_logprob=-0.2,
    compression_ratio=1.1,
    no_speech_prob=0.01,
    temperature=0.0,
    is_cut_off=False,
    fault=None,
    reference=None,
    reference_of=None,
    extra={"domain": "read"},
    teacher="base",
    encoder="0" * 64,
    settings="1" * 16,
)


@pytest.fixture
def label_of() -> Callable[..., Label]:
    """`label_of(text="..")`: a good label of 4 s, but for what is said."""

    def make(**changes: Any) -> Label:
        if "id" in changes:
            changes.setdefault("recording", changes["id"])
        return replace(GOOD, **changes)

    return make


@pytest.fixture
def row_of() -> Callable[..., Row]:
    """`row_of("a.wav", 4.0, speaker="s")`."""

    def make(name: str, duration_s: float | None, **changes: Any) -> Row:
        return Row(audio=Path("/data") / name, duration_s=duration_s, **changes)

    return make
