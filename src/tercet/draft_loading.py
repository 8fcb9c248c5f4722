"""From what a caller calls a draft to a decoder that is sped up by it: find it, check it, open it.

What drafts do is `decoding/drafts.py`'s concern.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tercet.checkpoint import Checkpoint, Geometry, open_checkpoint
from tercet.checkpoint.adapter import AdaptedCheckpoint
from tercet.checkpoint.head_settings import option_of
from tercet.checkpoint.heads import DraftHead
from tercet.convert.fingerprint import are_alike
from tercet.convert.head_fit import check_fits
from tercet.decoding.drafts import DecoderDraft, Draft, HeadDraft, NgramDraft
from tercet.decoding.pace import Known, Pace
from tercet.decoding.speculate import DraftedDecoder
from tercet.engine.choice import Choice
from tercet.engine.cpu import this_cpu
from tercet.engine.protocol import Decoder, Drafter, Encoder
from tercet.errors import HeadError, OptionError
from tercet.hub import find_model
from tercet.hub.heads import heads_beside, load_head, names_head

# One more token to verify, in plain steps, by kind of processor; measured for base in 8 bits with AMX and
# with AVX2 (docs/EXPERIMENTS.md). With dot products of 8 bits a row more costs less.
_VERIFY = {"amx": 0.25, "vnni": 0.25, "arm": 0.25, "avx2": 0.36, "other": 0.5}
_CALL = 0.08  # a step of a draft whatever its size, in plain steps of base; measured there, too
_BASE_WEIGHTS = 48_600_000  # of a step
_VERIFY_CUDA = 0.03  # a guess: there a step waits for its weights, however many tokens it takes
AUTO, NONE, NGRAM = "auto", "none", "ngram"
OpenParts = Callable[[Checkpoint], tuple[Encoder, Decoder]]  # of a draft that is a model


@dataclass(frozen=True, slots=True)
class FoundDraft:
    """What was found: a head, a model, or `NGRAM`."""

    name: str
    head: DraftHead | None = None
    model: Checkpoint | None = None
    shares_encoder: bool = True  # of a model: its encoder is the teacher's


def check_draft_name(name: object) -> None:
    """What is given as `draft=` is a name.

    Raises:
        OptionError: it is something else.
    """
    if not isinstance(name, str | Path) or not str(name):
        raise OptionError(
            f"draft is {name!r}; give {AUTO!r}, {NONE!r}, {NGRAM!r}, a draft's file, or a smaller model"
        )


def find_draft(
    checkpoint: Checkpoint,
    model_name: str,
    name: str | Path,
    *,
    offline: bool | None,
    is_int8: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> FoundDraft | None:
    """The draft that a caller names, or the one that came with the model; None where there is none.

    In 8 bits, where several tokens cost much more than one, nobody gets a draft unasked.

    Raises:
        ModelNotFoundError: the name leads nowhere.
        CheckpointError: the file is damaged.
        HeadError: it is a head of another kind, or of another decoder.
        FingerprintError: it was trained on another encoder.
        OptionError: it is a model that cannot draft for this one.
    """
    text = str(name)
    if text == NONE:
        return None
    if text == NGRAM:
        return FoundDraft(NGRAM)
    if text == AUTO:
        beside = heads_beside(checkpoint.path).get("draft")
        # What came with a model was made for it as it was before an adapter.
        if beside is None or is_int8 or isinstance(checkpoint, AdaptedCheckpoint):
            return None
        name = beside
    if text == AUTO or names_head(name):
        head = load_head(name, offline=offline, on_progress=on_progress)
        if not isinstance(head, DraftHead):
            raise HeadError(
                f"{name}: is no draft; give it as {option_of(head)}=FILE, not as draft="
            )
        check_fits(head, checkpoint, model_name=model_name)
        return FoundDraft(Path(name).name if text != AUTO else f"{model_name}'s own", head=head)
    model = open_checkpoint(find_model(name, offline=offline, on_progress=on_progress))
    _check_model(model, checkpoint, text, model_name)
    return FoundDraft(text, model=model, shares_encoder=are_alike(model, checkpoint))


def open_drafted(
    found: FoundDraft | None,
    decoder: Decoder,
    checkpoint: Checkpoint,
    choice: Choice,
    threads: int | None,
    open_parts: OpenParts,
) -> Decoder:
    """The decoder with its draft; itself where there is none.

    Raises:
        EngineError: the engine refused the draft.
    """
    if found is None:
        return decoder
    draft: Draft
    if found.head is not None:
        drafter = _drafter(found.head, decoder, checkpoint, choice, threads)
        draft = HeadDraft(found.name, drafter)
    elif found.model is not None:
        encoder, smaller = open_parts(found.model)
        draft = DecoderDraft(found.name, smaller, None if found.shares_encoder else encoder)
    else:
        draft = NgramDraft()
    return DraftedDecoder(decoder, draft, Pace(known=known_costs(found, checkpoint, choice)))


def known_costs(found: FoundDraft, checkpoint: Checkpoint, choice: Choice) -> Known | None:
    """What drafting and verifying cost beside a plain step, from what has to be multiplied; None: measure it.

    In float32 a text is the same whatever is drafted, so that costs can be measured as it is written.
    """
    if choice.compute_type == "float32":
        return None
    part = 0  # weights that a step of the draft multiplies by; none where it looks back in the text
    if found.head is not None:
        head = found.head
        block = _block_weights(head.width, head.mlp_width) + 2 * head.width**2
        scored = head.rank or head.width
        part = block + head.shortlist * scored + head.rank * head.width
    elif found.model is not None:
        part = _step_weights(found.model.geometry)
    is_cpu = choice.device == "cpu"
    verify = _VERIFY[this_cpu().kind] if is_cpu else _VERIFY_CUDA
    whole = _step_weights(checkpoint.geometry)
    call = _CALL * _BASE_WEIGHTS / max(whole, _BASE_WEIGHTS) if part else 0.0
    return Known(part / whole + call, verify)


def _step_weights(geometry: Geometry) -> int:
    """Weights that a token passes through in a decoder; keys and values of the window are there already."""
    layers = geometry.decoder_layers * _block_weights(geometry.width, geometry.mlp_width)
    return layers + geometry.vocab_size * geometry.width


def _block_weights(width: int, mlp_width: int) -> int:
    return 6 * width**2 + 2 * width * mlp_width


def _check_model(draft: Checkpoint, teacher: Checkpoint, name: str, model_name: str) -> None:
    """A smaller decoder with the same words, that hears windows as its teacher does."""
    mine, its = draft.geometry, teacher.geometry
    if mine.vocab_size != its.vocab_size:
        raise OptionError(
            f"draft {name!r} has a vocabulary of {mine.vocab_size}, {model_name!r} one of {its.vocab_size}; "
            "give a draft with the same vocabulary"
        )
    is_larger = mine.decoder_layers > its.decoder_layers or mine.width > its.width
    if is_larger or (mine.decoder_layers, mine.width) == (its.decoder_layers, its.width):
        raise OptionError(
            f"draft {name!r} has {mine.decoder_layers} decoder layers of width {mine.width}, {model_name!r} "
            f"{its.decoder_layers} of {its.width}; a draft must be smaller than what it drafts for"
        )
    for what, one, other in (
        ("text positions", mine.n_text_ctx, its.n_text_ctx),
        ("positions of sound", mine.n_audio_ctx, its.n_audio_ctx),
    ):
        if one != other:
            raise OptionError(
                f"draft {name!r} has {one} {what}, {model_name!r} has {other}; give a draft made for it"
            )
    if draft.generation.true_length != teacher.generation.true_length:
        raise OptionError(
            f"draft {name!r} and {model_name!r} differ in whether they hear windows padded to 30 s; give a "
            "draft that was made for it"
        )


def _drafter(
    head: DraftHead,
    decoder: Decoder,
    checkpoint: Checkpoint,
    choice: Choice,
    threads: int | None,
) -> Drafter:
    if choice.encoder == "torch":
        from tercet.model.draft import TorchDrafter
        from tercet.model.engine import TorchDecoder

        assert isinstance(decoder, TorchDecoder)  # of the engine that was chosen
        return TorchDrafter(head, decoder, device=choice.device, dtype=choice.compute_type)
    from tercet.engine.onnx import PRECISIONS
    from tercet.engine.onnx_draft import OnnxDrafter

    # Its products are so small that a second thread costs as much as it saves.
    return OnnxDrafter(head, checkpoint, PRECISIONS[choice.compute_type], threads=1)
