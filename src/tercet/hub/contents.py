"""What of a folder is published: the files that a model, heads or an adapter need; logs and the rest stay.

A list of names decides, so that nothing goes out because somebody left it lying there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from tercet.errors import CheckpointError, ModelNotFoundError, OptionError
from tercet.hub.layout import CONFIG, HEAD_FILES, holds_model, missing_files, weight_patterns

Kind = Literal["model", "heads", "adapter"]
CARD = "README.md"
_BESIDE_WEIGHTS = (
    CONFIG, "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "normalizer.json", "vocabulary.json", "vocabulary.txt",
)  # fmt: skip
_ADAPTER = ("adapter_model.safetensors", "adapter_config.json")  # as PEFT names them
_CARDS = {"tags": "TAGS_CARD.md", "tokens": "TOKENS_CARD.md", "draft": "DRAFT_CARD.md"}
_ALWAYS = (CARD, "MODEL_CARD.md", "LICENSE", "LICENSE.*", "NOTICE", "CITATION.cff")


@dataclass(frozen=True, slots=True)
class Content:
    """One file that is to be published."""

    path: Path  # here
    name: str  # in the repository, with forward slashes
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All of them."""

    source: Path
    kind: Kind
    files: tuple[Content, ...]  # by name
    stays: tuple[str, ...]  # further files of the folder, which are not published

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def has_card(self) -> bool:
        """Whether there is a page for the repository to show."""
        return any(file.name == CARD for file in self.files)

    @property
    def heads(self) -> tuple[Path, ...]:
        """The heads among the files."""
        is_alone = self.source.is_file()
        return tuple(
            file.path
            for file in self.files
            if file.name in HEAD_FILES.values() or (is_alone and file.path == self.source)
        )


def contents_of(source: Path, *, include: Sequence[str] = ()) -> Contents:
    """Choose the files, and open what they hold, so that nothing broken is published.

    Args:
        source: A folder with a model, with heads or with an adapter; or a head's file.
        include: Names or patterns of further files, relative to the folder.

    Raises:
        ModelNotFoundError: nothing is there, or a part of it is missing.
        CheckpointError: a file is damaged.
        OptionError: `include` means no file, or one outside of the folder.
    """
    if source.is_file():
        return _head_alone(source, include)
    if not source.is_dir():
        raise ModelNotFoundError(f"{source}: no such file or folder; check the path")
    names = sorted(entry.name for entry in source.iterdir() if entry.is_file())
    kind = _kind_of(source, names)
    wanted = [*_ALWAYS, *_ADAPTER, *HEAD_FILES.values(), *_CARDS.values()]
    if kind == "model":
        wanted += [*_BESIDE_WEIGHTS, *weight_patterns(names)]
    chosen = {name for name in names if any(fnmatch(name, each) for each in wanted)}
    chosen |= _included(source, include)
    _check(source, kind, names)
    return _contents(source, kind, {name: source / name for name in chosen}, set(names) - chosen)


def _kind_of(folder: Path, names: Collection[str]) -> Kind:
    if holds_model(folder):
        return "model"
    # Weights or settings of a model that is not whole; a head's run has neither.
    is_begun = CONFIG in names or bool(weight_patterns(names))
    if is_begun and (missing := missing_files(folder)):
        raise ModelNotFoundError(
            f"{folder}: a model without {', '.join(missing)}; put that there, or name another folder"
        )
    if all(name in names for name in _ADAPTER):
        return "adapter"
    if any(name in names for name in HEAD_FILES.values()):
        return "heads"
    if holds_model(folder / "model"):
        raise ModelNotFoundError(
            f"{folder}: the folder of a training run; its model is {folder / 'model'}"
        )
    what = "is empty" if not names else "holds no model, head or adapter"
    raise ModelNotFoundError(f"{folder}: {what}; name a folder that has one")


def _check(folder: Path, kind: Kind, names: Collection[str]) -> None:
    """Whatever is published can be opened again."""
    from tercet.checkpoint.head_file import open_head  # late: choosing alone needs no NumPy
    from tercet.checkpoint.opening import open_checkpoint

    if kind == "model":
        if missing := missing_files(folder):  # the tokenizer, which `holds_model` lets others lend
            raise ModelNotFoundError(
                f"{folder}: a model without {', '.join(missing)}; put it beside the weights"
            )
        open_checkpoint(folder)
    for file in HEAD_FILES.values():
        if file in names:
            open_head(folder / file)


def _head_alone(source: Path, include: Sequence[str]) -> Contents:
    """A head's file; its card, and, where its folder holds no model, what else belongs to it."""
    from tercet.checkpoint.head_file import is_head_file, open_head
    from tercet.checkpoint.head_settings import option_of

    if not is_head_file(source):
        raise CheckpointError(
            f"{source}: no head's file; name a folder that holds a model, or a head"
        )
    folder = source.parent
    reading = option_of(open_head(source))
    is_native = source.suffix == ".safetensors"
    files = {HEAD_FILES[reading] if is_native else source.name: source}
    beside = [_CARDS[reading]] if holds_model(folder) else [_CARDS[reading], *_ALWAYS]
    for entry in folder.iterdir():
        if entry.is_file() and any(fnmatch(entry.name, each) for each in beside):
            files[entry.name] = entry
    files |= {name: folder / name for name in _included(folder, include)}
    return _contents(source, "heads", files, ())


def _included(folder: Path, patterns: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise OptionError(f"include {pattern!r}: give a name or pattern inside {folder}")
        hits = [path for path in folder.glob(pattern) if path.is_file()]
        if not hits:
            raise OptionError(f"include {pattern!r}: no such file in {folder}; check the name")
        found |= {path.relative_to(folder).as_posix() for path in hits}
    return found


def _contents(source: Path, kind: Kind, files: dict[str, Path], stays: Collection[str]) -> Contents:
    listed = [Content(path, name, path.stat().st_size) for name, path in sorted(files.items())]
    return Contents(source=source, kind=kind, files=tuple(listed), stays=tuple(sorted(stays)))
