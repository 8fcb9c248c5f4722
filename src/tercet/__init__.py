"""Tercet: hear an audio file once, through one frozen Whisper encoder. Start at `load_model`.

model = tercet.load_model()
print(model.transcribe("street.ogg").text)
"""

from typing import TYPE_CHECKING

from tercet.errors import (
    AudioError,
    AudioNotFoundError,
    AudioUnreadableError,
    Cancelled,
    ChannelError,
    CheckpointError,
    DataError,
    EmptyAudioError,
    EngineError,
    FingerprintError,
    HeadError,
    LabelError,
    LanguageError,
    LicenceWarning,
    ModelError,
    ModelNotFoundError,
    NonFiniteAudioError,
    OptionError,
    OutputError,
    PublishError,
    SampleRateError,
    SourceOptionError,
    TercetError,
    TokenizerError,
    TokensError,
    TrainingError,
    UndecodableAudioError,
    UnsafePickleError,
)
from tercet.results import (
    Hearing,
    Progress,
    Segment,
    SoundEvent,
    SoundEvents,
    SpeechTokens,
    Transcript,
    WindowReport,
)

if TYPE_CHECKING:
    from tercet.listener import Model
    from tercet.loading import load_model

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "AudioNotFoundError",
    "AudioUnreadableError",
    "Cancelled",
    "ChannelError",
    "CheckpointError",
    "DataError",
    "EmptyAudioError",
    "EngineError",
    "FingerprintError",
    "HeadError",
    "Hearing",
    "LabelError",
    "LanguageError",
    "LicenceWarning",
    "Model",
    "ModelError",
    "ModelNotFoundError",
    "NonFiniteAudioError",
    "OptionError",
    "OutputError",
    "Progress",
    "PublishError",
    "SampleRateError",
    "Segment",
    "SoundEvent",
    "SoundEvents",
    "SourceOptionError",
    "SpeechTokens",
    "TercetError",
    "TokenizerError",
    "TokensError",
    "TrainingError",
    "Transcript",
    "UndecodableAudioError",
    "UnsafePickleError",
    "WindowReport",
    "load_model",
]


def __getattr__(name: str) -> object:
    """`load_model` and `Model` bring the engines: imported when first used, so `import tercet` is quick."""
    if name == "load_model":
        from tercet.loading import load_model

        return load_model
    if name == "Model":
        from tercet.listener import Model

        return Model
    raise AttributeError(f"module 'tercet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "Model", "load_model"])
