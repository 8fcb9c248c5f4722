"""From a head's name to a head that reads: find the file, say its licence, check that it fits, open it.

What a name means is `hub.heads`'s concern, what a file holds `checkpoint.head_file`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tercet.checkpoint import Checkpoint
from tercet.checkpoint.adapter import AdaptedCheckpoint
from tercet.checkpoint.head_settings import option_of
from tercet.checkpoint.heads import Head, Quantizer, TagHead
from tercet.convert.head_fit import check_fits
from tercet.convert.head_store import codebook_fingerprint
from tercet.convert.quantizer import decode_graph, encode_graph
from tercet.convert.tag_head import tag_head_graph
from tercet.engine.choice import Choice
from tercet.engine.graph_coder import GraphCoder
from tercet.engine.graph_tag_scorer import GraphTagScorer
from tercet.engine.heads import Heads, OpenCodes, OpenTags
from tercet.engine.protocol import Coder, OpenGraph, TagScorer
from tercet.errors import HeadError, OptionError
from tercet.hub.heads import heads_beside, load_head

if TYPE_CHECKING:
    from tercet.convert.export import Build

NONE = "none"  # no head, though one may lie beside the model


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundHeads:
    """Heads that were read and that fit; None where there is none."""

    tags: TagHead | None
    codes: Quantizer | None
    are_aside: bool = (
        False  # some lie beside the model, for its encoder as it was before an adapter
    )


def check_head_names(**names: object) -> None:
    """What is given as `tags=` and `tokens=` is a name, or nothing.

    Raises:
        OptionError: it is something else.
    """
    for reading, name in names.items():
        if name is not None and not isinstance(name, str | Path):
            raise OptionError(
                f"{reading} is {name!r}; give a head's file, a known name, or {NONE!r}"
            )


def find_heads(
    checkpoint: Checkpoint,
    model_name: str,
    tags: str | Path | None,
    tokens: str | Path | None,
    *,
    offline: bool | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FoundHeads:
    """The heads that a caller names, or those that came with the model.

    `on_progress` is called while one is fetched, with the bytes done and those in all.

    Raises:
        ModelNotFoundError: a name leads nowhere.
        CheckpointError: a file is damaged, or no head.
        HeadError: a head is of the other kind, or does not fit the model.
        FingerprintError: it was trained on another encoder.
    """
    # Beside a model lie heads for its encoder as it was before an adapter.
    is_another = isinstance(checkpoint, AdaptedCheckpoint) and checkpoint.changes_encoder
    there = heads_beside(checkpoint.path)
    beside = {} if is_another else there
    found: dict[str, Head] = {}
    for reading, name in (("tags", tags), ("tokens", tokens)):
        if name is None:
            name = beside.get(reading)
        if name is None or str(name) == NONE:
            continue
        head = load_head(name, offline=offline, on_progress=on_progress)
        wanted = TagHead if reading == "tags" else Quantizer
        if not isinstance(head, wanted):
            option = option_of(head)
            kind = {"tags": "a tag head", "tokens": "a quantizer", "draft": "a draft"}[option]
            raise HeadError(f"{name}: is {kind}; give it as {option}=FILE, not as {reading}=")
        check_fits(head, checkpoint, model_name=model_name)
        found[reading] = head
    tag_head, quantizer = found.get("tags"), found.get("tokens")
    assert tag_head is None or isinstance(tag_head, TagHead)
    assert quantizer is None or isinstance(quantizer, Quantizer)
    are_aside = is_another and bool({"tags", "tokens"} & there.keys())
    return FoundHeads(tags=tag_head, codes=quantizer, are_aside=are_aside)


def open_heads(found: FoundHeads, choice: Choice, threads: int | None) -> Heads:
    """Open heads: in torch beside its encoder, else in ONNX Runtime (beside OpenVINO's encoder, too).

    Raises:
        EngineError: the engine refused one.
    """
    tags = (
        None if found.tags is None else OpenTags(found.tags, _scorer(found.tags, choice, threads))
    )
    codes = None
    if found.codes is not None:
        fingerprint = codebook_fingerprint(found.codes)
        codes = OpenCodes(found.codes, _coder(found.codes, choice, threads), fingerprint)
    return Heads(tags=tags, codes=codes, are_aside=found.are_aside)


def _scorer(head: TagHead, choice: Choice, threads: int | None) -> TagScorer:
    if choice.encoder == "torch":
        from tercet.model.tag_scorer import TorchTagScorer

        return TorchTagScorer(head, device=choice.device, dtype=choice.compute_type)
    return GraphTagScorer(_open(partial(tag_head_graph, head), threads), head)


def _coder(head: Quantizer, choice: Choice, threads: int | None) -> Coder:
    if choice.encoder == "torch":
        from tercet.model.coder import TorchCoder

        return TorchCoder(head, device=choice.device, dtype=choice.compute_type)
    encode = _open(partial(encode_graph, head), threads)
    return GraphCoder(encode, partial(_open, partial(decode_graph, head), threads), head)


def _open(build: "Build", threads: int | None) -> OpenGraph:
    from tercet.engine.onnx import OnnxGraph

    return OnnxGraph(build(store=lambda _, array: array), threads=threads)
