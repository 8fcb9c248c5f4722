"""ichigo_asr's `load_model` over Tercet: quantize, dequantize, inference. Trains nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tercet.audio.load import load
from tercet.audio.sources import AudioSource
from tercet.compat.ichigo_settings import SIZES
from tercet.compat.ichigo_whole import one_row, text_of
from tercet.compat.later import LATER_OPTIONS
from tercet.engine.heads import OpenCodes
from tercet.errors import ChannelError, HeadError, OptionError
from tercet.listener import Model
from tercet.loading import load_model as open_model
from tercet.readings.codebook_use import CodebookCounter
from tercet.readings.codes import Codebook, groups_of
from tercet.results import Transcript

_MOST_CODES = 750  # 30 s


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceResult:
    """One text, with those fields of openai-whisper's `DecodingResult` that are known of it."""

    text: str
    language: str
    tokens: tuple[int, ...]  # text ids and timestamps
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    compression_ratio: float


class IchigoWhisper:
    """A quantizer, and the Whisper that it was made for, which is opened when it is first needed."""

    def __init__(
        self,
        quantizer: str | Path,
        whisper: str | Path,
        *,
        n_codes: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Made by `load_model`."""
        self._quantizer, self._whisper = quantizer, whisper
        self._n_codes = n_codes
        self._options = {"device": "auto", **(options or {})}
        self._language: str | None = None
        self._model: Model | None = None
        self._counter: CodebookCounter | None = None

    @property
    def model(self) -> Model:
        """Tercet's own model.

        Raises:
            HeadError: the quantizer has another number of codes than its size says.
            TercetError: the other errors of `tercet.load_model`.
        """
        if self._model is None:
            model = open_model(self._whisper, tokens=self._quantizer, **self._options)
            head = _codes_of(model).head
            if self._n_codes is not None and head.codebook_size != self._n_codes + 1:
                raise HeadError(
                    f"{self._quantizer}: has {head.codebook_size} codes, but the size that was named has "
                    f"{self._n_codes + 1}; give its own size"
                )
            self._counter = CodebookCounter(head.codebook_size, depth=head.depth)
            self._model = model
        return self._model

    def to(self, device: object) -> "IchigoWhisper":
        """Choose where it runs, before it is first used.

        Raises:
            OptionError: it is open elsewhere already.
        """
        where, before = str(device).removesuffix(":0"), self._options["device"]
        if self._model is None:
            self._options["device"] = where
        elif where != before and not {where, before} <= {"auto", "cpu"}:
            raise OptionError(f"device is {where!r}, but the model is open; call to() before that")
        return self

    def eval(self) -> "IchigoWhisper":
        """Itself: nothing is ever trained here."""
        return self

    def ensure_whisper(
        self, device: object = None, language: str | None = None, prompt: str | None = None
    ) -> None:
        """Open the Whisper, unless it is open.

        Args:
            device: As for `to`.
            language: To write in; None: the one that is heard.
            prompt: Comes later.

        Raises:
            OptionError: `prompt` is given.
            LanguageError: the model does not know the language.
            TercetError: the errors of `tercet.load_model`.
        """
        LATER_OPTIONS["prompt"].check("prompt", prompt)
        if self._model is not None:
            return
        if device is not None:
            self.to(device)
        if language is not None:
            language = self.model.tokenizer.language_code(language)
        self._language = language
        _ = self.model

    setup = ensure_whisper

    def quantize(self, audio: AudioSource) -> Any:
        """The codes of each recording's first 30 s: int64 [1, n], or [batch, n] of samples [batch, samples].

        A torch tensor where torch is installed, else an array. Of a file, the channels are mixed (there, the
        first is taken).

        Raises:
            AudioError: it cannot be heard.
        """
        shape = tuple(getattr(audio, "shape", ()))
        if len(shape) == 2 and shape[0] > shape[1]:
            raise ChannelError(f"<array>: has the shape {list(shape)}; give [batch, samples]")
        recordings = list(audio) if len(shape) == 2 else [audio]  # type: ignore[call-overload]
        codes = [self._quantize(load(each).blocks()) for each in recordings]
        return one_row(codes[0]) if len(codes) == 1 else _rows(codes)

    def dequantize(self, stoks: Any) -> Any:
        """The states that the decoder reads, float32 [1, 1500, width], from codes [1, n] or [n], n up to 750.

        Raises:
            TokensError: a code is out of the codebook's range (there: an index error, or another code).
            OptionError: there are more than 750.
        """
        from tercet.model.tensors import as_tensor_if_possible  # late: only results need torch

        codes = _codes_of(self.model)
        groups = groups_of(stoks, head=Codebook.of(codes.head, codes.codebook))
        if len(groups) > 1:
            raise OptionError(
                f"there are more than {_MOST_CODES} codes (30 s); dequantize them in parts"
            )
        ids = groups[0] if groups else np.zeros(0, np.int32)
        return as_tensor_if_possible(np.array(codes.coder.decode(ids), np.float32)[None])

    def inference(self, samples: AudioSource) -> list[InferenceResult]:
        """What is said in the first 30 s, by way of codes: one result; `[0].text` is the text.

        Raises:
            AudioError: the samples cannot be heard.
        """
        return [_result(text_of(self.model, self.quantize(samples), self._language))]

    def get_codebook_stats(self) -> dict[str, Any]:
        """How the codes of all `quantize` calls so far use the codebook, the mask's row included.

        Returns:
            used_codes, utilization (percent), entropy (bits), usage_per_code (a list). There, these are
            figures of the last training step.
        """
        assert self.model is not None  # opens it
        assert self._counter is not None
        use = self._counter.use()[0]
        return {
            "used_codes": use.used,
            "utilization": 100.0 * use.utilisation,
            "entropy": use.entropy_bits,
            "usage_per_code": use.counts.tolist(),
        }

    def _quantize(self, samples: Iterator[np.ndarray]) -> np.ndarray:
        ids: np.ndarray = self.model.tokenize(samples, match="ichigo").ids
        assert self._counter is not None
        self._counter.add(ids)
        return ids


def load_model(
    ref: str | Path | None,
    size: str | None = None,
    repo_id: str | None = None,
    filename: str | None = None,
    local_dir: str | Path | None = None,
    local_filename: str | Path | None = None,
    *,
    whisper: str | Path | None = None,
    **options: Any,
) -> IchigoWhisper:
    """A quantizer by its place.

    Args:
        ref: A path, "repository:file" on the hub, or a catalogued name.
        size: One of ichigo_asr's, which names the Whisper: "merge-medium-vi-2d-2560c-dim64", ...
        repo_id: With `filename`: the same as "repo_id:filename".
        filename: See `repo_id`.
        local_dir: Has no place here: what is fetched lies in the hub's cache (HF_HOME moves it).
        local_filename: A path, in place of `ref`.
        whisper: A Whisper's name or path, in place of `size`.
        options: compute_type, engine, threads, offline, ...: as for `tercet.load_model`.

    Raises:
        OptionError: a value is not allowed. All else is checked when the model is first used.
    """
    if local_dir is not None:
        raise OptionError("local_dir has no effect here; HF_HOME moves the cache, leave it out")
    if local_filename is not None:
        ref = Path(local_filename)
    elif repo_id is not None and filename is not None:
        ref = f"{repo_id}:{filename}"
    if ref is None:
        raise OptionError("ref is None; give a path, or repository:file")
    if whisper is not None:
        return IchigoWhisper(ref, whisper, options=options)
    if size not in SIZES:
        raise OptionError(f"size is {size!r}; give one of {', '.join(SIZES)}, or whisper=NAME")
    of_size, n_codes = SIZES[size]
    return IchigoWhisper(ref, of_size, n_codes=n_codes, options=options)


def _codes_of(model: Model) -> OpenCodes:
    """The quantizer of a model that has one."""
    return model._instruments.codes


def _rows(codes: list[np.ndarray]) -> Any:
    """Codes of equally long recordings, int64 [batch, n]."""
    from tercet.model.tensors import as_tensor_if_possible

    return as_tensor_if_possible(np.stack(codes).astype(np.int64))


def _result(transcript: Transcript) -> InferenceResult:
    nothing = float("nan")
    first = transcript.segments[0] if transcript.segments else None
    return InferenceResult(
        text=transcript.text.strip(),
        language=transcript.language,
        tokens=tuple(token for each in transcript.segments for token in each.tokens),
        avg_logprob=first.avg_logprob if first else nothing,
        no_speech_prob=first.no_speech_prob if first else nothing,
        temperature=first.temperature if first else nothing,
        compression_ratio=first.compression_ratio if first else nothing,
    )
