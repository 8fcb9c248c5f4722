"""The one table of known models and heads: what a short name means, where it is, its licence and size.

Nothing is fetched here. The models' names are openai-whisper's and faster-whisper's, so that nobody has
to learn new ones; the heads' are those of whisper-at and ichigo behind the system's name.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """One released Whisper checkpoint; others are opened by their hub id or folder."""

    name: str
    repository: str  # on the hub, in Hugging Face's layout; fetched where nothing is here
    ctranslate2: str  # the same weights for faster-whisper; used where the cache has them
    parameters_m: int  # millions
    download_mb: int  # megabytes of the one form of the weights that is fetched
    languages: int  # 1 means English only
    chunk_length_s: float = 30.0  # of `longform="chunked"`, where nobody gives one
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


# Distil-Whisper trained its first models on short clips, those of v3 on packed ones (their cards' advice).
_DISTILLED_CHUNK_S = {"distil-large-v3": 25.0, "distil-large-v3.5": 25.0}


def _distilled(name: str, parameters_m: int, download_mb: int, *others: str) -> KnownModel:
    return KnownModel(
        chunk_length_s=_DISTILLED_CHUNK_S.get(name, 15.0),
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
            chunk_length_s=_DISTILLED_CHUNK_S["distil-large-v3.5"],
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHead:
    """One published head; others are opened by their path, or as "owner/name:file" on the hub."""

    name: str
    reading: Literal["tags", "tokens"]
    encoder: str  # of `CATALOG`: what it was trained on
    file: str  # its name, on the hub and in its own program's cache
    parameters_m: float  # millions
    licence: str  # of the weights, as SPDX writes it
    source: str
    repository: str = ""  # on the hub; "" where it is not there
    address: str = ""  # to fetch by hand what is not on the hub
    sha256: str = ""  # of the file, where somebody published it
    mode: str = ""  # of a tag head, as Whisper-AT writes it
    mean_average_precision: float | None = (
        None  # percent, AudioSet's evaluation set, by its authors
    )
    codes: int | None = None  # of a quantizer: rows of its codebook, the mask's included

    @property
    def is_commercial_use_allowed(self) -> bool:
        """Whether the licence leaves commercial use open."""
        return not is_non_commercial(self.licence)

    @property
    def size_mb(self) -> int:
        """Megabytes of the arrays in float32, as published."""
        return round(4 * self.parameters_m)


def is_non_commercial(licence: str) -> bool:
    """Whether a licence, by its SPDX name, forbids commercial use ("CC-BY-NC-SA-4.0")."""
    return re.search(r"(^|[^a-z])nc([^a-z]|$)|non-?commercial", licence.lower()) is not None


_TAG_PARAMETERS_M = {
    "tiny": 3.752,
    "base": 6.575,
    "small": 14.581,
    "medium": 25.733,
    "large": 40.030,
}
_LOW_PARAMETERS_M = {"small": 6.970, "medium": 7.102, "large": 7.234}


def _whisper_at(encoder: str, precision: float, link: str, *, sha256: str = "") -> KnownHead:
    """A head of the whisper-at package: TL-Tr, or TL-Tr (512) where the file's name says "low"."""
    is_low = "_low." in link
    size = re.split(r"[.-]", encoder)[0]
    return KnownHead(
        name=f"whisper-at{'-low' if is_low else ''}:{encoder}",
        reading="tags",
        encoder=encoder,
        file=link.partition("/")[2],
        parameters_m=(_LOW_PARAMETERS_M if is_low else _TAG_PARAMETERS_M)[size],
        licence="BSD-2-Clause",
        source="Whisper-AT (arXiv:2307.03183)",
        address=f"https://www.dropbox.com/s/{link}?dl=1",
        sha256=sha256,
        mode="lw_down_tr_512_1_8" if is_low else "lw_tr_1_8",
        mean_average_precision=precision,
    )


