"""Calls for single recordings, made for many: whose progress is told, whose error is whose."""

import pytest

from tercet.cli.inputs import Input
from tercet.cli.listening.one_by_one import one_by_one
from tercet.errors import EmptyAudioError, HeadError, LabelError, SourceOptionError
from tercet.results import Progress, Transcript

INPUTS = [Input("a.wav", None), Input("b.wav", None)]


def transcript(text: str) -> Transcript:
    return Transcript(
        text=text, segments=(), language="en", language_probability=None, duration_s=2.0
    )


def test_each_recordings_progress_is_told_under_its_own_place():
    told = []

    def call(source, *, on_progress, channel):
        on_progress(Progress(0, 1.0, 2.0))
        return transcript(f"{source} {channel}")

    outcomes = dict(one_by_one(call, INPUTS, told.append, {"channel": 1}))
    assert ["a.wav 1", "b.wav 1"] == [outcomes[index][0].value.text for index in (0, 1)]
    assert [Progress(0, 1.0, 2.0), Progress(1, 1.0, 2.0)] == told


def test_a_recording_that_cannot_be_heard_harms_no_other_and_a_missing_head_all():
    def call(source, *, on_progress):
        if source == "a.wav":
            raise EmptyAudioError("a.wav: is empty")
        raise HeadError("no head")

    outcomes = one_by_one(call, INPUTS, lambda _: None, {})
    index, error = next(outcomes)
    assert (0, EmptyAudioError) == (index, type(error))
    with pytest.raises(HeadError):
        next(outcomes)


def test_an_option_that_one_recording_cannot_do_harms_no_other_and_a_wrong_one_all():
    def call(source, *, on_progress):
        if source == "a.wav":
            raise SourceOptionError("a.wav: match 'whisper-at' reads it twice")
        raise LabelError("label 'Bakr' is unknown")

    outcomes = one_by_one(call, INPUTS, lambda _: None, {})
    index, error = next(outcomes)
    assert (0, SourceOptionError) == (index, type(error))
    with pytest.raises(LabelError):
        next(outcomes)
