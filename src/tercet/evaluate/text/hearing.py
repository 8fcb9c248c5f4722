"""A manifest's recordings written down by a model, clean and with noise; the time that took is measured."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import numpy as np

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, TercetError
from tercet.evaluate.disturbing import Noise, check_babble, noise_of
from tercet.evaluate.mixing import mixed
from tercet.evaluate.recordings import RATE_HZ, samples_of
from tercet.evaluate.text.journal import Heard, Journal
from tercet.listener import FALLBACK_TEMPERATURES, Model
from tercet.results import Transcript
from tercet.train.sets import value_of

Level = tuple[Noise | None, float | None]  # (None, None): the clean recording
_AT_ONCE = 32  # recordings whose windows share batches; bounds memory
_KEPT_FIELDS = 64  # letters of a field's value


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How the recordings are heard."""

    language: str | None = None  # of all; None: each row's own, else what is detected
    task: str = "transcribe"
    fallback: bool = False  # try again at higher temperatures where a text is doubted
    longform: str = "parallel"
    noises: tuple[Noise, ...] = ()
    snrs_db: tuple[float, ...] = ()
    seed: int = 0  # of the noises

    @property
    def options(self) -> dict[str, object]:
        """What `Model.transcribe` is given besides the language."""
        temperature = FALLBACK_TEMPERATURES if self.fallback else (0.0,)
        return {"task": self.task, "temperature": temperature, "longform": self.longform}

    @property
    def levels(self) -> list[Level]:
        """All noises and ratios; the clean recording comes first."""
        return [(None, None), *((kind, snr) for kind in self.noises for snr in self.snrs_db)]


def rows_with_text(manifest: Manifest) -> tuple[Row, ...]:
    """The rows that can be compared with something.

    Raises:
        DataError: none.
    """
    rows = tuple(row for row in manifest.rows if row.text)
    if not rows:
        raise DataError(f"{manifest.path}: no row has a text; there is nothing to compare with")
    return rows


def hear_texts(
    model: Model,
    rows: Sequence[Row],
    settings: TextSettings,
    journal: Journal,
    *,
    fields: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Heard]:
    """Write all rows down, at every noise level; what is in the journal is not heard again.

    Args:
        model: Any.
        rows: With texts.
        settings: How.
        journal: Gets what is heard, a batch at a time.
        fields: Of the rows, to be kept beside their texts.
        on_progress: Called with the recordings done and all of them.

    Returns:
        Of every row and level, rows in their order.

    Raises:
        DataError: there is no other row to make babble of, or a part lies outside its recording.
        AudioError: a recording cannot be heard.
        LanguageError: the model does not know a language.
        OutputError: the journal cannot be written.
    """
    check_babble(rows, settings.noises, settings.snrs_db)
    run = _Run(model, rows, settings, journal, fields, on_progress)
    for level in settings.levels:
        run.hear(level)
    return [journal[key_of(row, *level)] for level in settings.levels for row in rows]


def key_of(row: Row, noise: Noise | None = None, snr_db: float | None = None) -> str:
    """A recording's own name, whatever folder it lies in: last two parts of its path, its part, its noise."""
    part = f"{row.start_s:g}+{'' if row.duration_s is None else f'{row.duration_s:g}'}"
    level = f"{noise}@{snr_db:g}" if noise and snr_db is not None else ""
    return "|".join(["/".join(row.audio.parts[-2:]), part, level])


class _Run:
    """One level after the other."""

    def __init__(
        self,
        model: Model,
        rows: Sequence[Row],
        settings: TextSettings,
        journal: Journal,
        fields: Sequence[str],
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._model, self._rows, self._settings = model, rows, settings
        self._journal, self._fields, self._on_progress = journal, fields, on_progress
        self._done = 0
        self._is_warm = False

    def hear(self, level: Level) -> None:
        """All rows at one level."""
        for numbers in self._batches(level):
            sounds = [self._sound(number, level) for number in numbers]
            language = self._settings.language or self._rows[numbers[0]].language
            if not self._is_warm:  # the first call of a model prepares what all later ones use
                self._texts(sounds[:1], language)
                self._is_warm = True
            began_s = perf_counter()
            texts = self._texts(sounds, language)
            took_s = perf_counter() - began_s
            total = sum(sound.size for sound in sounds)
            self._journal.add(
                self._heard(number, level, text, sound.size, took_s * sound.size / total)
                for number, text, sound in zip(numbers, texts, sounds, strict=True)
            )
            self._step(len(numbers))

    def _batches(self, level: Level) -> Iterator[list[int]]:
        """Numbers of rows of one language that are not heard yet."""
        by_language: dict[str | None, list[int]] = {}
        for number, row in enumerate(self._rows):
            if key_of(row, *level) in self._journal:
                self._step(1)
                continue
            by_language.setdefault(self._settings.language or row.language, []).append(number)
        for numbers in by_language.values():
            waiting = iter(numbers)
            while batch := list(islice(waiting, _AT_ONCE)):
                yield batch

    def _texts(self, sounds: Sequence[np.ndarray], language: str | None) -> list[tuple[str, str]]:
        """Text and language of each."""
        found: dict[int, tuple[str, str]] = {}
        for place, outcome in self._model.transcribe_many(
            sounds, sampling_rate=RATE_HZ, language=language, **self._settings.options
        ):
            if isinstance(outcome, TercetError):
                raise outcome
            assert isinstance(outcome, Transcript)  # one channel
            found[place] = (outcome.text.strip(), language or outcome.language)
        return [found[place] for place in range(len(sounds))]

    def _heard(
        self,
        number: int,
        level: Level,
        text: tuple[str, str],
        n_samples: int,
        took_s: float,
    ) -> Heard:
        row = self._rows[number]
        noise, snr_db = level
        values = {name: str(value_of(row, name))[:_KEPT_FIELDS] for name in self._fields}
        return Heard(
            key=key_of(row, *level),
            reference=str(row.text),
            text=text[0],
            language=text[1],
            duration_s=n_samples / RATE_HZ,
            took_s=took_s,
            noise=noise or "",
            snr_db=snr_db,
            fields=values,
        )

    def _sound(self, number: int, level: Level) -> np.ndarray:
        clean = samples_of(self._rows[number])
        noise, snr_db = level
        if noise is None or snr_db is None:
            return clean
        drawn = noise_of(noise, self._rows, number, clean.size, seed=self._settings.seed)
        return mixed(clean, drawn, snr_db)

    def _step(self, n: int) -> None:
        self._done += n
        if self._on_progress is not None:
            self._on_progress(self._done, len(self._settings.levels) * len(self._rows))
