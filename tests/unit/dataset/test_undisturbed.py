"""Ctrl-C and SIGTERM wait while a shard is written, and then do what they do."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tercet.cli.ending import TERMINATED, ending_in_order
from tercet.dataset import shard_files
from tercet.dataset.label_table import Label, read_labels
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.undisturbed import undisturbed

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    ("number", "outcome"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_waits_for_the_end_of_the_block(
    number: signal.Signals, outcome: type[BaseException]
) -> None:
    reached = []

    def work() -> None:
        with undisturbed():
            signal.raise_signal(number)
            signal.raise_signal(number)
            reached.append("the end")
        reached.append("beyond")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(outcome), ending_in_order():
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ["the end"] == reached


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
        assert signal.SIG_IGN is signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(ValueError, match="as it is"), undisturbed():
        raise ValueError("as it is")
    assert before is signal.getsignal(signal.SIGTERM)


def test_other_threads_change_nothing() -> None:
    found = []

    def work() -> None:
        with undisturbed():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [signal.getsignal(signal.SIGTERM)] == found


@pytest.mark.parametrize("moment", ["_lock", "shard_paths", "_take_name"])
def test_sigterm_in_the_midst_of_writing_loses_no_label(
    tmp_path: Path,
    label_of: Callable[..., Label],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """While the file is made, numbered, and named."""
    folder = tmp_path / "out"
    real = getattr(shard_files, moment)
    writer = LabelWriter(folder, {})

    def disturbed(*given: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return real(*given)

    monkeypatch.setattr(shard_files, moment, disturbed)
    with pytest.raises(SystemExit) as ended, ending_in_order(), writer:
        writer.add([label_of(0), label_of(1)])
    assert TERMINATED == ended.value.code
    assert ["labels-00000.parquet"] == [each.name for each in folder.iterdir()]
    assert ["w0", "w1"] == [each.id for each in read_labels(folder)]
