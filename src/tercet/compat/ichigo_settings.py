"""ichigo's configurations and ichigo_asr's sizes: which Whisper, quantizer and language. Opens nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.catalog import HEAD_ALIASES, HEADS, known_head
from tercet.errors import OptionError

DEFAULT_CONFIG = "ichigo-asr-2501-en-vi"
# What the decoder is told; the others detect it in each chunk.
_LANGUAGES = {"ichigo-asr-2501-en": "en", "ichigo-asr-2501-vi": "vi", "ichigo-asr-2502-en": "en"}
_KEYS = ("whisper", "quantizer", "language")

# Size -> (Whisper, codes without the mask's).
SIZES: dict[str, tuple[str, int]] = {
    **{f"medium-vi-2d-{n}c-dim64": ("medium", n) for n in (512, 1024, 2048)},
    "merge-medium-vi-2d-2560c-dim64": ("medium", 2560),
    **{f"large-v3-vi-2d-{n}c-dim64": ("large-v3", n) for n in (512, 1024, 2048)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IchigoSettings:
    """What `tercet.load_model` is to open, and the language to write in (None: detect)."""

    whisper: str | Path
    quantizer: str | Path
    language: str | None = None


def settings_of(config: str | Mapping[str, Any]) -> IchigoSettings:
    """A configuration by its name, or in ours: {"whisper": .., "quantizer": .., "language": ..}.

    Raises:
        OptionError: there is no such configuration.
    """
    if isinstance(config, Mapping):
        return _of_mapping(config)
    known = known_head(config) if isinstance(config, str) else None
    if known is None or known.reading != "tokens":
        names = [name for name in (*HEADS, *HEAD_ALIASES) if not name.startswith("whisper-at")]
        raise OptionError(
            f"config is {config!r}; give one of {', '.join(names)}, or "
            '{"whisper": NAME_OR_PATH, "quantizer": NAME_OR_PATH}'
        )
    return IchigoSettings(
        whisper=known.encoder, quantizer=known.name, language=_LANGUAGES.get(config)
    )


def _of_mapping(config: Mapping[str, Any]) -> IchigoSettings:
    unknown = [name for name in config if name not in _KEYS]
    missing = [name for name in _KEYS[:2] if not isinstance(config.get(name), str | Path)]
    if unknown or missing:
        what = f"has the key {unknown[0]!r}" if unknown else f"names no {missing[0]}"
        raise OptionError(
            f'config {what}; give {{"whisper": NAME_OR_PATH, "quantizer": NAME_OR_PATH}} '
            'and, if need be, "language"'
        )
    return IchigoSettings(**config)
