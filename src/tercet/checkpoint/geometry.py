"""The shape of a Whisper model: the ten numbers that fix every array in it. No weights here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes of one checkpoint (Whisper, arXiv:2212.04356, table 1).

    Distilled decoders differ in depth only.
    """

    n_mels: int  # 80, or 128 from large-v3 on
    width: int  # d_model, the same on both sides
    encoder_layers: int
    encoder_heads: int
    decoder_layers: int
    decoder_heads: int
    vocab_size: int  # 51864 (.en), 51865, or 51866 (large-v3: one more language)
    n_audio_ctx: int = 1500  # encoder positions: 30 s at 50 per second
    n_text_ctx: int = 448  # decoder positions
    mlp_width: int = 0  # 0 means 4 x width

    def __post_init__(self) -> None:
        if self.mlp_width == 0:
            object.__setattr__(self, "mlp_width", 4 * self.width)

    @property
    def is_multilingual(self) -> bool:
        """Whether the vocabulary has language tokens (the `.en` models have one id less)."""
        return self.vocab_size >= 51865

    @property
    def n_languages(self) -> int:
        """99, or 100 from large-v3 on; 99 ids are present but unused in `.en` models."""
        return self.vocab_size - 51765 - int(self.is_multilingual)
