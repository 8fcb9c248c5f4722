"""What heads cost per 30 s of audio, at the size of base, medium and large: which engine should run them.

usage: python benchmarks/tag_heads.py [--threads 2] [--repeats 7] [--sizes base,medium,large]
           [--out benchmarks/results/tag_heads.json]

Random heads on random taps: TL-Tr, TL-Tr(512), WA-Tr, WA-MLP with AudioSet's 527 labels, windows of 10 s
side by side (3 in 30 s) and of 2 s every 0.4 s (75); the quantizer's way from states to codes. Each in
ONNX Runtime and in OpenVINO, matrices in float32 and in 8 bits by rows. Base's encoder (shipped int8)
takes its turn among them: medians, as milliseconds on the wall and of CPU time, and the latter as a share
of the encoder's, which for other sizes is base's by operations. The first milliseconds are of one shape,
for which OpenVINO has a program of its own; "lengths in turn" (base alone) meets windows of 24 to 30 s
one after the other, which is what a recording gives, and counts 30 s. Sizes beyond base have half the
rounds. "error" is the relative one of the logits, or the share of codes that are others.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from interleaved import Times, interleaved
from made_heads import MODES, mode_head, quantizer
from speed import chapter, machine

import tercet
from tercet.audio.convention import SHARED, window_mel
from tercet.checkpoint.heads import Quantizer, TagHead
from tercet.convert import quantizer as quantizer_graphs
from tercet.convert.export import Build
from tercet.convert.layers import add_projection
from tercet.convert.tag_head import tag_head_graph
from tercet.engine.graph_coder import code_bias
from tercet.engine.graph_tag_scorer import GraphTagScorer
from tercet.engine.onnx import OnnxGraph
from tercet.engine.openvino import OpenVinoGraph
from tercet.engine.protocol import OpenGraph

SIZES = {"base": (6, 512), "medium": (24, 1024), "large": (32, 1280)}  # encoder blocks, width
WINDOWS = {"10 s / 10 s": (25, 25), "2 s / 0.4 s": (5, 1)}  # frames of 0.4 s: window, hop
FRAMES = 75  # taps of 30 s
FREE = (75, 62, 71, 68, 74, 60, 73, 65)  # taps of windows that were cut in pauses
FREE_MARK = ": free"
MOST_LAYERS_IN_TURN = 6  # base's: for large it would take half an hour
Run = Callable[[], Any]
Row = dict[str, Any]


class Encoder(NamedTuple):
    """Base's encoder, how many times its operations the encoder in question has, how often all is run."""

    run: Run
    operations: float
    rounds: int


def encoder_operations(layers: int, width: int, n_mels: int = 80) -> float:
    """Multiply-accumulates of one 30 s window."""
    stem = 3 * width * (3000 * n_mels + 1500 * width)
    return stem + layers * (12 * 1500 * width**2 + 2 * 1500**2 * width)


def graphs(build: Build, usual: dict[str, tuple[int, ...]], threads: int) -> dict[str, OpenGraph]:
    """The same graph on each engine."""
    settings = {"threads": threads, "arithmetic": "f32"}
    return {
        "ONNX Runtime": OnnxGraph(build(store=lambda _, array: array), threads=threads),
        "OpenVINO": OpenVinoGraph(build, usual=usual, **settings),
    }


def spans(frames: int, window: int, hop: int) -> np.ndarray:
    """The windows that begin in so many frames, each whole: the taps before them were kept."""
    starts = np.arange(0, frames, hop)
    starts = starts[starts + window <= frames + window - hop]
    return starts[:, None] + np.arange(window)


def tag_runs(
    head: TagHead, taps: np.ndarray, window: int, hop: int, threads: int
) -> tuple[dict[str, Run], dict[str, np.ndarray]]:
    """Runs over one fixed shape, and (": free" in their names) over shapes in turn; logits."""
    most = FRAMES + window - hop
    windows = spans(FRAMES, window, hop)
    usual = {"taps": (len(taps), most, head.width), "windows": windows.shape}
    runs: dict[str, Run] = {}
    logits = {}
    for kind in ("float", "rows"):
        build = partial(tag_head_graph, head, kind=kind)
        for engine, graph in graphs(build, usual, threads).items():
            way = f"{engine}, {kind}"
            scorer = GraphTagScorer(graph, head)
            runs[way] = partial(scorer.score, taps[:, :most], windows)
            if len(taps) <= MOST_LAYERS_IN_TURN:
                runs[way + FREE_MARK] = partial(score_all, scorer, taps, window, hop)
            logits[way] = scorer.score(taps[:, :most], windows)
    return runs, logits


def score_all(scorer: GraphTagScorer, taps: np.ndarray, window: int, hop: int) -> None:
    """Windows of different lengths, one after the other."""
    for frames in FREE:
        whole = frames - frames % hop
        scorer.score(taps[:, : whole + window - hop], spans(whole, window, hop))


