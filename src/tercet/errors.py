"""Every error that Tercet raises on purpose. The whole tree, so that one `except` can be chosen at a glance.

    TercetError
    ├── AudioError (ValueError)          something is wrong with what was to be heard
    │   ├── AudioNotFoundError (FileNotFoundError)
    │   ├── AudioUnreadableError         a directory, no permission, a broken pipe
    │   ├── UndecodableAudioError        not audio, truncated beyond use, no audio stream
    │   ├── EmptyAudioError              no sample at all
    │   ├── NonFiniteAudioError          NaN or infinity among the samples
    │   ├── SampleRateError              missing, or outside 8000..192000 Hz
    │   └── ChannelError                 too many channels, or one that is not there
    ├── ModelError
    │   ├── ModelNotFoundError           no such model, folder, or cached copy
    │   ├── CheckpointError              damaged, incomplete, or not a Whisper checkpoint
    │   │   └── UnsafePickleError        a pickle that would run code
    │   ├── TokenizerError               missing or foreign tokenizer
    │   ├── HeadError                    a reading that the model lacks, or a head that does not fit it
    │   └── FingerprintError             parts that were not made for each other
    ├── EngineError                      an engine is missing, or cannot do what was asked
    ├── OptionError (ValueError)         an option has a value that is not allowed
    │   ├── LanguageError                a language that the model does not know
    │   ├── LabelError                   a sound label that the head does not know
    │   └── SourceOptionError            an option that cannot work with this one recording
    ├── TokensError (ValueError)         speech tokens out of range, of another codebook, or damaged
    ├── DataError (ValueError)           a manifest, a split, or cached encoder outputs that cannot be used
    ├── TrainingError                    a training run cannot start, or cannot go on
    ├── OutputError (OSError)            a result could not be written
    ├── PublishError                     a hub did not take what was to be published
    └── Cancelled                        the caller's cancel callback said so

    LicenceWarning (UserWarning)         weights whose licence forbids something that people commonly do

Messages are one line: the input's name, what is wrong, what to do.
"""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_FAULTS = 5


class TercetError(Exception):
    """The base of every error below."""


class AudioError(TercetError, ValueError):
    """The audio itself cannot be used."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """No file at this path."""


class AudioUnreadableError(AudioError):
    """The path exists but cannot be read: a directory, or no permission."""


class UndecodableAudioError(AudioError):
    """No decoder makes sound of these bytes."""


class EmptyAudioError(AudioError):
    """There are no samples."""


class NonFiniteAudioError(AudioError):
    """Samples are NaN or infinite."""


class SampleRateError(AudioError):
    """The sampling rate is missing or outside 8000..192000 Hz."""


class ChannelError(AudioError):
    """More channels than a recording can have, or a channel that is not there."""


class ModelError(TercetError):
    """The model cannot be used."""


class ModelNotFoundError(ModelError):
    """The name leads to no installed package, folder, cached copy or hub repository."""


class CheckpointError(ModelError):
    """The files are damaged, incomplete, or of another architecture."""


class UnsafePickleError(CheckpointError):
    """The pickle refers to code that a checkpoint has no need of."""


class TokenizerError(ModelError):
    """The tokenizer is missing, or belongs to another vocabulary."""


class HeadError(ModelError):
    """The model has no such reading, or the head was made for another shape of encoder."""


class FingerprintError(ModelError):
    """Two parts (an encoder and a head, say) were not made for each other."""


class EngineError(TercetError):
    """The engine is not installed, or cannot do what was asked of it."""


class OptionError(TercetError, ValueError):
    """An option's value is not allowed."""


class LanguageError(OptionError):
    """The model does not know this language."""


class LabelError(OptionError):
    """The tag head knows no sound of this name."""


class SourceOptionError(OptionError):
    """An option needs what this recording cannot do, such as being read twice; others may."""


class TokensError(TercetError, ValueError):
    """Speech tokens that cannot be used: out of range, of another codebook, or in a damaged file."""


class DataError(TercetError, ValueError):
    """A manifest, a split or a folder of encoded windows cannot be used.

    `faults` has a line for everything that is wrong, where that is more than the message tells.
    """

    faults: tuple[str, ...] = ()

    @classmethod
    def of_faults(cls, name: str, faults: "Sequence[str]", advice: str) -> Self:
        """One error for many faults: the message tells the first few and their number."""
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        error = cls(f"{name}: {'; '.join(faults[:_SHOWN_FAULTS])}{more}; {advice}")
        error.faults = tuple(faults)
        return error


class TrainingError(TercetError):
    """A training run cannot start, or cannot go on."""


class OutputError(TercetError, OSError):
    """A result could not be written."""


class PublishError(TercetError):
    """A hub did not take what was to be published, or cannot be reached."""


class Cancelled(TercetError):  # noqa: N818 - a request, not a fault
    """The caller asked to stop."""


class LicenceWarning(UserWarning):
    """Said before weights are used whose licence forbids commercial use, for instance."""
