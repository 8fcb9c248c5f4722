"""All that is known of a model or head: what its folder holds, its teacher, run, labels and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from tercet.catalog import known_model
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.heads import Head
from tercet.checkpoint.naming import expected_shapes
from tercet.checkpoint.opening import open_checkpoint
from tercet.errors import TercetError
from tercet.hub.contents import Contents, contents_of
from tercet.hub.find import HUB_ID, as_path, find_here
from tercet.hub.layout import read_config
from tercet.publish.json_files import number, read_object
from tercet.publish.label_facts import LabelFacts, read_labels_folder
from tercet.publish.run_facts import RunFacts, is_run, read_run
from tercet.publish.text_reports import SystemFigures, TextReport, read_text_report

_START = "student.json"  # the report of `tercet distill init`
Layout = Literal["hugging-face", "tercet", "ctranslate2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The weights."""

    geometry: Geometry
    parameters: int  # numbers in all arrays
    stored: str  # "float16", "8 bits"; "": its settings do not say
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFacts:
    """What a student was made from."""

    name: str  # without folders above it
    meant: str  # one word for all of its names; never shown
    hub_id: str | None  # None: it is on no hub that we know of
    parameters: (
        int | None
    )  # exact where the teacher is on this machine, or `tercet distill init` told
    is_rounded: bool  # they are the catalog's millions
    decoder_layers: tuple[
        int, ...
    ] = ()  # of the teacher's, that the student began with; (): not known
    encoder_layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """A low-rank adapter, as PEFT's settings tell it."""

    rank: int | None
    parts: tuple[str, ...]  # of the model, by the names of their layers; (): they are not told
    base: str | None  # what it was made for, as it is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it; what nobody knows is None or empty."""

    contents: Contents
    title: str
    repository: str | None
    model: ModelFacts | None
    heads: Mapping[str, Head]  # by file name
    adapter: AdapterFacts | None
    teacher: TeacherFacts | None
    base: (
        str | None
    )  # hub id of what was fine-tuned without a teacher, or of a head's or adapter's model
    run: RunFacts | None
    labels: tuple[LabelFacts, ...]
    reports: tuple[TextReport, ...]
    licence: str | None
    languages: tuple[str, ...]
    datasets: tuple[str, ...]

    @property
    def is_taught(self) -> bool:
        """Whether the student learnt from its teacher, rather than being made from it only."""
        return self.run is not None and self.run.teacher is not None

    def is_teacher(self, system: SystemFigures) -> bool:
        """Whether figures are the teacher's."""
        return self.teacher is not None and _means(system.model) == self.teacher.meant

    def is_student(self, system: SystemFigures) -> bool:
        """Whether figures are those of what the folder holds."""
        if system.model == self.repository or _is_same(system.model, self.contents.source):
            return True
        # A report that was made elsewhere names another path: it is the only one that is not the teacher's.
        systems = [each for report in self.reports for each in report.systems]
        others = {each.model for each in systems if not self.is_teacher(each)}
        return self.teacher is not None and others == {system.model}


def gather(
    source: Path,
    *,
    run: Path | None = None,
    labels: Sequence[Path] = (),
    reports: Sequence[Path] = (),
    repository: str | None = None,
    licence: str | None = None,
    languages: Sequence[str] = (),
    datasets: Sequence[str] = (),
) -> Facts:
    """Look at everything.

    Args:
        source: What is to be published, as for `hub.contents.contents_of`.
        run: The training run's folder; None: where `source` lies, if that is one.
        labels: Folders of labels; (): those that the run's recipe names, as far as they are there.
        reports: JSON files of `tercet eval text`.
        repository: Hub id that it is to have.
        licence: As SPDX writes it; None: the recipe's or the head's.
        languages: Codes; (): those of the labels.
        datasets: Hub ids of what it learnt from.

    Raises:
        TercetError: something that was named is missing or damaged.
    """
    contents = contents_of(source)
    heads = {path.name: open_head(path) for path in contents.heads}
    ran = _run_of(source, run)
    folders = labels or (ran.label_folders() if ran is not None else [])
    read = tuple(read_labels_folder(folder) for folder in folders)
    told = ran.settings.get("licence") if ran is not None else None
    adapter = _adapter(source) if contents.kind == "adapter" else None
    own = [head.origin.licence for head in heads.values()] if contents.kind == "heads" else []
    return Facts(
        contents=contents,
        title=_title(source, repository, ran, heads, contents),
        repository=repository,
        model=_model(source) if contents.kind == "model" else None,
        heads=heads,
        adapter=adapter,
        teacher=_teacher(source, ran),
        base=_base(contents, ran, heads, adapter),
        run=ran,
        labels=read,
        reports=tuple(read_text_report(path) for path in reports),
        licence=licence or (str(told) if told else None) or next(filter(None, own), None),
        languages=tuple(languages) or _languages(read),
        datasets=tuple(datasets),
    )


def _run_of(source: Path, run: Path | None) -> RunFacts | None:
    if run is not None:
        return read_run(run)
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.resolve().parent):  # a head's run, and the one above `model/`
        if is_run(place):
            return read_run(place)
    return None