def tag_rows(
    layers: int, width: int, encoder: Encoder, options: argparse.Namespace
) -> Iterator[Row]:
    """One row for each head, window and way of running it."""
    rng = np.random.default_rng(0)
    taps = rng.normal(size=(layers, FRAMES + 5, width)).astype(np.float32)
    for mode in MODES:
        if mode == "TL-Tr(512)" and width == 512:
            continue  # there is nothing to project
        head = mode_head(mode, width, layers)
        for name, (window, hop) in WINDOWS.items():
            runs, logits = tag_runs(head, taps, window, hop, options.threads)
            times = interleaved({"encoder": encoder.run} | runs, encoder.rounds)
            exact = logits["ONNX Runtime, float"]
            for way, heard in logits.items():
                error = np.linalg.norm(heard - exact) / np.linalg.norm(exact)
                free = times.get(way + FREE_MARK)
                yield {
                    "head": mode,
                    "windows": name,
                    "way": way,
                    **figures(times[way], times["encoder"], encoder.operations),
                    **(in_turn(free) if free else {}),
                    "error": float(error),
                }


def in_turn(times: Times) -> Row:
    """Of 30 s."""
    share = 1000 * FRAMES / sum(FREE)
    return {"free_ms": share * times.median_s, "free_cpu_ms": share * times.median_cpu_s}


def figures(own: Times, encoder: Times, operations: float) -> Row:
    """`operations`: what the encoder of this size has, where base's is 1."""
    return {
        "ms": 1000 * own.median_s,
        "cpu_ms": 1000 * own.median_cpu_s,
        "base_encoder_ms": 1000 * encoder.median_s,
        "base_encoder_cpu_ms": 1000 * encoder.median_cpu_s,
        "share": own.median_s / encoder.median_s / operations,
        "cpu_share": own.median_cpu_s / encoder.median_cpu_s / operations,
    }


def encode_by_rows(head: Quantizer, *, store: Callable[..., np.ndarray]) -> object:
    """The quantizer's graph with the MLP in 8 bits; the rest, in which codes are decided, in float32."""

    def by_rows(*arguments: object) -> str:
        builder, matrices, value, name, kind = arguments
        kind = "rows" if str(name).startswith("mlp.") else kind
        return add_projection(builder, matrices, value, name, kind)

    with mock.patch.object(quantizer_graphs, "add_projection", by_rows):
        return quantizer_graphs.encode_graph(head, store=store)


def code_rows(
    width: int, states: np.ndarray, encoder: Encoder, options: argparse.Namespace
) -> Iterator[Row]:
    """The quantizer's way to codes, likewise."""
    head = quantizer(width)
    bias = code_bias(head, allow_mask=False)
    usual = {"states": states.shape, "code_bias": bias.shape}
    builds = {
        "float": partial(quantizer_graphs.encode_graph, head),
        "MLP by rows": partial(encode_by_rows, head),
    }
    opened = {
        f"{engine}, {kind}": graph
        for kind, build in builds.items()
        for engine, graph in graphs(build, usual, options.threads).items()
    }
    inputs = {"states": states, "code_bias": bias}
    codes = {way: graph.run(inputs)["codes"] for way, graph in opened.items()}
    runs = {way: partial(graph.run, inputs) for way, graph in opened.items()}
    times = interleaved({"encoder": encoder.run} | runs, encoder.rounds)
    exact = codes["ONNX Runtime, float"]
    for way, heard in codes.items():
        yield {
            "head": "quantizer",
            "windows": "30 s",
            "way": way,
            **figures(times[way], times["encoder"], encoder.operations),
            "error": float(np.mean(heard != exact)),
        }


def base_encoder(threads: int) -> tuple[Run, np.ndarray]:
    """The shipped encoder over one real window, and its states [1, 1500, 512]."""
    model = tercet.load_model("base", threads=threads, tags="none", tokens="none")
    mel = window_mel(chapter(30.0), SHARED, n_mels=80, floor_max=None)
    run = partial(model._instruments.encoder.encode, mel, real_frames=1500)
    return run, np.asarray(run().states)[None]


def told(row: Row) -> str:
    free = f"{row['free_ms']:.1f} / {row['free_cpu_ms']:.1f}" if "free_ms" in row else ""
    return (
        f"| {row['size']} | {row['head']} | {row['windows']} | {row['way']} | {row['ms']:.1f} / "
        f"{row['cpu_ms']:.1f} | {free} | {100 * row['cpu_share']:.2f} % | {row['error']:.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", default="base,medium,large")
    parser.add_argument("--out", default="benchmarks/results/tag_heads.json")
    options = parser.parse_args()
    record = machine(options.threads) | {
        "rounds": options.rounds,
        "load_before": os.getloadavg(),
        "rows": [],
    }
    run, states = base_encoder(options.threads)
    print("| encoder | head | windows | way | ms / CPU ms | lengths in turn | CPU share | error |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes.split(","):
        layers, width = SIZES[size]
        operations = encoder_operations(layers, width) / encoder_operations(*SIZES["base"])
        rounds = options.rounds if size == "base" else -(-options.rounds // 2)
        encoder = Encoder(run, operations, rounds)
        if width != states.shape[2]:
            states = np.random.default_rng(0).normal(size=(1, 1500, width)).astype(np.float32)
        for rows in (tag_rows, code_rows):
            given = (layers, width) if rows is tag_rows else (width, states)
            for found in rows(*given, encoder, options):
                row = {"size": size} | found
                record["rows"].append(row)
                print(told(row), flush=True)
    record["load_after"] = os.getloadavg()
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
