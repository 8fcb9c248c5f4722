"""What a filter left out, and why, for people: filter.md, filter.json and, with matplotlib, filter.png."""

import json
from importlib.util import find_spec
from pathlib import Path

from tercet.dataset.shard_files import write_fault
from tercet.dataset.whole_file import whole_file
from tercet.labelling.filtering import Filtered

_BINS = 40
_MOST_WER_SHOWN = 1.0  # the last bin holds what is above


def write_report(folder: Path, filtered: Filtered) -> None:
    """Write the report's files, each in one step.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        _write(folder / "filter.json", json.dumps(filtered.to_json(), indent=1) + "\n")
        _write(folder / "filter.md", "\n".join(lines(filtered)) + "\n")
        if find_spec("matplotlib") is not None:
            _draw(folder / "filter.png", filtered)
    except OSError as error:
        raise write_fault(folder, error) from None


def lines(filtered: Filtered) -> list[str]:
    """A table in Markdown: windows and hours (or minutes), kept and left out by reason."""
    rule, n = filtered.rule, max(1, filtered.windows)
    unit, unit_s = ("hours", 3600) if filtered.total_s >= 3600 else ("minutes", 60)
    rows = [("kept", filtered.kept, filtered.kept_s)]
    rows += [(reason, *counts) for reason, counts in filtered.reasons.items()]
    told = [
        f"Kept {filtered.kept} of {filtered.windows} windows, {filtered.kept_s / unit_s:.2f} of "
        f"{filtered.total_s / unit_s:.2f} {unit}.",
        "",
        f"| | windows | share | {unit} |",
        "| --- | --- | --- | --- |",
    ]
    told += [
        f"| {name} | {windows} | {100 * windows / n:.1f} % | {seconds / unit_s:.2f} |"
        for name, windows, seconds in rows
    ]
    letters = "" if rule.most_cer is None else f", CER {100 * rule.most_cer:g} %"
    told += [
        "",
        f"Limits: WER {100 * rule.most_wer:g} %{letters}, mean log-probability {rule.least_logprob:g}, "
        f"compression ratio {rule.most_compression:g}, speech {rule.least_speech_s:g} s"
        + (f", languages {', '.join(rule.languages)}" if rule.languages else "")
        + (", seams kept" if rule.keep_seams else "")
        + ".",
    ]
    return told


def _draw(path: Path, filtered: Filtered) -> None:
    """Histograms of what the limits cut: error rates where there are references, log-probabilities."""
    from matplotlib.figure import Figure  # no pyplot: no window, no state that others share

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    wers = [100 * min(each, _MOST_WER_SHOWN) for each in filtered.wers]
    left.hist(wers, bins=_BINS, range=(0, 100 * _MOST_WER_SHOWN))
    left.axvline(100 * filtered.rule.most_wer, color="tab:red", label="limit")
    left.set(xlabel="WER against the reference, % (100: and above)", ylabel="windows")
    left.legend()
    right.hist(filtered.logprobs, bins=_BINS)
    right.axvline(filtered.rule.least_logprob, color="tab:red", label="limit")
    right.set(xlabel="mean log-probability of a token", ylabel="windows")
    right.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
