"""The figures of `tercet eval probe` as one picture, and error rates by noise as another."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercet.cli.plots import save_plot

if TYPE_CHECKING:
    from tercet.evaluate.layers import LayerFigures
    from tercet.evaluate.noisy_speech import NoisyFigures
    from tercet.evaluate.probe_report import ProbeReport
    from tercet.evaluate.text.report import TextReport


def draw_noise(reports: "Mapping[str, TextReport]", path: Path) -> None:
    """Error rates by level, a panel for each noise and a line with its interval for each model.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure  # no pyplot: no window, no state that others share

    kinds = list(dict.fromkeys(level.noise for each in reports.values() for level in each.noise))
    figure = Figure(figsize=(5.5 * len(kinds), 4), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        for number, (name, report) in enumerate(reports.items()):
            levels = sorted(
                (each for each in report.noise if each.noise == kind), key=lambda each: each.snr_db
            )
            at = [each.snr_db for each in levels]
            style = {"color": f"C{number}"}
            axes.plot(at, [100 * each.rate.rate for each in levels], "o-", label=name, **style)
            ends = [each.rate.interval for each in levels]
            low, high = [100 * end.low for end in ends], [100 * end.high for end in ends]
            axes.fill_between(at, low, high, alpha=0.15, **style)
            axes.axhline(100 * report.all.headline.rate, linestyle=":", **style)
        axes.set(title=f"{kind} noise", xlabel="speech over noise, dB")
        axes.legend()
    first = next(iter(reports.values())).all.scores.headline.upper()
    panels[0].set(ylabel=f"{first}, % (dotted: clean)", ylim=(0, None))
    save_plot(figure, path)


def draw_probe(report: "ProbeReport", path: Path) -> None:
    """Accuracy by layer and the histogram of best layers; with speech, noise levels and classes below.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure  # no pyplot: no window, no state that others share

    rows = 1 if report.noisy is None else 3
    figure = Figure(figsize=(11, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    _draw_layers(axes[0], report.layers)
    if report.noisy is not None:
        _draw_levels(axes[1], report.noisy)
        _draw_classes(axes[2], report.noisy)
    save_plot(figure, path)


def _draw_layers(axes: Any, layers: "LayerFigures") -> None:
    numbers = range(1, layers.n_layers + 1)
    accuracies = [100 * each for each in layers.accuracies]
    axes[0].plot(numbers, accuracies[:-1], "o-", label="a layer")
    axes[0].axhline(accuracies[-1], linestyle=":", color="gray", label="mean of all layers")
    axes[0].set(xlabel="layer", ylabel="probe's accuracy, %", xticks=list(numbers))
    axes[0].legend()
    axes[1].bar(list(numbers), layers.histogram)
    axes[1].set(xlabel="layer", ylabel="classes it is best for", xticks=list(numbers))
    axes[1].yaxis.get_major_locator().set_params(integer=True)


def _draw_levels(axes: Any, noisy: "NoisyFigures") -> None:
    """All classes together thick, each thin."""
    levels = sorted(noisy.snrs_db)
    for name in noisy.names:
        style = {"linewidth": 0.8, "alpha": 0.6, "label": name}
        axes[0].plot(levels, [100 * noisy.words[name, snr].rate for snr in levels], **style)
        shares = [100 * noisy.known[name, snr] / noisy.utterances for snr in levels]
        axes[1].plot(levels, shares, **style)
    black = {"color": "black", "linewidth": 2.0, "label": "all"}
    axes[0].plot(levels, [100 * noisy.word_error_rate(snr) for snr in levels], **black)
    axes[0].axhline(100 * noisy.clean.rate, linestyle=":", color="gray")
    axes[1].plot(levels, [100 * noisy.accuracy(snr) for snr in levels], **black)
    axes[0].set(xlabel="speech over sound, dB", ylabel="WER, %")
    axes[1].set(xlabel="speech over sound, dB", ylabel=f"named by layer {noisy.layer}, %")
    axes[1].legend(fontsize=7, bbox_to_anchor=(1.0, 1.0), loc="upper left")


def _draw_classes(axes: Any, noisy: "NoisyFigures") -> None:
    low, high = noisy.lost_between_db
    lost = noisy.words_lost
    told = f"WER at {low:g} dB less at {high:g} dB, points"
    for name in noisy.names:
        at = (noisy.last_layer_f1[name], 100 * lost[name])
        axes[0].plot(*at, "o", color="tab:blue")
        axes[0].annotate(name, at, fontsize=7)
    axes[0].set(xlabel="F1 of the last layer's probe", ylabel=told)
    if noisy.correlation is not None:
        axes[0].set_title(f"r = {noisy.correlation:.2f}", fontsize=10)
    ranked = sorted(noisy.names, key=lambda name: lost[name])
    axes[1].barh(ranked, [100 * lost[name] for name in ranked])
    axes[1].set(xlabel=told)
    axes[1].tick_params(axis="y", labelsize=7)
