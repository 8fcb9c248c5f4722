"""The one table of known models: what a short name means, where it is, its licence and size.

Nothing is fetched here. The names are openai-whisper's and faster-whisper's, so that nobody has
to learn new ones.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """One released Whisper checkpoint; others are opened by their hub id or folder."""

    name: str
    repository: str  # on the hub, in Hugging Face's layout; fetched where nothing is here
    ctranslate2: str  # the same weights for faster-whisper; used where the cache has them
    parameters_m: int  # millions
    download_mb: int  # megabytes of the one form of the weights that is fetched
    languages: int  # 1 means English only
    licence: str = "MIT"  # the authors' own; some of the hub's cards say Apache-2.0 instead
    other_copies: tuple[str, ...] = ()  # hub ids of further conversions that people use

    @property
    def is_multilingual(self) -> bool:
        """Whether the model hears more than English."""
        return self.languages > 1

    @property
    def copies(self) -> tuple[str, ...]:
        """The hub ids of the same weights in CTranslate2's layout."""
        return (self.ctranslate2, *self.other_copies)

    @property
    def openai_vocab_size(self) -> int | None:
        """Entries of the vocabulary, for OpenAI's own models; None for those of others."""
        if not self.repository.startswith("openai/"):
            return None
        return {1: 51864, 99: 51865, 100: 51866}[self.languages]

    @property
    def size_mb(self) -> int:
        """Megabytes of the weights in float16."""
        return 2 * self.parameters_m


def _openai(
    name: str, parameters_m: int, download_mb: int, languages: int, repository: str = ""
) -> KnownModel:
    return KnownModel(
        name=name,
        repository=f"openai/{repository or 'whisper-' + name}",
        ctranslate2=f"Systran/faster-whisper-{name}",
        parameters_m=parameters_m,
        download_mb=download_mb,
        languages=languages,
        other_copies=(f"guillaumekln/faster-whisper-{name}",),  # its first home
    )


def _distilled(name: str, parameters_m: int, download_mb: int, *others: str) -> KnownModel:
    return KnownModel(
        name=name,
        repository=f"distil-whisper/{name}",
        ctranslate2=f"Systran/faster-{name.replace('distil-', 'distil-whisper-', 1)}",
        parameters_m=parameters_m,
        download_mb=download_mb,
        languages=1,
        other_copies=others,
    )


CATALOG: dict[str, KnownModel] = {
    model.name: model
    for model in (
        _openai("tiny", 39, 151, 99),
        _openai("tiny.en", 39, 151, 1),
        _openai("base", 74, 290, 99),
        _openai("base.en", 74, 290, 1),
        _openai("small", 244, 967, 99),
        _openai("small.en", 244, 967, 1),
        _openai("medium", 769, 3056, 99),
        _openai("medium.en", 769, 3056, 1),
        _openai("large-v1", 1550, 6174, 99, "whisper-large"),
        _openai("large-v2", 1550, 6174, 99),
        _openai("large-v3", 1550, 3087, 100),
        KnownModel(
            name="large-v3-turbo",
            repository="openai/whisper-large-v3-turbo",
            ctranslate2="mobiuslabsgmbh/faster-whisper-large-v3-turbo",
            parameters_m=809,
            download_mb=1618,
            languages=100,
            other_copies=(
                "deepdml/faster-whisper-large-v3-turbo-ct2",
                "dropbox-dash/faster-whisper-large-v3-turbo",
            ),
        ),
        _distilled("distil-small.en", 166, 332),
        _distilled("distil-medium.en", 394, 789),
        _distilled("distil-large-v2", 756, 1513),
        _distilled("distil-large-v3", 756, 1513, "distil-whisper/distil-large-v3-ct2"),
        KnownModel(
            name="distil-large-v3.5",
            repository="distil-whisper/distil-large-v3.5",
            ctranslate2="distil-whisper/distil-large-v3.5-ct2",
            parameters_m=756,
            download_mb=3026,
            languages=1,
        ),
    )
}

ALIASES: dict[str, str] = {"large": "large-v3", "turbo": "large-v3-turbo"}
_NAMES_OF_IDS: dict[str, str] = {
    hub_id: model.name for model in CATALOG.values() for hub_id in (model.repository, *model.copies)
}


def known_model(name: str) -> KnownModel | None:
    """The catalog's row for a name, an alias, or a hub id in full; None where there is none."""
    name = ALIASES.get(name, name)
    return CATALOG.get(_NAMES_OF_IDS.get(name, name))


def known_names() -> tuple[str, ...]:
    """Every name and alias, in the table's order."""
    return (*CATALOG, *ALIASES)


def closest_names(name: str, *, also: Iterable[str] = ()) -> list[str]:
    """Up to three names that `name` may have been meant to be, best first.

    `also` adds names that are known elsewhere (installed packages, say).
    """
    candidates = list(dict.fromkeys((*known_names(), *also)))
    meant = name.lower().removeprefix("whisper-")
    return difflib.get_close_matches(meant, candidates, n=3, cutoff=0.6)
