"""Flags of openai-whisper and its relatives that Tercet knows but does not offer (yet).

A value that asks for what happens anyway (`--beam_size 1`) is accepted and dropped, so that the
command lines people have keep working where they can. Reads no command line itself.
"""

from dataclasses import dataclass

from tercet.errors import OptionError

_LATER = "comes in a later release"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterFlag:
    """A flag that is recognised, and the values that already hold without it."""

    reply: str = _LATER
    accepted: tuple[str, ...] = ()
    boolean: bool = False

    def check(self, name: str, value: str) -> None:
        """Pass where `value` asks for what happens anyway.

        Raises:
            OptionError: it asks for something else.
        """
        if value in self.accepted:
            return
        way_out = f"; until then only {self.accepted[0]!r} is accepted" if self.accepted else ""
        raise OptionError(f"--{name} {self.reply}{way_out if self.reply == _LATER else ''}")


def _switch(*accepted: str) -> LaterFlag:
    return LaterFlag(accepted=accepted, boolean=True)


def _value(*accepted: str) -> LaterFlag:
    return LaterFlag(accepted=accepted)


LATER_FLAGS: dict[str, LaterFlag] = {
    "append_punctuations": _value("\"'.。,，!！?？:：”)]}、"),  # noqa: RUF001 - Whisper's default
    "batched": LaterFlag(
        reply="is always on; --batch_size sets how many windows go together",
        accepted=("True",),
        boolean=True,
    ),
    "beam_size": _value("1", "None"),
    "best_of": _value("1", "None"),
    "carry_initial_prompt": _switch("False"),
    "clip_timestamps": _value("0"),
    "condition_on_previous_text": _switch("False"),
    "fp16": LaterFlag(
        reply="True has no effect here; choose the arithmetic with --compute_type",
        accepted=("False",),
        boolean=True,
    ),
    "hallucination_silence_threshold": _value("None"),
    "highlight_words": _switch("False"),
    "hotwords": _value("None"),
    "initial_prompt": _value("None"),
    "length_penalty": _value("None"),
    "max_line_count": _value("None"),
    "max_line_width": _value("None"),
    "max_words_per_line": _value("None"),
    "model_dir": LaterFlag(
        reply="is not an option here; give --model a folder, or move the cache with HF_HOME",
        accepted=("None",),
    ),
    "multilingual": _switch("False"),
    "no_repeat_ngram_size": _value("0"),
    "patience": _value("None", "1", "1.0"),
    "prefix": _value("None"),
    "prepend_punctuations": _value("\"'“¿([{-"),
    "repetition_penalty": _value("1", "1.0"),
    "word_timestamps": _switch("False"),
}
