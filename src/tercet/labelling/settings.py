"""What decides how a label comes out; the number of threads or the size of a batch do not."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError
from tercet.hub.adapters import adapter_content

LONGEST_S = 30.0
_TEMPERATURES = FallbackPolicy().temperatures


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """How windows are made of recordings, and how the teacher writes them down."""

    model: str = "base"
    adapter: str | None = None  # PEFT's, merged into it
    compute_type: str = "auto"
    language: str | None = None  # code, for rows that do not say theirs; None: it is heard
    task: str = "transcribe"
    without_timestamps: bool = False
    temperatures: tuple[float, ...] = _TEMPERATURES  # of a doubtful text's further attempts
    pack_s: float = LONGEST_S  # short recordings of a speaker are joined up to this; 0: never
    gap_s: float = 0.2  # silence between them

    def __post_init__(self) -> None:
        if not 0 <= self.pack_s <= LONGEST_S:
            raise OptionError(f"pack_s is {self.pack_s}; give 0 to {LONGEST_S:g} seconds")
        if not 0 <= self.gap_s <= 5:
            raise OptionError(f"gap_s is {self.gap_s}; give 0 to 5 seconds")
        _ = self.decode_options, self.policy  # they check the rest

    @property
    def decode_options(self) -> DecodeOptions:
        """The decoder's."""
        return DecodeOptions(task=self.task, without_timestamps=self.without_timestamps)

    @property
    def policy(self) -> FallbackPolicy:
        """When a text is tried again. Nothing is dropped for silence: the filter does that, and says so."""
        return FallbackPolicy(temperatures=self.temperatures, no_speech_threshold=None)

    def told(self, *, encoder: str, decoder: str) -> dict[str, Any]:
        """All of it, with the teacher's fingerprints, as JSON has it.

        An adapter on this machine stands for its content, and is not told of where there is none.
        """
        own = asdict(self)
        if own.pop("adapter") is not None:
            own["adapter"] = adapter_content(str(self.adapter), self.model)
        return {
            **own,
            "temperatures": list(self.temperatures),
            "encoder": encoder,
            "decoder": decoder,
        }


def settings_hash(told: dict[str, Any]) -> str:
    """16 hex digits that labels made alike share. The model's name does not count: its weights do."""
    counted = {key: value for key, value in told.items() if key != "model"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]
