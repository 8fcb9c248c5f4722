"""The figures of `tercet eval probe`, as lines for people and as JSON. Nothing is heard here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tercet.evaluate.layers import LayerFigures
from tercet.evaluate.noisy_speech import NoisyFigures

_BAR = 40  # letters of a full bar


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What the layers know of sounds; with speech, what sounds do to words."""

    layers: LayerFigures
    noisy: NoisyFigures | None = None

    def to_json(self) -> dict[str, Any]:
        """Every figure by name. Shares, not percents."""
        layers = self.layers
        return {
            "sounds": layers.rows,
            "left_out": layers.left_out,
            "held_out": list(layers.held_out),
            "layers": [
                {"layer": name, "right": right, "accuracy": accuracy}
                for name, right, accuracy in zip(
                    _layer_names(layers), layers.right, layers.accuracies, strict=True
                )
            ],
            "best_layer": layers.best_layer,
            "histogram": list(layers.histogram),
            "classes": {
                name: {
                    "sounds": layers.counts[number],
                    "best_layer": layers.best_by_class[name],
                    "f1_by_layer": layers.f1[number].tolist(),
                }
                for number, name in enumerate(layers.names)
            },
            "noisy_speech": None if self.noisy is None else _noisy_json(self.noisy),
        }

    def lines(self) -> list[str]:
        """For people: layers, classes, then noise levels."""
        return [
            *_layer_lines(self.layers),
            *([] if self.noisy is None else _noisy_lines(self.noisy)),
        ]


def _layer_names(layers: LayerFigures) -> list[str]:
    return [*map(str, range(1, layers.n_layers + 1)), "mean"]


def _layer_lines(layers: LayerFigures) -> list[str]:
    told = f" ({layers.left_out} rows left out)" if layers.left_out else ""
    lines = [
        f"sounds               {layers.rows} of {len(layers.names)} classes{told}",
        f"held out             {', '.join(layers.held_out)}",
        "",
        f"{'layer':<6} {'accuracy':>8} {'best for':>8}",
    ]
    best_for = [*map(str, layers.histogram), ""]
    for name, accuracy, n in zip(_layer_names(layers), layers.accuracies, best_for, strict=True):
        lines.append(f"{name:<6} {100 * accuracy:>6.1f} % {n:>8} {'#' * round(_BAR * accuracy)}")
    last = layers.n_layers
    lines += ["", f"{'class':<34} {'n':>5} {'best layer':>10} {'F1':>6} {f'F1 of {last}':>8}"]
    for number, name in enumerate(layers.names):
        best = layers.best_by_class[name]
        f1 = layers.f1[number]
        lines.append(
            f"{name:<34.34} {layers.counts[number]:>5} {best:>10} {f1[best - 1]:>6.3f} {f1[last - 1]:>8.3f}"
        )
    return lines


def _noisy_lines(noisy: NoisyFigures) -> list[str]:
    low, high = noisy.lost_between_db
    lines = [
        "",
        f"{noisy.utterances} utterances, each with a sound of each class; WER without sounds "
        f"{100 * noisy.clean.rate:.2f} %",
        *_level_table(
            noisy, "WER, %", noisy.word_error_rate, lambda name, snr: noisy.words[name, snr].rate
        ),
        *_level_table(
            noisy,
            f"named by layer {noisy.layer}, %",
            noisy.accuracy,
            lambda name, snr: noisy.known[name, snr] / noisy.utterances,
        ),
    ]
    if noisy.correlation is not None:
        lines += [
            "",
            f"a class's F1 in the last layer, and its WER at {low:g} dB less that at {high:g} dB: "
            f"r = {noisy.correlation:.2f}",
        ]
    return lines


def _level_table(
    noisy: NoisyFigures,
    title: str,
    of_all: Callable[[float], float],
    of_class: Callable[[str, float], float],
) -> list[str]:
    """A column for each level, a row for all classes together and for each."""
    levels = noisy.snrs_db
    rows = [("all", [of_all(snr) for snr in levels])]
    rows += [(name, [of_class(name, snr) for snr in levels]) for name in noisy.names]
    head = "".join(f"{f'{snr:g} dB':>8}" for snr in levels)
    lines = ["", f"{title:<26}{head}"]
    for name, cells in rows:
        lines.append(f"{name:<26.26}" + "".join(f"{100 * cell:>8.1f}" for cell in cells))
    return lines


def _noisy_json(noisy: NoisyFigures) -> dict[str, Any]:
    low, high = noisy.lost_between_db
    return {
        "utterances": noisy.utterances,
        "layer": noisy.layer,
        "clean_wer": noisy.clean.rate,
        "levels": [
            {
                "snr_db": snr,
                "wer": noisy.word_error_rate(snr),
                "accuracy": noisy.accuracy(snr),
                "classes": {
                    name: {
                        "wer": noisy.words[name, snr].rate,
                        "accuracy": noisy.known[name, snr] / noisy.utterances,
                    }
                    for name in noisy.names
                },
            }
            for snr in noisy.snrs_db
        ],
        "words_lost": {"from_db": high, "to_db": low, "classes": noisy.words_lost},
        "last_layer_f1": dict(noisy.last_layer_f1),
        "correlation": noisy.correlation,
    }
