"""The page of a model or head: front matter as the hub reads it, and sections for people."""

from pathlib import Path
from typing import Any

from tercet.checkpoint.head_settings import option_of
from tercet.checkpoint.heads import TagHead
from tercet.dataset.whole_file import whole_file
from tercet.errors import OutputError
from tercet.hub.contents import CARD
from tercet.hub.layout import holds_model
from tercet.publish.facts import Facts
from tercet.publish.page import merged
from tercet.publish.sections import sections
from tercet.publish.text_reports import SystemFigures

_TASK = "automatic-speech-recognition"
# What the hub knows by an id of its own; others are "other", with a name.
_LICENCES = (
    "afl-3.0", "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "gpl-3.0",
    "lgpl-3.0", "mit", "mpl-2.0", "odbl", "unlicense",
)  # fmt: skip


def write_card(facts: Facts) -> Path:
    """Write README.md beside what is published, or its generated part anew; returns its path.

    Raises:
        OutputError: what is there cannot be read or replaced; it is left as it is.
    """
    path, text = card_path(facts), card_text(facts)
    try:
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(
            f"{path}: not written: {reason}; choose another place, or make room"
        ) from None
    return path


def card_path(facts: Facts) -> Path:
    """Where the page lies, or will.

    Raises:
        OutputError: it would be a head's and lie where a model has its own.
    """
    source = facts.contents.source
    if source.is_file() and holds_model(source.parent):
        raise OutputError(
            f"{source}: the page of its folder is the model's, and tells of its heads; write that (tercet "
            f"card {source.parent}), or copy the head into a folder of its own"
        )
    return (source if source.is_dir() else source.parent) / CARD


def card_text(facts: Facts) -> str:
    """The page's new text; what of the present one is not generated is kept.

    Raises:
        OutputError: the page has marks that do not fit together, or a front matter that is no YAML.
    """
    path = card_path(facts)
    block = "\n\n".join(sections(facts))
    return merged(_read(path), metadata_of(facts), block, facts.title, name=str(path))


def metadata_of(facts: Facts) -> dict[str, Any]:
    """The front matter's keys of which something is known, as huggingface_hub writes them."""
    from huggingface_hub import ModelCardData

    results = [
        result
        for report in facts.reports
        for system in report.systems
        if facts.is_student(system)
        for result in _results(system)
    ]
    teacher = facts.teacher.hub_id if facts.teacher is not None else None
    data = ModelCardData(
        language=list(facts.languages) or None,
        **_licence(facts.licence),
        library_name=_library(facts),
        pipeline_tag=_pipeline(facts),
        base_model=teacher or facts.base,
        datasets=list(facts.datasets) or None,
        tags=_tags(facts),
        metrics=sorted({each.metric_type for each in results}) or None,
        model_name=facts.title if results else None,
        eval_results=results or None,
    )
    told: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return told


def _results(system: SystemFigures) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK,
            dataset_type=system.data,
            dataset_name=system.data,
            metric_type=unit,
            metric_name=f"{unit.upper()}, percent",
            metric_value=round(100 * system.rates[unit].rate, 2),
        )
        for unit in ("wer", "cer")
        if unit in system.rates
    ]


def _licence(licence: str | None) -> dict[str, Any]:
    if not licence:
        return {}
    known = licence.lower()
    return (
        {"license": known} if known in _LICENCES else {"license": "other", "license_name": licence}
    )


def _library(facts: Facts) -> str:
    """What the hub's page shows code for."""
    if facts.contents.kind == "adapter":
        return "peft"
    is_float = facts.model is not None and facts.model.layout == "hugging-face"
    return "transformers" if is_float else "tercet"


def _pipeline(facts: Facts) -> str | None:
    if facts.contents.kind != "heads":
        return _TASK
    has_tags = any(isinstance(head, TagHead) for head in facts.heads.values())
    return "audio-classification" if has_tags else None


def _tags(facts: Facts) -> list[str]:
    kinds = {option_of(head) for head in facts.heads.values()}
    extra = {
        "tags": "sound-event-detection",
        "tokens": "speech-tokens",
        "draft": "speculative-decoding",
    }
    is_student = facts.model is not None and facts.is_taught
    tags = ["tercet", "whisper", *(["knowledge-distillation"] if is_student else [])]
    return [*tags, *(extra[each] for each in sorted(kinds))]


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); correct or remove it") from None
