"""What other programs make of a model of this shape, where that is not what one expects."""

from tercet.checkpoint.geometry import Geometry

_LARGE_V3_VOCABULARY = 51866


def whisper_cpp_note(geometry: Geometry) -> str | None:
    """One line where whisper.cpp will leave a model's timestamps out; else None.

    Its loader takes two decoder layers for a first release of Distil-Whisper, which had none, unless the
    vocabulary is large-v3's, and then forbids timestamps.
    """
    if geometry.decoder_layers != 2 or geometry.vocab_size == _LARGE_V3_VOCABULARY:
        return None
    return (
        "whisper.cpp writes no timestamps with it: two decoder layers without large-v3's vocabulary are an "
        "early Distil-Whisper to it; three layers are not"
    )
