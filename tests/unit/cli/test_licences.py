"""Licences that forbid something are told in one line. See licences.py."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.licences import licence_notes
from tercet.errors import LicenceWarning

Run = Callable[..., Any]
Make = Callable[..., Path]
LINE = "my-tags: CC-BY-NC-SA-4.0 forbids commercial use"


@pytest.fixture
def restricted(fake_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is loaded with a warning."""
    import tercet

    def load(*words: Any, **options: Any) -> Any:
        warnings.warn(LINE, LicenceWarning, stacklevel=2)
        return fake_model.load(*words, **options)

    monkeypatch.setitem(vars(tercet), "load_model", load)


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize("command", ["listen", "tag", "tokenize"])
def test_a_licence_is_one_note_each_time(run_tercet: Run, recordings: Make, command: str) -> None:
    recordings("a.mp3")
    for _ in range(2):
        assert f"note: {LINE}\n" == run_tercet(command, "a.mp3").err


@pytest.mark.usefixtures("restricted")
def test_quiet_leaves_it_out(run_tercet: Run, recordings: Make) -> None:
    recordings("a.mp3")
    assert "" == run_tercet("listen", "a.mp3", "--quiet").err


@pytest.mark.parametrize("action", ["ignore", "error", "once"])
def test_no_setting_of_python_hides_it_or_makes_it_an_error(action: Any) -> None:
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with licence_notes(quiet=False, show=told.append):
            warnings.warn(LINE, LicenceWarning, stacklevel=1)
    assert [f"note: {LINE}"] == told


def test_other_warnings_go_where_they_would() -> None:
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with licence_notes(quiet=False, show=told.append):
            warnings.warn("one\nmore", LicenceWarning, stacklevel=1)
            warnings.warn("another kind", DeprecationWarning, stacklevel=1)
    assert ["note: one more"] == told
    assert ["another kind"] == [str(each.message) for each in caught]
