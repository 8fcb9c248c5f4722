"""What whisper-at's model names mean on this machine: a Whisper, and the tag head that goes with it.

whisper-at's own files come first (`base.pt`, `base_ori.pth`, `small_low.pth`). Opens nothing.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

from tercet.catalog import HEADS, KnownHead, known_head
from tercet.errors import HeadError, ModelNotFoundError, OptionError
from tercet.hub import find_model
from tercet.hub.caches import whisper_cache
from tercet.hub.heads import heads_beside
from tercet.hub.transfer import matches

MODELS = (
    *("tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
    *("large-v1", "large-v2", "large"),
)
_FULL_NAMES = {"large": "large-v2"}  # whisper-at's; in Tercet "large" is large-v3


@dataclass(frozen=True, slots=True, kw_only=True)
class AtFiles:
    """What `tercet.load_model` is to open."""

    whisper: str | Path
    tags: str | Path | None  # None: the head that came with the model


def find_files(
    name: str | Path,
    download_root: str | Path | None,
    *,
    is_low: bool,
    tags: str | Path | None,
) -> AtFiles:
    """The Whisper and the tag head of a name.

    Args:
        name: One of `MODELS`; or a Whisper's path or name, as `tercet.load_model` takes it.
        download_root: Where whisper-at keeps its files; None: `~/.cache/whisper`.
        is_low: The head of width 512.
        tags: A head of the caller's own choice.

    Raises:
        ModelNotFoundError: the head is not on this machine; one line says where to get it.
        HeadError: nobody has published a head for this model.
        OptionError: there is no head of width 512 for it, or two options contradict each other.
    """
    if tags is not None and is_low:
        raise OptionError("at_low_compute and tags are both given; each names a head, give one")
    root = _root(download_root)
    full_name = _FULL_NAMES.get(str(name), str(name))
    if full_name not in MODELS:
        return AtFiles(whisper=name, tags=_beside(name, is_low=is_low) if tags is None else tags)
    file = root / f"{full_name}.pt"
    whisper = file if file.is_file() else full_name
    if tags is None:
        tags = _published(full_name, whisper, root, is_low=is_low)
    return AtFiles(whisper=whisper, tags=tags)


def _root(download_root: str | Path | None) -> Path:
    if download_root is not None:
        return Path(download_root).expanduser()
    return whisper_cache()


def _published(name: str, whisper: str | Path, root: Path, *, is_low: bool) -> Path | None:
    """whisper-at's head; None for the model's own, which is used with a warning."""
    known = known_head(f"whisper-at{'-low' if is_low else ''}:{name}")
    if known is None:
        low = ", ".join(
            each.encoder for each in HEADS.values() if each.name.startswith("whisper-at-low")
        )
        raise OptionError(f"at_low_compute has no head for {name!r}; there is one for {low}")
    for folder in (root, whisper_cache()):
        if (file := folder / known.file).is_file():
            return _checked(file, known)
    absence = f"whisper-at's head for {name!r} is not on this machine ({root / known.file})"
    if is_low or not _has_own_tags(whisper):
        raise ModelNotFoundError(
            f"{absence}, and no hub has it: download {known.address} to there, or give tags=FILE"
        )
    warnings.warn(
        f"{absence}: using the tag head that came with the model, whose numbers differ",
        stacklevel=4,
    )
    return None


def _checked(file: Path, known: KnownHead) -> Path:
    if known.sha256 and not matches(file, known.sha256):
        raise ModelNotFoundError(
            f"head {known.name!r}: {file} is damaged (its SHA-256 is not the published "
            f"{known.sha256[:12]}..); delete it, and download {known.address} again"
        )
    return file


def _has_own_tags(whisper: str | Path) -> bool:
    """Whether the model, as far as it is on this machine, came with a tag head."""
    try:
        return "tags" in heads_beside(find_model(whisper, offline=True))
    except ModelNotFoundError:
        return False


def _beside(name: str | Path, *, is_low: bool) -> Path | None:
    """The head beside a checkpoint of the caller's own: `mine_ori.pth`; None for its `tags.safetensors`.

    Differs from whisper-at, which cannot open a checkpoint that it does not know.
    """
    path = Path(name).expanduser()
    file = path.with_name(f"{path.stem}_{'low' if is_low else 'ori'}.pth")
    if path.is_file() and file.is_file():
        return file
    if not is_low and _has_own_tags(name):
        return None
    raise HeadError(
        f"model {str(name)!r} has no tag head"
        + (f" ({file.name} beside it)" if path.is_file() else "")
        + f"; give tags=FILE, or one of {', '.join(MODELS)}"
    )