def _title(
    source: Path,
    repository: str | None,
    run: RunFacts | None,
    heads: Mapping[str, Head],
    contents: Contents,
) -> str:
    if repository:
        return repository.partition("/")[2]
    named = [head.origin.name for head in heads.values()] if contents.kind == "heads" else []
    return next(filter(None, [*named, run.name if run else None]), source.resolve().name)


def _model(folder: Path) -> ModelFacts:
    checkpoint = open_checkpoint(folder)
    shapes = expected_shapes(checkpoint.geometry)
    config = read_config(folder)
    layout: Layout = "tercet" if "tercet_format" in config else "hugging-face"
    if "model_type" not in config and layout == "hugging-face":
        layout = "ctranslate2"
    told = config.get("torch_dtype") or config.get("dtype")
    stored = "8 bits" if layout == "tercet" else str(told or "")
    return ModelFacts(
        geometry=checkpoint.geometry,
        parameters=sum(prod(shape) for shape in shapes.values()),
        stored=stored,
        layout=layout,
    )


def _base(
    contents: Contents,
    run: RunFacts | None,
    heads: Mapping[str, Head],
    adapter: AdapterFacts | None,
) -> str | None:
    if adapter is not None:
        return _hub_id(adapter.base) if adapter.base else None
    if contents.kind == "heads":
        encoders = {head.origin.encoder_name for head in heads.values()} - {""}
        return _hub_id(encoders.pop()) if len(encoders) == 1 else None
    is_alone = run is not None and run.is_of_text and run.teacher is None
    return _hub_id(str(run.settings["student"])) if run is not None and is_alone else None


def _adapter(folder: Path) -> AdapterFacts:
    told = read_object(folder / "adapter_config.json")
    rank, parts = number(told.get("r")), told.get("target_modules")
    base = told.get("base_model_name_or_path")
    return AdapterFacts(
        rank=None if rank is None else int(rank),
        parts=tuple(sorted(map(str, parts))) if isinstance(parts, list) else (),
        base=base if isinstance(base, str) else None,
    )


def _hub_id(name: str) -> str | None:
    """What a name is called on the hub; None for a path."""
    known = known_model(name)
    if known is not None:
        return known.repository
    return name if HUB_ID.fullmatch(name) and not Path(name).exists() else None


def _teacher(source: Path, run: RunFacts | None) -> TeacherFacts | None:
    """The run's; of a student that was not trained, the one that it was made from."""
    start = _start(source, run)
    told = start.get("teacher")
    name = (run.teacher if run is not None else None) or (told if isinstance(told, str) else None)
    if name is None:
        return None
    known, hub_id = known_model(name), _hub_id(name)
    parameters, is_rounded = _counted_here(name), False
    if parameters is None and told == name:
        counts = start.get("parameters")
        theirs = counts.get("teacher") if isinstance(counts, dict) else None
        total = number(theirs.get("total")) if isinstance(theirs, dict) else None
        parameters = None if total is None else int(total)
    if parameters is None and known is not None:
        parameters, is_rounded = known.parameters_m * 1_000_000, True
    return TeacherFacts(
        name=name if hub_id is not None else Path(name).name,
        meant=_means(name),
        hub_id=hub_id,
        parameters=parameters,
        is_rounded=is_rounded,
        decoder_layers=_layers(start.get("decoder_layers")),
        encoder_layers=_layers(start.get("encoder_layers")),
    )


def _start(source: Path, run: RunFacts | None) -> dict[str, Any]:
    """What `tercet distill init` told of the student that training began with; {}: nothing is there."""
    begun = run.settings.get("student") if run is not None else None
    for folder in (source, Path(begun) if isinstance(begun, str) else source):
        if (folder / _START).is_file():
            return read_object(folder / _START)
    return {}


def _layers(told: object) -> tuple[int, ...]:
    numbers = told if isinstance(told, list) else []
    return tuple(each for each in numbers if isinstance(each, int))


def _counted_here(name: str) -> int | None:
    """The teacher's numbers, if it is on this machine; no hub is asked."""
    try:
        path = as_path(name) or find_here(name)
        if path is None:
            return None
        shapes = expected_shapes(open_checkpoint(path).geometry)
    except TercetError:
        return None
    return sum(prod(shape) for shape in shapes.values())


def _languages(labels: Sequence[LabelFacts]) -> tuple[str, ...]:
    """Those of at least a hundredth of all windows, the most frequent first."""
    counts: dict[str, int] = {}
    for each in labels:
        for code, windows in each.languages.items():
            counts[code] = counts.get(code, 0) + windows
    least = sum(counts.values()) / 100
    kept = [code for code, windows in counts.items() if windows >= least]
    return tuple(sorted(kept, key=lambda code: -counts[code]))


def _means(name: str) -> str:
    """One word for the names of one model."""
    known = known_model(name)
    return known.repository if known is not None else name


def _is_same(name: str, source: Path) -> bool:
    try:
        path = Path(name)
        return path.exists() and path.resolve() == source.resolve()
    except OSError:  # too long for a path
        return False
