"""What a run writes for people beside its head: report.md, report.json, and plots."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tercet.checkpoint.heads import TagHead
from tercet.convert.tag_head import layer_shares
from tercet.errors import OutputError
from tercet.train.tags.figures import EventFigures, Figures

_LABELS_SHOWN = 60  # of 527, a plot shows the ends

ByLabel = Mapping[str, tuple[float, float, float]]  # average precision, AUC, d-prime


def write_report(
    folder: Path,
    head: TagHead,
    by_label: ByLabel,
    metrics: Mapping[str, float],
    figures: Figures | None,
) -> None:
    """Write report.json, report.md and, where matplotlib is installed, report.png.

    Args:
        folder: The run's.
        head: What was trained.
        by_label: Of validation's windows.
        metrics: Their means.
        figures: On development scenes; None where clips were trained on.

    Raises:
        OutputError: the disk is full.
    """
    told = {
        "mode": head.mode,
        "window_frames": head.window_frames,
        "hop_frames": head.hop_frames,
        "validation": dict(metrics),
        "by_label": {
            label: dict(zip(("average_precision", "auc", "d_prime"), values, strict=True))
            for label, values in by_label.items()
        },
        "development": None if figures is None else figures.to_json(),
    }
    _write(folder / "report.json", json.dumps(_finite(told), indent=1, ensure_ascii=False) + "\n")
    _write(folder / "report.md", "\n".join(_lines(head, by_label, metrics, figures)) + "\n")
    try:
        import matplotlib
    except ModuleNotFoundError:  # extra `eval`
        return
    matplotlib.use("Agg")
    _plot(folder / "report.png", folder / "metrics.jsonl", head, by_label)


def figures_table(figures: Figures) -> list[str]:
    """The development figures as a table in Markdown."""
    rows = [
        ("held-out clips whose label is the highest (mean of frames)", str(figures.accuracy)),
        ("the same by the highest frame", str(figures.accuracy_by_max)),
        ("Speech found in utterances", str(figures.speech_found)),
        ("Speech found in other clips, silence, noise, tones", str(figures.speech_falsely)),
        *_event_rows("in quiet", figures.quiet),
        *_event_rows("under speech", figures.spoken),
        ("Speech among sounds: F1, 1 s collar", f"{figures.speech_in_spoken.f1:.3f}"),
    ]
    return [
        "| figure | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
    ]


def _event_rows(where: str, events: EventFigures) -> list[tuple[str, str]]:
    f1 = f"{events.f1:.3f} (precision {events.precision:.3f}, recall {events.recall:.3f})"
    return [
        (f"sounds {where}: found", str(events.heard)),
        (f"sounds {where}: median onset error", f"{events.median_onset_error_s:.2f} s"),
        (f"sounds {where}: event F1, 1 s collar", f1),
        (f"sounds {where}: mean of the labels' F1", f"{events.macro_f1:.3f}"),
    ]


def _lines(
    head: TagHead, by_label: ByLabel, metrics: Mapping[str, float], figures: Figures | None
) -> list[str]:
    lines = [
        f"# Tag head {head.origin.name}",
        "",
        f"Mode {head.mode}, {head.n_labels} labels, windows of {head.window_frames} frames every "
        f"{head.hop_frames} (0.4 s each).",
        "",
        "Validation windows: "
        + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()),
        "",
    ]
    if figures is not None:
        lines += [*figures_table(figures), "", *_label_table(figures, by_label), ""]
        lines += [f"- {key}: {true} was heard as {heard}" for key, true, heard in figures.wrong]
        return lines
    lines += ["| label | average precision | AUC | d' |", "| --- | --- | --- | --- |"]
    return lines + [
        f"| {label} | {values[0]:.3f} | {values[1]:.3f} | {values[2]:.2f} |"
        for label, values in sorted(by_label.items(), key=lambda each: -each[1][0])
    ]


def _label_table(figures: Figures, by_label: ByLabel) -> list[str]:
    lines = [
        "| label | threshold | clips | found in quiet | F1 | found under speech | F1 | frames' AP |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, threshold in figures.thresholds.items():
        cells = [
            label,
            f"{threshold:.3f}",
            figures.accuracy_by_label.get(label, ""),
            figures.quiet.heard_by_label.get(label, ""),
            _number(figures.quiet.f1_by_label.get(label)),
            figures.spoken.heard_by_label.get(label, ""),
            _number(figures.spoken.f1_by_label.get(label)),
            _number(by_label[label][0] if label in by_label else None),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _plot(path: Path, metrics_path: Path, head: TagHead, by_label: ByLabel) -> None:
    """Loss and mAP over steps, average precision by label, and what each layer counts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    curves, precisions, layers = figure.subplots(3, 1, height_ratios=(1, 1.4, 0.7))
    rows = _logged(metrics_path)
    for name, axis in (("loss", curves), ("valid/map", curves.twinx())):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            color = "tab:blue" if name == "loss" else "tab:orange"
            axis.plot(*zip(*points, strict=True), color=color)
            axis.set_ylabel(name, color=color)
    curves.set_xlabel("step")
    shown = sorted(by_label.items(), key=lambda each: -each[1][0])
    if len(shown) > _LABELS_SHOWN:
        shown = [*shown[: _LABELS_SHOWN // 2], *shown[-_LABELS_SHOWN // 2 :]]
    precisions.bar([label for label, _ in shown], [values[0] for _, values in shown])
    precisions.tick_params(axis="x", rotation=90)
    precisions.set_ylabel("average precision")
    if head.layers == "weighted":
        shares = layer_shares(head)
        layers.bar(np.arange(1, len(shares) + 1), shares)
        layers.set_xlabel("encoder block")
        layers.set_ylabel("share")
    else:
        layers.set_axis_off()
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}; free some space") from None


def _logged(path: Path) -> Sequence[Mapping[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _finite(value: Any) -> Any:
    """NaN, which JSON does not have, as null."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    """Under a temporary name first."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror or error}; free some space") from None
