"""Speech with sounds in it, class by class and level by level: which words are lost, which sounds are known.

Whisper-AT's experiment (arXiv:2307.03183): the first utterances of a manifest, each with one clip of every
class of sounds, at every ratio (how: `mixing.mixed`). The sounds are those that a probe was not fitted on,
so that it can be asked which one it hears under the speech.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError, TercetError
from tercet.evaluate.layers import LayerFigures, OnProgress, Sounds, TapsOf, mean_taps
from tercet.evaluate.mixing import fitted, mixed, rms
from tercet.evaluate.recordings import RATE_HZ, samples_of
from tercet.evaluate.word_errors import Utterance, WordErrors, word_errors
from tercet.listener import FALLBACK_TEMPERATURES, Model

SNRS_DB = tuple(float(snr) for snr in range(20, -25, -5))
UTTERANCES = 40
_LOSS_BETWEEN_DB = (-10.0, 20.0)  # Whisper-AT's measure of what a sound does to speech
_FEWEST_CLASSES = 3  # for a correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisySettings:
    """What is mixed, and how it is heard."""

    utterances: int = UTTERANCES
    snrs_db: tuple[float, ...] = SNRS_DB
    language: str = "en"
    fallback: bool = False  # try again at higher temperatures where a text is doubted


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyFigures:
    """Figures by class and level."""

    names: tuple[str, ...]
    snrs_db: tuple[float, ...]  # as asked
    utterances: int
    layer: int  # whose probe was asked, from 1
    clean: WordErrors
    words: Mapping[tuple[str, float], WordErrors]  # (class, level)
    known: Mapping[tuple[str, float], int]  # utterances under which the probe named the class
    last_layer_f1: Mapping[str, float]  # of the clean sounds

    def word_error_rate(self, snr_db: float) -> float:
        """Corpus WER of all classes at a level."""
        each = [self.words[name, snr_db] for name in self.names]
        errors = sum(one.substitutions + one.deletions + one.insertions for one in each)
        return errors / max(1, sum(one.words for one in each))

    def accuracy(self, snr_db: float) -> float:
        """Share of all mixtures of a level whose sound the probe named."""
        hits = sum(self.known[name, snr_db] for name in self.names)
        return hits / (self.utterances * len(self.names))

    @property
    def lost_between_db(self) -> tuple[float, float]:
        """The levels between which `words_lost` counts: -10 and 20 dB, or the lowest and the highest."""
        low, high = _LOSS_BETWEEN_DB
        if low in self.snrs_db and high in self.snrs_db:
            return low, high
        return min(self.snrs_db), max(self.snrs_db)

    @property
    def words_lost(self) -> dict[str, float]:
        """By class, how much higher the WER is at the lower of `lost_between_db`."""
        low, high = self.lost_between_db
        return {
            name: self.words[name, low].rate - self.words[name, high].rate for name in self.names
        }

    @property
    def correlation(self) -> float | None:
        """Between how well the last layer knows a class and what that class does to words (Pearson's r).

        None where fewer than three classes, or no differences, give no ground for one.
        """
        known = np.array([self.last_layer_f1[name] for name in self.names])
        lost = np.array(list(self.words_lost.values()))
        if len(known) < _FEWEST_CLASSES or not known.std() or not lost.std():
            return None
        return float(np.corrcoef(known, lost)[0, 1])


def hear_noisy_speech(
    model: Model,
    taps_of: TapsOf,
    speech: Manifest,
    sounds: Sounds,
    figures: LayerFigures,
    settings: NoisySettings | None = None,
    *,
    on_progress: OnProgress = None,
) -> NoisyFigures:
    """Mix, write down, compare; and ask the best layer's probe which sound it is.

    Args:
        model: What writes down.
        taps_of: Its encoder, for the probe.
        speech: Rows with a text.
        sounds: What was heard for `figures`.
        figures: Of the probes.
        settings: See `NoisySettings`; None: Whisper-AT's.
        on_progress: See `OnProgress`.

    Raises:
        DataError: no row has a text, or a sound is silent.
        AudioError: a recording cannot be heard.
        LanguageError: the model does not know the language.
        EngineError: jiwer is not installed.
    """
    settings = settings or NoisySettings()
    rows = sorted((row for row in speech.rows if row.text), key=lambda row: str(row.audio))
    rows = rows[: settings.utterances]
    if not rows:
        raise DataError(f"{speech.path}: no row has a text; there is nothing to compare with")
    run = _Run(model, taps_of, rows, figures, settings, on_progress)
    clips = {name: _clips_of(name, sounds, figures, len(rows)) for name in figures.names}
    mixer = _Mixer(run.speech, clips)
    words: dict[tuple[str, float], WordErrors] = {}
    known: dict[tuple[str, float], int] = {}
    clean = run.words_in(run.speech)
    if not clean.words:
        raise DataError(f"{speech.path}: no text has a word once it is normalised; mend the texts")
    for snr_db in settings.snrs_db:
        for number, name in enumerate(figures.names):
            heard = mixer.mixtures(name, snr_db)
            words[name, snr_db] = run.words_in(heard)
            folds = [clip.fold for clip in clips[name]]
            known[name, snr_db] = run.named(heard, folds).count(number)
    return NoisyFigures(
        names=figures.names,
        snrs_db=settings.snrs_db,
        utterances=len(rows),
        layer=figures.best_layer,
        clean=clean,
        words=words,
        known=known,
        last_layer_f1=dict(zip(figures.names, figures.f1[:, -2].tolist(), strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Clip:
    row: Row
    fold: str

    @property
    def place(self) -> tuple[object, ...]:
        """Which part of which recording it is."""
        return (self.row.audio, self.row.start_s, self.row.duration_s)


def _clips_of(name: str, sounds: Sounds, figures: LayerFigures, n: int) -> list[_Clip]:
    """As many held-out clips of a class as there are utterances; from the first again where they end."""
    number = sounds.names.index(name)
    mine = [
        _Clip(row, fold)
        for row, fold, of_class in zip(sounds.rows, sounds.groups, sounds.classes, strict=True)
        if of_class == number and fold in figures.held_out
    ]
    if not mine:
        raise DataError(f"held out: no sound {name!r} to mix; hold out a fold that has one")
    return [mine[at % len(mine)] for at in range(n)]


class _Mixer:
    """Mixtures of the same utterances with each class's clips; all clips are looked at first."""

    def __init__(self, speech: Sequence[np.ndarray], clips: Mapping[str, Sequence[_Clip]]) -> None:
        self._speech = speech
        self._noises: dict[str, list[np.ndarray]] = {}
        for name, of_class in clips.items():
            samples = {clip.place: samples_of(clip.row) for clip in of_class}
            self._noises[name] = [samples[clip.place] for clip in of_class]
            for clip, noise, sound in zip(of_class, self._noises[name], speech, strict=True):
                if rms(fitted(noise, sound.size)) == 0.0:
                    raise DataError(f"{clip.row.audio}: is silent; leave it out of the manifest")

    def mixtures(self, name: str, snr_db: float) -> list[np.ndarray]:
        """Every utterance with its clip of a class."""
        pairs = zip(self._speech, self._noises[name], strict=True)
        return [mixed(sound, noise, snr_db) for sound, noise in pairs]


class _Run:
    """Hears sets of the same utterances, changed or not."""

    def __init__(
        self,
        model: Model,
        taps_of: TapsOf,
        rows: Sequence[Row],
        figures: LayerFigures,
        settings: NoisySettings,
        on_progress: OnProgress,
    ) -> None:
        self.speech = [samples_of(row) for row in rows]
        self._model, self._taps_of, self._figures = model, taps_of, figures
        self._texts = [str(row.text) for row in rows]
        self._language = settings.language
        self._temperature = FALLBACK_TEMPERATURES if settings.fallback else (0.0,)
        self._on_progress = on_progress
        sets = len(settings.snrs_db) * len(figures.names)
        self._done, self._steps = 0, len(rows) * (1 + 2 * sets)

    def words_in(self, sounds: Sequence[np.ndarray]) -> WordErrors:
        """Write them down and compare."""
        heard = [""] * len(sounds)
        outcomes = self._model.transcribe_many(
            sounds, sampling_rate=RATE_HZ, language=self._language, temperature=self._temperature
        )
        for number, outcome in outcomes:
            if isinstance(outcome, TercetError):
                raise outcome
            assert not isinstance(outcome, tuple)  # one channel
            heard[number] = outcome.text
            self._step()
        pairs = zip(self._texts, heard, strict=True)
        return word_errors([Utterance(said, text, self._language) for said, text in pairs])

    def named(self, sounds: Sequence[np.ndarray], folds: Sequence[str]) -> list[int]:
        """The class that the best layer's probe names, fitted without the fold that each sound is from."""
        layer = self._figures.best_layer - 1
        found = []
        for sound, fold in zip(sounds, folds, strict=True):
            features = mean_taps(self._taps_of, sound)[layer][None].astype(np.float64)
            found.append(int(self._figures.probes[fold][layer].classes_of(features)[0]))
            self._step()
        return found

    def _step(self) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._steps)
