"""The figures of `tercet eval tokens`, as lines for people and as JSON. Nothing is heard here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.evaluate.word_errors import WordErrors
from tercet.readings.codebook_use import CodebookUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One recording's texts."""

    audio: Path
    language: str
    reference: str
    plain: str
    through_tokens: str

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "audio": str(self.audio),
            "language": self.language,
            "reference": self.reference,
            "plain": self.plain,
            "through_tokens": self.through_tokens,
        }


@dataclass(frozen=True, slots=True)
class NoiseFigures:
    """Codes of all recordings at one noise level, compared with their clean ones."""

    noise: str  # white or babble
    snr_db: float
    edits: int
    codes: int  # clean ones

    @property
    def distance(self) -> float:
        """Edits by clean codes; 0.0: the same codes."""
        return self.edits / max(1, self.codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """All figures."""

    recordings: int
    left_out: int  # rows without a text
    duration_s: float
    plain: WordErrors
    through_tokens: WordErrors
    codebook: tuple[CodebookUse, ...]  # of each level
    noise: tuple[NoiseFigures, ...]
    written: tuple[Written, ...]

    @property
    def lost_points(self) -> float:
        """Corpus WER through codes less that without, in percentage points."""
        return 100 * (self.through_tokens.rate - self.plain.rate)

    def to_json(self) -> dict[str, Any]:
        """Every figure by name, and each recording's texts. Rates are shares, differences points."""
        lost = self.lost_points
        return {
            "recordings": self.recordings,
            "left_out": self.left_out,
            "duration_s": round(self.duration_s, 3),
            "plain": self.plain.to_json(),
            "through_tokens": self.through_tokens.to_json(),
            "lost_points": None if lost != lost else lost,
            "codebook": [use.to_json() for use in self.codebook],
            "noise": [
                {
                    "noise": each.noise,
                    "snr_db": each.snr_db,
                    "edits": each.edits,
                    "codes": each.codes,
                    "distance": each.distance,
                }
                for each in self.noise
            ],
            "written": [each.to_json() for each in self.written],
        }

    def lines(self) -> list[str]:
        """For people."""
        told = f" ({self.left_out} rows without a text left out)" if self.left_out else ""
        return [
            f"recordings           {self.recordings}, {self.duration_s / 60:.1f} minutes{told}",
            "",
            *_word_lines(self.plain, self.through_tokens, self.lost_points),
            *(line for use in self.codebook for line in _use_lines(use)),
            *_noise_lines(self.noise),
        ]


def _word_lines(plain: WordErrors, through: WordErrors, lost_points: float) -> list[str]:
    rows = [
        ("WER", plain.rate, through.rate, f"{lost_points:>+10.2f}"),
        ("mean of utterances", plain.mean_rate, through.mean_rate, ""),
        ("as Ichigo counts", plain.ichigo_rate, through.ichigo_rate, ""),
    ]
    lines = [f"{'%':<20} {'text':>8} {'tokens':>8} {'lost':>10}"]
    lines += [
        f"{name:<20} {100 * one:>8.2f} {100 * two:>8.2f} {lost}".rstrip()
        for name, one, two, lost in rows
    ]
    for name, each in (("text", plain), ("tokens", through)):
        lines.append(
            f"errors, {name:<12} {each.substitutions} substitutions, {each.deletions} deletions, "
            f"{each.insertions} insertions in {each.words} words"
        )
    return lines


def _use_lines(use: CodebookUse) -> list[str]:
    n_codes = len(use.codes)
    return [
        "",
        f"codes                {use.total} heard, {use.used} of {n_codes} used "
        f"({100 * use.utilisation:.1f} %)",
        f"perplexity           {use.perplexity:.1f} ({use.entropy_bits:.2f} bits)",
        f"bits per second      {use.bits_per_second:.1f} of {use.nominal_bits_per_second:.1f}",
        f"adjacent repeats     {100 * use.repeat_share:.1f} %",
    ]


def _noise_lines(noise: Sequence[NoiseFigures]) -> list[str]:
    """A row for each noise, a column for each level."""
    if not noise:
        return []
    levels = list(dict.fromkeys(each.snr_db for each in noise))
    lines = ["", "edits per clean code, %" + "".join(f"{f'{snr:g} dB':>8}" for snr in levels)]
    for kind in dict.fromkeys(each.noise for each in noise):
        cells = (100 * each.distance for each in noise if each.noise == kind)
        lines.append(
            f"{kind + ' noise' * (kind == 'white'):<23}" + "".join(f"{c:>8.1f}" for c in cells)
        )
    return lines
