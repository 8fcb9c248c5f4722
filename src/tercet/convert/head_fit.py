"""Whether a head was made for an encoder, and binding one to it.

A head that says which encoder it was trained on is compared by digest where the checkpoint knows its own
(Tercet's stored form does), which costs nothing; otherwise by sketch, which reads the encoder's matrices once
(base 0.03 s, 0.2 s in 8 bits; medium 0.4 s; on one core). Published heads of other systems say nothing but
a name. Nothing is run here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tercet.catalog import CATALOG, known_model
from tercet.checkpoint.adapter import AdaptedCheckpoint
from tercet.checkpoint.arrays import Arrays, Checkpoint
from tercet.checkpoint.heads import FRAMES_PER_TAP, DraftHead, Head, Quantizer, TagHead
from tercet.checkpoint.native import NativeCheckpoint
from tercet.convert.fingerprint import (
    Fingerprint,
    Storage,
    encoder_arrays,
    fingerprint,
    is_sketched,
    matches,
)
from tercet.errors import CheckpointError, FingerprintError, HeadError


def check_fits(head: Head, checkpoint: Checkpoint, *, model_name: str) -> None:
    """The head was made for this encoder, as far as it says.

    Shape first (width; layers, where the head needs a number of them; states per window of a quantizer); then
    the fingerprint, if the head carries one; else the name of its encoder, if that and `model_name` are both
    known ones with encoders of their own. The decoder is of no concern but to drafts, which need its
    vocabulary and the layer whose cross-attention they read; how well they draft for it, use shows.

    Args:
        head: As opened.
        checkpoint: The model that it is to read.
        model_name: What the user calls the model, for messages and for the comparison of names.

    Raises:
        HeadError: the encoder has another shape, or codes would not fit the cuts of long recordings.
        FingerprintError: it has the shape, and is another.
        CheckpointError: the head's fingerprint, or what the checkpoint says about its own, is damaged.
    """
    check_shape(head, checkpoint, model_name=model_name)
    if isinstance(head, Quantizer) and FRAMES_PER_TAP % head.downsample:
        raise HeadError(
            f"{_label(head)} has a code for every {head.downsample} states; recordings are cut on a grid of "
            f"{FRAMES_PER_TAP}, which that does not divide; give a head whose codes fit it (2: 25 a second)"
        )
    if head.origin.encoder is not None:
        if not _is_of(head.origin.encoder, checkpoint, head):
            raise FingerprintError(_difference(head, model_name, "its weights are others"))
        return
    trained_on, given = _own_encoder(head.origin.encoder_name), _own_encoder(model_name)
    if trained_on and given and trained_on != given:
        raise FingerprintError(_difference(head, model_name, "of the same shape"))


def check_shape(head: Head, checkpoint: Checkpoint, *, model_name: str) -> None:
    """The shape alone, which even a head that is to be bound anew must have.

    Raises:
        HeadError: the encoder has another width, other layers, or other positions.
    """
    geometry = checkpoint.geometry
    # What is compared, the head's number (None: any will do), the model's.
    pairs: list[tuple[str, int | None, int]] = [("width", head.width, geometry.width)]
    if isinstance(head, TagHead):
        pairs.append(("layers", head.n_layers, geometry.encoder_layers))
    elif isinstance(head, Quantizer):
        pairs.append(("positions", head.positions, geometry.n_audio_ctx))
    else:
        pairs.append(("a vocabulary of", head.vocab_size, geometry.vocab_size))
        # It reads one of the decoder's layers: which is there or not, however many there are.
        layers = geometry.decoder_layers
        pairs.append(("decoder layers above", min(head.layer, layers), min(head.layer, layers - 1)))
    for what, wanted, found in pairs:
        if wanted is not None and wanted != found:
            trained_on = head.origin.encoder_name
            encoder = repr(trained_on) if trained_on else "an encoder"
            raise HeadError(
                f"{_label(head)} was trained on {encoder} ({what} {wanted}); {model_name!r} has "
                f"{what} {found}; give a head that was made for it"
            )


def bound_to(head: Head, checkpoint: Checkpoint, name: str) -> Head:
    """A copy that carries the checkpoint's fingerprint and name, whatever the head said before.

    Args:
        head: Any head of the encoder's shape.
        checkpoint: The model that it was trained on. In 8 bits it must be Tercet's stored form, which
            carries the original's fingerprint; other 8-bit copies have lost what identifies it.
        name: The model's name, for messages.

    Raises:
        HeadError: the shape is another, or the encoder is in 8 bits and does not tell its original.
    """
    check_shape(head, checkpoint, model_name=name)
    told = _told_fingerprint(checkpoint)
    if told is None:
        first = next(each for each in encoder_arrays(checkpoint) if is_sketched(each))
        if checkpoint.read_int8(first) is not None:
            raise HeadError(
                f"{name!r} has its encoder in 8 bits, which identifies no original; bind the head to the "
                "model in float16 or float32, or to one that tercet convert made of it"
            )
        told = fingerprint(checkpoint).to_json()
    return replace(head, origin=replace(head.origin, encoder_name=name, encoder=dict(told)))


def _is_of(mark: Mapping[str, Any], checkpoint: Checkpoint, head: Head) -> bool:
    """Whether the checkpoint's encoder is the one of this fingerprint."""
    if isinstance(checkpoint, AdaptedCheckpoint) and not checkpoint.changes_encoder:
        checkpoint = checkpoint.original
    original = Fingerprint.from_json(mark, head.arrays.path)
    told = _told_fingerprint(checkpoint)
    if told is not None and told.get("sha256") == original.digest:
        return True
    return matches(checkpoint, original, _storage_of(checkpoint))


def _told_fingerprint(checkpoint: Arrays) -> Mapping[str, Any] | None:
    """The fingerprint of the original that a stored copy carries."""
    if not isinstance(checkpoint, NativeCheckpoint):
        return None
    told = checkpoint.metadata.get("encoder")
    return told if isinstance(told, dict) else None


def _storage_of(checkpoint: Arrays) -> Storage:
    """How a checkpoint's arrays differ from its original's by intent."""
    if not isinstance(checkpoint, NativeCheckpoint):
        return Storage()
    rounding = checkpoint.metadata.get("rounding", {})
    units = rounding.values() if isinstance(rounding, dict) else (0.0,)
    if not all(isinstance(unit, int | float) and unit > 0 for unit in units):
        raise CheckpointError(
            f"{checkpoint.path}: its metadata 'rounding' is damaged; install or copy the model again"
        )
    return Storage(exponents=checkpoint.smoothing, rounding=rounding)


def _own_encoder(name: str) -> str | None:
    """The catalog's name of the encoder that a model has; None for a model that it does not list.

    Distil-Whisper's students keep their teacher's encoder, frozen.
    """
    known = known_model(name)
    if known is None:
        return None
    teacher = known.name.removeprefix("distil-").removesuffix(".5")
    return teacher if teacher in CATALOG else known.name


def _difference(head: Head, model_name: str, how: str) -> str:
    trained_on = head.origin.encoder_name
    encoder = repr(trained_on) if trained_on else "another"
    return (
        f"{_label(head)} was trained on the encoder of {encoder}; {model_name!r} has another ({how}); give a "
        f"head that was made for it, or bind this one on purpose: tercet convert --encoder"
    )


def _label(head: Head) -> str:
    """What a message calls the head: its file's name, else its own."""
    name = head.arrays.path.name
    kinds = {TagHead: "this tag head", Quantizer: "this quantizer", DraftHead: "this draft"}
    kind = kinds[type(head)]
    return name if head.arrays.path.suffix else head.origin.name or kind
