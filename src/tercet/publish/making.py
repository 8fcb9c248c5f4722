"""How a model was made, for its card: the run's recipe, and the labels that it learnt from."""

from collections.abc import Mapping
from typing import Any

from tercet.publish.facts import Facts
from tercet.publish.json_files import number
from tercet.publish.label_facts import LabelFacts

_HOUR_S, _MINUTE_S = 3600, 60


def training_lines(facts: Facts) -> list[str]:
    """The recipe's choices that people ask for, and what it was made with; no paths."""
    run = facts.run
    if run is None:
        return []
    told = run.settings
    rows: list[tuple[str, str]] = [("recipe", run.name)]
    if run.steps is not None:
        kept = f"; {run.weights} weights" if run.weights else ""
        rows.append(("steps", f"{run.steps}, each of {told.get('loop.batch_size')} windows{kept}"))
    rows.append(("optimizer", _optimizer(told)))
    if run.is_of_text:
        rows += _text_rows(told)
    if run.commit:
        rows.append(("commit", run.commit[:12] + ("+changes" if "+" in run.commit else "")))
    made = ", ".join(
        f"{name} {run.packages[name]}"
        for name in ("tercet", "torch", "lightning")
        if name in run.packages
    )
    return two_columns([*rows, ("made with", made)] if made else rows)


def _optimizer(told: Mapping[str, Any]) -> str:
    warm = told.get("loop.warmup_steps")
    after = f", {warm} steps of warm-up" if warm else ""
    return (
        f"{told.get('loop.optimizer')}, learning rate {told.get('loop.lr')}, {told.get('loop.schedule')}"
        f"{after}, {told.get('loop.precision')}"
    )


def _text_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    losses = [
        f"{told[key]:g} x {name}"
        for key, name in (
            (
                "loss.divergence",
                f"divergence from the teacher at temperature {told.get('loss.temperature')}",
            ),
            ("loss.cross_entropy", "cross-entropy with its texts"),
            ("loss.states", "distance of the blocks' states"),
        )
        if isinstance(told.get(key), int | float) and told[key]
    ]
    learns = [
        name
        for key, name in (
            ("learns.encoder", "encoder"),
            ("learns.embeddings", "token embeddings"),
            ("learns.positions", "positions"),
            ("learns.cross_keys_values", "keys and values of cross-attention"),
        )
        if told.get(key)
    ]
    shares = (
        f"timestamps in {100 * float(told.get('data.timestamps_share') or 0):g} % of the texts, what the "
        f"speaker said before in {100 * float(told.get('data.prompts_share') or 0):g} %"
    )
    return [
        ("losses", " + ".join(losses)),
        ("learns", ", ".join(["the decoder's blocks", *learns])),
        ("asked for", shares),
    ]


def label_lines(labels: LabelFacts) -> list[str]:
    """Who wrote the labels, in which languages, how many a filter kept and why not the others."""
    total, kept = labels.counted("total_s"), labels.counted("kept_s")
    windows, kept_windows = labels.counted("windows"), labels.counted("kept")
    lines = [f"### {labels.name}", ""]
    teacher = labels.settings.get("model")
    if teacher:
        task = labels.settings.get("task", "transcribe")
        told = "written down" if task == "transcribe" else "translated into English"
        lines += [f"Recordings {told} by {bare(str(teacher))} (`tercet label`).", ""]
    if labels.languages:
        several = sum(labels.languages.values())
        shares = ", ".join(
            f"{code} {100 * n / several:.0f} %" for code, n in labels.languages.items()
        )
        lines += [f"Languages, by windows: {shares}.", ""]
    if total is None or kept is None or not windows or kept_windows is None:
        return lines
    rows = [("kept", int(kept_windows), kept)]
    rows += [(reason, *counts) for reason, counts in labels.dropped.items()]
    lines += [
        f"{duration(kept)} of {duration(total)} were kept:",
        "",
        "| | windows | share | length |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {n} | {100 * n / windows:.1f} % | {duration(s)} |" for name, n, s in rows),
        "",
    ]
    rule = labels.filtered.get("rule")
    return [*lines, _limits_of(rule), ""] if isinstance(rule, dict) else lines


def _limits_of(rule: Mapping[str, Any]) -> str:
    shares = {"most_wer": "WER", "most_cer": "CER"}
    told = [
        f"{name} {100 * rule[key]:g} %" for key, name in shares.items() if rule.get(key) is not None
    ]
    plain = {
        "least_logprob": "mean log-probability {:g}",
        "most_compression": "compression ratio {:g}",
        "least_speech_s": "speech {:g} s",
    }
    told += [
        text.format(rule[key]) for key, text in plain.items() if number(rule.get(key)) is not None
    ]
    if rule.get("languages"):
        told.append(f"languages {', '.join(map(str, rule['languages']))}")
    return f"Limits: {', '.join(told)}."


def two_columns(rows: list[tuple[str, str]]) -> list[str]:
    """A table without a header."""
    return [
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value.replace('|', '/')} |" for name, value in rows),
    ]


def bare(name: str) -> str:
    """A name; of a path, its last part."""
    return name.rstrip("/").rpartition("/")[2] if name.startswith(("/", ".", "~")) else name


def duration(seconds: float) -> str:
    """Hours, or minutes of less than one."""
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.2f} hours"
    return f"{seconds / _MINUTE_S:.1f} minutes"
