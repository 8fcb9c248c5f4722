"""`tercet eval tokens`: what is left of speech once it went through codes, and how steady the codes are.

Each recording is written down as it is, and from its codes; both texts are compared with the manifest's.
Then it is turned into codes again with noise in it, and those are compared with the clean ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, TercetError
from tercet.evaluate.disturbing import NOISES, Noise, check_babble, noise_of
from tercet.evaluate.edit_distance import edit_distance
from tercet.evaluate.mixing import mixed
from tercet.evaluate.recordings import RATE_HZ, samples_of
from tercet.evaluate.token_report import NoiseFigures, TokenReport, Written
from tercet.evaluate.token_text import texts_of
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.listener import FALLBACK_TEMPERATURES, Model
from tercet.readings.codebook_use import CodebookCounter
from tercet.results import SpeechTokens

_AT_ONCE = 32  # recordings whose windows share batches; bounds memory


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """How the recordings are heard."""

    language: str | None = None  # of all; None: each row's own, else what is detected
    fallback: bool = False  # try again at higher temperatures where a text is doubted
    noises: tuple[Noise, ...] = NOISES
    snrs_db: tuple[float, ...] = (20.0, 10.0, 5.0, 0.0)
    seed: int = 0  # of the noises

    @property
    def temperature(self) -> tuple[float, ...]:
        """What decoding is given."""
        return FALLBACK_TEMPERATURES if self.fallback else (0.0,)


def evaluate_tokens(
    model: Model,
    manifest: Manifest,
    settings: TokenSettings | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> TokenReport:
    """Hear all of a manifest and compare.

    Args:
        model: With a quantizer.
        manifest: Rows with a text; others are left out.
        settings: See `TokenSettings`; None: its defaults.
        on_progress: Called with the steps done and all of them.

    Raises:
        HeadError: the model has no quantizer.
        DataError: no row has a text, or there is no other row to make babble of.
        AudioError: a recording cannot be heard.
        LanguageError: the model does not know a language.
        EngineError: jiwer is not installed.
    """
    settings = settings or TokenSettings()
    rows = tuple(row for row in manifest.rows if row.text)
    if not rows:
        raise DataError(f"{manifest.path}: no row has a text; there is nothing to compare with")
    check_babble(rows, settings.noises, settings.snrs_db)
    run = _Run(model, rows, settings, on_progress)
    for numbers in _batches(rows, settings):
        run.hear(numbers)
    return run.report(left_out=len(manifest.rows) - len(rows))


def _batches(rows: Sequence[Row], settings: TokenSettings) -> Iterator[list[int]]:
    """Numbers of rows of one language that are heard together."""
    by_language: dict[str | None, list[int]] = {}
    for number, row in enumerate(rows):
        by_language.setdefault(settings.language or row.language, []).append(number)
    for numbers in by_language.values():
        waiting = iter(numbers)
        while batch := list(islice(waiting, _AT_ONCE)):
            yield batch


class _Run:
    """Adds up one batch after the other."""

    def __init__(
        self,
        model: Model,
        rows: Sequence[Row],
        settings: TokenSettings,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._model, self._rows, self._settings = model, rows, settings
        self._on_progress = on_progress
        self._levels = [(kind, snr) for kind in settings.noises for snr in settings.snrs_db]
        self._done = 0
        self._written: dict[int, Written] = {}
        self._counter: CodebookCounter | None = None
        self._edits = dict.fromkeys(self._levels, 0)
        self._codes = 0
        self._duration_s = 0.0

    def hear(self, numbers: Sequence[int]) -> None:
        """Text, codes, text of the codes, and codes under noise, of some rows of one language."""
        sounds = [samples_of(self._rows[number]) for number in numbers]
        language = self._settings.language or self._rows[numbers[0]].language
        temperature = self._settings.temperature
        heard: dict[int, Any] = {}
        for place, outcome in self._model.listen_many(
            sounds, only=("text", "tokens"), sampling_rate=RATE_HZ,
            language=language, temperature=temperature,
        ):  # fmt: skip
            if isinstance(outcome, TercetError):
                raise outcome
            heard[place] = outcome
            self._step()
        detected = [heard[place].language for place in range(len(numbers))]
        languages = [language or (None if code in (None, "und") else code) for code in detected]
        tokens = [heard[place].speech_tokens for place in range(len(numbers))]
        through = texts_of(self._model, tokens, languages, {"temperature": temperature})
        self._step(len(numbers))
        for place, number in enumerate(numbers):
            row = self._rows[number]
            self._written[number] = Written(
                audio=row.audio,
                language=languages[place] or "und",
                reference=str(row.text),
                plain=heard[place].transcript.text.strip(),
                through_tokens=through[place],
            )
            self._duration_s += sounds[place].size / RATE_HZ
            self._count(tokens[place])
            self._disturb(number, sounds[place], tokens[place])

    def report(self, *, left_out: int) -> TokenReport:
        """The figures of all rows."""
        written = [self._written[number] for number in sorted(self._written)]
        levels = [
            NoiseFigures(kind, snr_db, edits, self._codes)
            for (kind, snr_db), edits in self._edits.items()
        ]
        return TokenReport(
            recordings=len(written),
            left_out=left_out,
            duration_s=self._duration_s,
            plain=word_errors([Utterance(w.reference, w.plain, w.language) for w in written]),
            through_tokens=word_errors(
                [Utterance(w.reference, w.through_tokens, w.language) for w in written]
            ),
            codebook=() if self._counter is None else self._counter.use(),
            noise=tuple(levels),
            written=tuple(written),
        )

    def _count(self, tokens: SpeechTokens) -> None:
        if self._counter is None:
            self._counter = CodebookCounter(
                tokens.codebook_size,
                mask_code=tokens.mask_code,
                rate_hz=tokens.rate_hz,
                depth=tokens.depth,
            )
        self._counter.add(tokens.ids)
        self._codes += len(tokens)

    def _disturb(self, number: int, sound: np.ndarray, clean: SpeechTokens) -> None:
        """Codes of one row under each noise; the same noise at every level."""
        for kind in self._settings.noises:
            if not self._settings.snrs_db:
                return
            noise = noise_of(kind, self._rows, number, sound.size, seed=self._settings.seed)
            for snr_db in self._settings.snrs_db:
                noisy = mixed(sound, noise, snr_db)
                codes = self._model.tokenize(noisy, sampling_rate=RATE_HZ)
                self._edits[kind, snr_db] += edit_distance(clean.ids, codes.ids)
                self._step()

    def _step(self, n: int = 1) -> None:
        self._done += n
        if self._on_progress is not None:
            steps = 2 + len(self._levels)
            self._on_progress(self._done, steps * len(self._rows))
