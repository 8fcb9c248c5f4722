"""What the folder of a training run says: its recipe's values, its figures, what it was made with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.errors import DataError
from tercet.publish.json_files import number, read_object

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run."""

    folder: Path
    settings: Mapping[str, Any]  # every value of the recipe by its dotted key
    validation: Mapping[str, float]  # of the weights that it gave
    steps: int | None
    weights: str | None  # "last", "best", "average"
    commit: str | None
    packages: Mapping[str, str]
    report: (
        str | None
    )  # report.md without its title; of heads, which have tables of their own there
    before_and_after: str | None = None  # its table of that, of text decoders; with what it means

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.settings.get("name") or self.folder.name)

    @property
    def teacher(self) -> str | None:
        """The teacher's name or folder; None where the run had none."""
        has_one = self.is_of_text and number(self.settings.get("loss.divergence"))
        return str(self.settings["teacher"]) if has_one and self.settings.get("teacher") else None

    @property
    def is_of_text(self) -> bool:
        """Whether a text decoder was trained."""
        return "student" in self.settings

    @property
    def sets(self) -> list[Mapping[str, Any]]:
        """The recipe's sets of data."""
        found = self.settings.get("data.sets")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def label_folders(self) -> list[Path]:
        """Where the labels that it learnt from lie, as far as they are still there."""
        roots = [self.settings.get("data.root"), os.environ.get("TERCET_DATA"), "."]
        found = []
        for each in self.sets:
            places = [Path(root, str(each.get("labels"))) for root in roots if root]
            found += [place for place in places if each.get("labels") and place.is_dir()][:1]
        return found


def is_run(folder: Path) -> bool:
    """Whether a folder is a training run's."""
    return (folder / SETTINGS).is_file() and (folder / "recipe.toml").is_file()


def read_run(folder: Path) -> RunFacts:
    """Read a run's folder.

    Raises:
        DataError: it is none, or a file in it cannot be read.
    """
    if not is_run(folder):
        raise DataError(f"{folder}: no training run ({SETTINGS} is missing); check the path")
    report = read_object(folder / "report.json") if (folder / "report.json").is_file() else {}
    told = report.get("validation")
    figures = {
        name: number(value) for name, value in (told if isinstance(told, dict) else {}).items()
    }
    steps = number(report.get("steps"))
    made = _last_environment(folder / "environment.json")
    packages = made.get("packages")
    page = folder / "report.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    return RunFacts(
        folder=folder,
        settings=read_object(folder / SETTINGS),
        validation={name: value for name, value in figures.items() if value is not None},
        steps=None if steps is None else int(steps),
        weights=report["weights"] if isinstance(report.get("weights"), str) else None,
        commit=made["commit"] if isinstance(made.get("commit"), str) else None,
        packages=packages if isinstance(packages, dict) else {},
        report="\n".join(text.splitlines()[1:]).strip() or None,
        before_and_after=_section(text, "Before and after"),
    )


def _section(page: str, title: str) -> str | None:
    """What stands below a heading, up to the next one."""
    _, found, rest = page.partition(f"\n## {title}\n")
    return (rest.partition("\n## ")[0].strip() or None) if found else None


def _last_environment(path: Path) -> dict[str, Any]:
    """Of the run's last piece; a file with one form for each is what a run writes."""
    import json

    try:
        pieces = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    last = pieces[-1] if isinstance(pieces, list) and pieces else {}
    return last if isinstance(last, dict) else {}
