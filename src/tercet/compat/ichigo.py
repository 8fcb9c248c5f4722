"""ichigo's calls over Tercet: `transcribe`, `get_stoks`, `decode_stoks`, `IchigoASR`; and ichigo_asr's.

    from tercet.compat.ichigo import transcribe

Codes are those of the published packages. docs/compat.md has the differences.
"""

import csv
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tercet.audio.arrays import RATE_HZ
from tercet.audio.load import Recording, load
from tercet.audio.sources import AudioSource
from tercet.compat.ichigo_asr import IchigoWhisper, load_model
from tercet.compat.ichigo_settings import DEFAULT_CONFIG, settings_of
from tercet.compat.ichigo_whole import WINDOW_S, one_row, text_of
from tercet.compat.quiet_cuts import check_chunks, chunks_of
from tercet.compat.text_files import check_writable, whole_file
from tercet.errors import AudioError, AudioNotFoundError, HeadError, OptionError
from tercet.listener import Model
from tercet.loading import load_model as open_model

__all__ = [
    "IchigoASR",
    "IchigoWhisper",
    "decode_stoks",
    "get_model",
    "get_stoks",
    "load_model",
    "transcribe",
]

EXTENSIONS = (".wav", ".mp3", ".flac")
_ERROR = "ERROR"  # what stands in place of a text that could not be had begins so


class IchigoASR:
    """A Whisper with a quantizer, and ichigo's way of asking it: text that goes through speech tokens."""

    def __init__(
        self,
        config: str | Mapping[str, Any] = DEFAULT_CONFIG,
        *,
        model: Model | None = None,
        language: str | None = None,
        **options: Any,
    ) -> None:
        """Open both.

        Args:
            config: "ichigo-asr-2501-en-vi", "ichigo-asr-2501-en", "ichigo-asr-2501-vi", "ichigo-asr-2502-en",
                "whispervq-2405-en"; or {"whisper": name or path, "quantizer": name or path}, as for
                `tercet.load_model`.
            model: An open model with a quantizer, in place of what `config` names.
            language: To write in; None: the configuration's, else the one that each chunk is heard in.
            options: device, compute_type, engine, threads, offline, ...: as for `tercet.load_model`.
                compute_type="float32" gives the published codes; 8 bits, the default, change some.

        Raises:
            OptionError: there is no such configuration.
            HeadError: `model` has no quantizer.
            TercetError: the other errors of `tercet.load_model`.
        """
        if model is None:
            settings = settings_of(config)
            language = language or settings.language
            model = open_model(settings.whisper, tokens=settings.quantizer, **options)
        elif options:
            raise OptionError(f"model is open already; {next(iter(options))} comes too late")
        if not model.has_tokens:
            raise HeadError(
                f"model {model.name!r} has no quantizer; open it with load_model(..., tokens=FILE)"
            )
        self.model = model
        self.language = language

    def get_stoks(self, input_path: AudioSource) -> Any:
        """The codes of a recording's first 30 s, 25 per second: int64 [1, n].

        A torch tensor where torch is installed, else an array. A longer recording gives a warning;
        `model.tokenize` hears all of it. Channels are mixed (ichigo fails on more than one).

        Raises:
            AudioError: the recording cannot be heard.
        """
        blocks, n_samples = load(input_path).blocks(), 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal n_samples
            for block in blocks:
                n_samples += block.size
                yield block

        codes = self._codes(counted())
        if n_samples > WINDOW_S * RATE_HZ:
            warnings.warn(
                f"get_stoks hears {WINDOW_S} of {n_samples / RATE_HZ:.1f} s; "
                "model.tokenize hears all",
                stacklevel=2,
            )
        return one_row(codes)

    def decode_stoks(self, stoks: Any) -> str:
        """The text of codes.

        Args:
            stoks: [1, n] or [n]: a tensor, an array or a list; or the text form. More than 750 are cut there.

        Raises:
            TokensError: they are none, or out of the codebook's range (ichigo_asr's server clips those).
        """
        return text_of(self.model, stoks, self.language).text.strip()

    def transcribe(
        self,
        input_path: str | Path,
        output_path: str | Path | None = "transcription.txt",
        extensions: Iterable[str] = EXTENSIONS,
        chunk: float = 20.0,
        overlap: float = 1.0,
    ) -> tuple[str, dict[str, float]] | dict[str, str]:
        """Write down a recording, or each one of a folder, by way of its codes.

        Args:
            input_path: A file, or a folder, whose own files are taken (not those of folders in it).
            output_path: The text's file. For a folder: the CSV file, or the folder of a `transcription.csv`.
                None: no file; for a folder, `transcription.csv` in it.
            extensions: Files of other kinds are refused, in a folder passed over.
            chunk: Seconds after which a recording is cut, where it is quietest.
            overlap: It is cut so many seconds earlier or later; nothing overlaps.

        Returns:
            For a file its text, and stok_rate (codes per second), audio_length and process_time (seconds),
            rtf (of the two). For a folder the text of each file by its name, or "ERROR: ..".

        Raises:
            AudioError: the file cannot be heard.
            OptionError: a value is not allowed.
            OutputError: a result cannot be written.
        """
        check_chunks(chunk, overlap)
        path, kinds = Path(input_path), tuple(kind.lower() for kind in extensions)
        if path.is_dir():
            return self._folder(path, output_path, kinds, chunk, overlap)
        if not path.is_file():
            raise AudioNotFoundError(f"{path}: there is no such file or folder; check the path")
        if path.suffix.lower() not in kinds:
            raise OptionError(f"{path}: is none of {', '.join(kinds)}; add it to extensions")
        if output_path is not None:
            check_writable(Path(output_path))
        text, figures = self._hear(load(path), chunk, overlap)
        if output_path is not None:
            with whole_file(Path(output_path)) as file:
                file.write(text)
        return text, figures

    def transcribe_tensor(self, wav: AudioSource, chunk: float = 20.0, overlap: float = 1.0) -> str:
        """The text of samples at 16 kHz, [1, n] or [n].

        A last chunk shorter than 1 s joins the one before it.

        Raises:
            AudioError: they are no samples.
            OptionError: a value is not allowed.
        """
        check_chunks(chunk, overlap)
        blocks = load(wav).blocks()
        chunks = chunks_of(blocks, chunk, overlap, joins_short_end=True)
        return " ".join(self._text(self._codes(each)) for each in chunks)

    def _hear(
        self, recording: Recording, chunk: float, overlap: float
    ) -> tuple[str, dict[str, float]]:
        start_s = time.perf_counter()
        texts, n_codes, n_samples = [], 0, 0
        for each in chunks_of(recording.blocks(), chunk, overlap):
            codes = self._codes(each)
            texts.append(self._text(codes))
            n_codes, n_samples = n_codes + len(codes), n_samples + each.size
        length_s, spent_s = n_samples / RATE_HZ, time.perf_counter() - start_s
        return " ".join(texts), {
            # Differs from ichigo, which counts the codes of the first 30 s alone.
            "stok_rate": n_codes / length_s,
            "audio_length": length_s,
            "process_time": spent_s,
            "rtf": spent_s / length_s,
        }

    def _codes(self, samples: np.ndarray | Iterator[np.ndarray]) -> np.ndarray:
        codes: np.ndarray = self.model.tokenize(samples, match="ichigo").ids
        return codes

    def _text(self, codes: np.ndarray) -> str:
        return self.decode_stoks(codes)

    def _folder(
        self,
        folder: Path,
        output_path: str | Path | None,
        kinds: tuple[str, ...],
        chunk: float,
        overlap: float,
    ) -> dict[str, str]:
        """Each recording of a folder; one that cannot be heard harms no other."""
        output = folder if output_path is None else Path(output_path)
        output = output / "transcription.csv" if output.is_dir() else output
        files = sorted(each for each in folder.iterdir() if each.is_file() and each != output)
        wanted = [each for each in files if each.suffix.lower() in kinds]
        if skipped := [each.name for each in files if each not in wanted]:
            warnings.warn(
                f"{folder}: {len(skipped)} files that are none of {', '.join(kinds)} are passed over: "
                + ", ".join(skipped),
                stacklevel=3,
            )
        if not wanted:
            warnings.warn(f"{folder}: holds no files {', '.join(kinds)}", stacklevel=3)
            return {}
        texts: dict[str, str] = {}
        with whole_file(output) as file:
            # Differs from ichigo, whose quotes and line breaks leave no readable CSV.
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("filename", "transcription"))
            for each in wanted:
                try:
                    texts[each.name], _ = self._hear(load(each), chunk, overlap)
                except AudioError as error:
                    texts[each.name] = f"{_ERROR}: Error processing {each.name}: {error}"
                rows.writerow((each.name, texts[each.name]))
        return texts


