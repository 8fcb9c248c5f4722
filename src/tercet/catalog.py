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
    repository: str  # on the hub, in Hugging Face's layout
    ctranslate2: str  # the same weights for faster-whisper; used where the cache has them
    parameters_m: int  # millions
    languages: int  # 1 means English only
    licence: str = "MIT"  # the authors' own; some of the hub's cards say Apache-2.0 instead

    @property
    def is_multilingual(self) -> bool:
        """Whether the model hears more than English."""
        return self.languages > 1

    @property
    def openai_vocab_size(self) -> int | None:
        """Entries of the vocabulary, for OpenAI's own models; None for those of others."""
        if not self.repository.startswith("openai/"):
            return None
        return {1: 51864, 99: 51865, 100: 51866}[self.languages]

    @property
    def size_mb(self) -> int:
        """Megabytes of the weights in float16; repositories in float32 take twice that."""
        return 2 * self.parameters_m


def _openai(name: str, parameters_m: int, languages: int, repository: str = "") -> KnownModel:
    return KnownModel(
        name=name,
        repository=f"openai/{repository or 'whisper-' + name}",
        ctranslate2=f"Systran/faster-whisper-{name}",
        parameters_m=parameters_m,
        languages=languages,
    )


def _distilled(name: str, parameters_m: int) -> KnownModel:
    return KnownModel(
        name=name,
        repository=f"distil-whisper/{name}",
        ctranslate2=f"Systran/faster-{name.replace('distil-', 'distil-whisper-', 1)}",
        parameters_m=parameters_m,
        languages=1,
    )


CATALOG: dict[str, KnownModel] = {
    model.name: model
    for model in (
        _openai("tiny", 39, 99),
        _openai("tiny.en", 39, 1),
        _openai("base", 74, 99),
        _openai("base.en", 74, 1),
        _openai("small", 244, 99),
        _openai("small.en", 244, 1),
        _openai("medium", 769, 99),
        _openai("medium.en", 769, 1),
        _openai("large-v1", 1550, 99, "whisper-large"),
        _openai("large-v2", 1550, 99),
        _openai("large-v3", 1550, 100),
        KnownModel(
            name="large-v3-turbo",
            repository="openai/whisper-large-v3-turbo",
            ctranslate2="mobiuslabsgmbh/faster-whisper-large-v3-turbo",
            parameters_m=809,
            languages=100,
        ),
        _distilled("distil-small.en", 166),
        _distilled("distil-medium.en", 394),
        _distilled("distil-large-v2", 756),
        _distilled("distil-large-v3", 756),
        KnownModel(
            name="distil-large-v3.5",
            repository="distil-whisper/distil-large-v3.5",
            ctranslate2="distil-whisper/distil-large-v3.5-ct2",
            parameters_m=756,
            languages=1,
        ),
    )
}

ALIASES: dict[str, str] = {"large": "large-v3", "turbo": "large-v3-turbo"}


def known_model(name: str) -> KnownModel | None:
    """The catalog's row for a name or an alias; None where there is none."""
    return CATALOG.get(ALIASES.get(name, name))


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