def _ichigo(
    name: str, repository: str, file: str, codes: int, encoder: str = "medium"
) -> KnownHead:
    """A quantizer of the ichigo package or of WhisperSpeech."""
    is_ichigo = name.startswith("ichigo")
    return KnownHead(
        name=name,
        reading="tokens",
        encoder=encoder,
        file=file,
        parameters_m=34.880 if encoder == "large-v3" else 22.661,
        licence="CC-BY-NC-SA-4.0" if is_ichigo else "MIT",
        source="Ichigo-Whisper" if is_ichigo else "WhisperSpeech",
        repository=repository,
        codes=codes,
    )


# Precision is the averaged weights' in the training logs where these are published, else the README's
# (for large-v1 the two differ by 0.1).
HEADS: dict[str, KnownHead] = {
    head.name: head
    for head in (
        _whisper_at("tiny", 36.5, "cib4q4iz6g758l0/tiny_ori.pth"),
        _whisper_at("tiny.en", 35.8, "atq9so6w0qug5ai/tiny.en_ori.pth"),
        _whisper_at("base", 37.6, "2odwh42u6e9ger7/base_ori.pth"),
        _whisper_at("base.en", 37.5, "qtzgsbuquoz0afn/base.en_ori.pth"),
        _whisper_at("small", 39.8, "jftj9s0kr4ycvr1/small_ori.pth"),
        _whisper_at("small.en", 40.1, "cyx50ycl1ul7lji/small.en_ori.pth"),
        _whisper_at("medium", 40.8, "65aabayr7o819az/medium_ori.pth"),
        _whisper_at(
            "medium.en",
            41.4,
            "bbvylvmgns8ja4p/medium.en_ori.pth",
            sha256="2bb6ed52169cffd19623106dadb71918da27f8664ea1788c6379956b91ad2cea",
        ),
        _whisper_at("large-v1", 42.0, "b8x2en1fdzc8nhk/large-v1_ori.pth"),
        _whisper_at("large-v2", 41.7, "3zxpyvdrxy22eq7/large-v2_ori.pth"),
        _whisper_at("small", 39.8, "a1x0416v58f7wrf/small_low.pth"),
        _whisper_at("small.en", 39.9, "507o66zgl8v6ddd/small.en_low.pth"),
        _whisper_at("medium", 41.2, "0mnfmcasram4n6o/medium_low.pth"),
        _whisper_at("medium.en", 41.1, "2q5wprr8f9gti5t/medium.en_low.pth"),
        _whisper_at("large-v1", 41.6, "5o79h70wyla8jlk/large-v1_low.pth"),
        _whisper_at("large-v2", 40.3, "jw2rh4uylhqgn85/large-v2_low.pth"),
        _ichigo(
            "ichigo-asr-2501-en-vi",
            "homebrewltd/ichigo-whisper",
            "merge-medium-vi-2d-2560c-dim64.pth",
            2561,
        ),
        _ichigo(
            "ichigo-asr-2502-en",
            "homebrewltd/ichigo-asr",
            "ichigo-asr-2502-en.ckpt",
            513,
            "large-v3",
        ),
        _ichigo(
            "whispervq-2405-en",
            "WhisperSpeech/WhisperSpeech",
            "whisper-vq-stoks-v3-7lang.model",
            513,
        ),
        _ichigo(
            "whispervq-medium-en-pl",
            "collabora/spear-tts-pytorch",
            "whisper-vq-stoks-medium-en+pl.model",
            513,
        ),
    )
}

HEAD_ALIASES: dict[str, str] = {
    "whisper-at:large": "whisper-at:large-v2",  # as the package takes it
    "whisper-at-low:large": "whisper-at-low:large-v2",
    # The same file; ichigo's three names differ in what its decoder is told.
    "ichigo-asr-2501-en": "ichigo-asr-2501-en-vi",
    "ichigo-asr-2501-vi": "ichigo-asr-2501-en-vi",
}


def known_head(name: str) -> KnownHead | None:
    """The row of a head's name, its alias, "owner/name:file" or file name; None where there is none."""
    name = HEAD_ALIASES.get(name, name)
    for head in HEADS.values():
        if name in (head.name, head.file, f"{head.repository}:{head.file}"):
            return head
    return None


def closest_head_names(name: str) -> list[str]:
    """Up to three heads' names that `name` may have been meant to be, best first."""
    return difflib.get_close_matches(name.lower(), [*HEADS, *HEAD_ALIASES], n=3, cutoff=0.6)