_opened: tuple[dict[str, Any], IchigoASR] | None = None


def get_model(**kwargs: Any) -> IchigoASR:
    """The model that the functions of this module use: opened once, with `IchigoASR`'s arguments.

    Without arguments, it is the one that is open. Differs from ichigo, which goes on with the first model
    whatever the arguments are: others open another one.
    """
    global _opened
    if _opened is None or (kwargs and kwargs != _opened[0]):
        _opened = (kwargs, IchigoASR(**kwargs))
    return _opened[1]


def transcribe(
    input_path: str | Path,
    output_path: str | Path | None = None,
    extensions: Iterable[str] = EXTENSIONS,
    **kwargs: Any,
) -> tuple[str, dict[str, float]] | dict[str, str]:
    """`IchigoASR.transcribe` with the model of `get_model(**kwargs)`."""
    return get_model(**kwargs).transcribe(input_path, output_path, extensions)


def get_stoks(input_path: AudioSource, **kwargs: Any) -> Any:
    """`IchigoASR.get_stoks` with the model of `get_model(**kwargs)`."""
    return get_model(**kwargs).get_stoks(input_path)


def decode_stoks(stoks: Any, **kwargs: Any) -> str:
    """`IchigoASR.decode_stoks` with the model of `get_model(**kwargs)`."""
    return get_model(**kwargs).decode_stoks(stoks)
