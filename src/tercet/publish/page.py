"""A README.md of which one block is generated: the rest, and foreign keys of its front matter, are kept."""

from typing import Any

from tercet.errors import OutputError

BEGIN = "<!-- tercet card: begin (written by `tercet card`; changes in here are lost) -->"
END = "<!-- tercet card: end -->"
_BEGIN_MARK = "<!-- tercet card: begin"
_FENCE = "---"


def merged(
    before: str | None, metadata: dict[str, Any], block: str, title: str, *, name: str
) -> str:
    """The page's new text.

    Args:
        before: What it was; None: there was none.
        metadata: Keys of the front matter that are known; they replace those of the same names.
        block: What stands between the marks.
        title: For a page that begins.
        name: The file, for errors.

    Raises:
        OutputError: the page has marks that do not fit together, or a front matter that is no YAML.
    """
    marked = f"{BEGIN}\n\n{block.strip()}\n\n{END}"
    if before is None:
        return f"{_front({}, metadata)}\n# {title}\n\n{marked}\n"
    keys, body = _divided(before, name)
    return f"{_front(keys, metadata)}{_with_block(body, marked, name)}"


def _divided(text: str, name: str) -> tuple[dict[str, Any], str]:
    """The front matter's keys, and what stands behind it."""
    from huggingface_hub import RepoCard

    try:
        card = RepoCard(text)
        keys: dict[str, Any] = dict(card.data.__dict__)
    except Exception:  # the YAML library's errors, and the hub's own
        raise OutputError(
            f"{name}: its front matter is no YAML; correct what stands between the ---"
        ) from None
    return keys, "\n" + card.text.lstrip("\n")


def _front(keys: dict[str, Any], metadata: dict[str, Any]) -> str:
    # The library exports it to all but type checkers.
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    both = {**keys, **metadata}
    return f"{_FENCE}\n{yaml_dump(both, sort_keys=False)}{_FENCE}\n" if both else ""


def _with_block(body: str, marked: str, name: str) -> str:
    begins, ends = body.count(_BEGIN_MARK), body.count(END)
    if not begins and not ends:
        return f"{body.rstrip()}\n\n{marked}\n"
    start, end = body.find(_BEGIN_MARK), body.find(END)
    if (begins, ends) != (1, 1) or end < start:
        raise OutputError(
            f"{name}: the marks around what is generated do not fit together; leave one "
            f"'{_BEGIN_MARK} ... -->' and one '{END}' behind it"
        )
    return body[:start] + marked + body[end + len(END) :]
