"""Data sets of the Hugging Face hub, `hf://owner/name:config`, streamed by its library `datasets`.

The library is imported here alone, and late: it is an extra, and takes seconds.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tercet.dataset.embedded import Embedded, Rows, chosen_split, sound_of
from tercet.errors import DataError
from tercet.hub.find import is_offline
from tercet.hub.refusals import explained

SCHEME = "hf://"
_FORM = re.compile(
    r"hf://(?:datasets/)?(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?"
)
_WAY = "save it where the hub can be reached (save_to_disk), and give that folder"
_ANSWER_S = 10.0  # the library itself goes on asking for half a minute
_NOT_FACTS = frozenset({"Audio", "Image", "Video", "Pdf"})  # kinds of columns with files in them


def hub_set(source: str, split: str | None = None) -> Embedded:
    """A split of a data set of the hub.

    Args:
        source: hf://OWNER/NAME, then perhaps :CONFIG, and @REVISION.
        split: Which; None: the only one.

    Raises:
        DataError: `source` is no such name; `datasets` is not installed; the hub cannot be reached or
            refuses; there is no such data set, configuration or split, or no recordings in it.
    """
    form = _FORM.fullmatch(source)
    if form is None:
        raise DataError(
            f"{source}: is no data set's name; write hf://owner/name or hf://owner/name:config"
        )
    _library(source)
    name, config, revision = form["name"], form["config"], form["revision"]
    state = "" if is_offline() else _commit(source, name, revision)
    return library_set(source, name, config, revision=revision, split=split, state=state)


def library_set(
    source: str,
    name: str,
    config: str | None = None,
    *,
    revision: str | None = None,
    split: str | None = None,
    state: str = "",
) -> Embedded:
    """A split of whatever `datasets.load_dataset` opens (see `hub_set`); offline, of what is in its cache."""
    datasets = _library(source)
    with _refusing(source, name, revision):
        splits = datasets.get_dataset_split_names(name, config, revision=revision)
    chosen = chosen_split(source, splits, split)
    with _refusing(source, name, revision):
        opened = datasets.load_dataset(
            name, config, split=chosen, revision=revision, streaming=not is_offline()
        )
        audio = _sound_column(datasets, opened, source)
        kinds = {key: type(kind).__name__ for key, kind in (opened.features or {}).items()}
        if kinds.get(audio) == "Audio":  # its bytes as they are: nothing is decoded here
            opened = opened.cast_column(audio, datasets.Audio(decode=False))
        others = [key for key, kind in kinds.items() if kind in _NOT_FACTS and key != audio]
        opened = opened.remove_columns(others) if others else opened
    told = (opened.info.splits or {}).get(chosen)

    def rows_from(first: int) -> Rows:
        with _refusing(source, name, revision):
            for row in opened.skip(first):
                yield sound_of(row.pop(audio)), row

    return Embedded(source, chosen, state, told.num_examples if told else None, rows_from)


def _sound_column(datasets: Any, opened: Any, source: str) -> str:
    """The column with recordings: of the kind Audio, or structs with bytes."""
    found = [
        key
        for key, kind in (opened.features or {}).items()
        if isinstance(kind, datasets.Audio) or (isinstance(kind, dict) and "bytes" in kind)
    ]
    if not found or (len(found) > 1 and "audio" not in found):
        there = ", ".join(opened.features or {}) or "unknown columns"
        raise DataError(f"{source}: has no column audio with recordings (it has {there})")
    return "audio" if "audio" in found else found[0]


def _commit(source: str, name: str, revision: str | None) -> str:
    """The commit that is meant; the hub is asked once, and a refusal is told at once."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(name, revision=revision, timeout=_ANSWER_S).sha)
    except Exception as error:  # its HTTP library has errors of its own
        raise DataError(str(explained(source, _WAY, name, error, revision))) from None


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{source}: data sets of the hub need the library datasets: pip install 'tercet[datasets]'"
        ) from None
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    return datasets


@contextmanager
def _refusing(source: str, name: str, revision: str | None) -> Iterator[None]:
    """Whatever the library, the hub or the disk raises becomes one line."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except DataError:
        raise
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise DataError(str(explained(source, _WAY, name, error, revision))) from None
    except (
        Exception
    ) as error:  # a configuration that is not there, a damaged file: ValueError and others
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{source}: cannot be opened ({reason})") from None
