"""What the library says to Python's users, said to those of the command line."""

import pytest

from tercet.cli.wording import as_said_here
from tercet.engine.heads import Heads
from tercet.errors import HeadError, SourceOptionError, TercetError
from tercet.longform.instruments import Instruments


def lacking(reading: str) -> HeadError:
    """What a model without heads says of one."""
    parts = dict.fromkeys(("encoder", "decoder", "tokenizer"))
    bare = Instruments(name="base", heads=Heads(), batch_size=1, overlap=False, **parts)  # type: ignore[arg-type]
    with pytest.raises(HeadError) as caught:
        getattr(bare, reading)
    return caught.value


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ("model 'base' has no tag head; give one: --tags FILE", lacking("tags")),
        ("model 'base' has no quantizer; give one: --tokens FILE", lacking("codes")),
        (
            "a.safetensors: is a quantizer; give it as --tokens FILE, not as --tags",
            HeadError("a.safetensors: is a quantizer; give it as tokens=FILE, not as tags="),
        ),
        (
            "a.safetensors: is no draft; give it as --tags FILE, not as --draft",
            HeadError("a.safetensors: is no draft; give it as tags=FILE, not as draft="),
        ),
        (
            "<stdin>: --channel each reads it once per channel",
            SourceOptionError("<stdin>: channel='each' reads it once per channel"),
        ),
        (
            "a.mkv: --match whisper-at reads it twice",
            SourceOptionError("a.mkv: match 'whisper-at' reads it twice"),
        ),
        ("my-tags=1.wav: not audio", HeadError("my-tags=1.wav: not audio")),
        ("/x/tokens=FILE: is a folder", HeadError("/x/tokens=FILE: is a folder")),
    ],
)
def test_arguments_are_named_as_options(expected: str, error: TercetError) -> None:
    assert expected == as_said_here(error)
