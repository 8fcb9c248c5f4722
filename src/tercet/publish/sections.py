"""The sections of a card, each from what is known; one of which nothing is known is left out."""

from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.head_settings import option_of
from tercet.checkpoint.heads import DraftHead, Head, TagHead
from tercet.hub.contents import CARD
from tercet.publish.elsewhere import whisper_cpp_note
from tercet.publish.facts import AdapterFacts, Facts, ModelFacts, TeacherFacts
from tercet.publish.figures import figure_lines, validation_lines
from tercet.publish.making import bare, duration, label_lines, training_lines, two_columns


def sections(facts: Facts) -> list[str]:
    """The card's text below its title, section by section."""
    parts = [
        ("", [_opening(facts), *_by_hand(facts)]),
        ("What it is", _what_it_is(facts)),
        ("How good it is", [*figure_lines(facts), *_apart(validation_lines(facts), facts)]),
        ("Use", _use(facts)),
        ("Heads", _heads(facts)),
        ("Training", training_lines(facts)),
        ("Data", [line for each in facts.labels for line in label_lines(each)]),
        ("Limits", _limits(facts)),
    ]
    return [
        f"## {title}\n\n{_joined(lines)}" if title else _joined(lines)
        for title, lines in parts
        if any(lines)
    ]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).strip()


def _apart(lines: list[str], facts: Facts) -> list[str]:
    """Below other figures, after an empty line; of a head's run, its own report."""
    run = facts.run
    if not lines and run is not None and not run.is_of_text and run.report:
        lines = [run.report]
    if run is not None and run.is_of_text and run.before_and_after:
        lines = [
            *lines,
            "",
            "Held-out windows before and after training:",
            "",
            run.before_and_after,
        ]
    return ["", *lines] if lines else []


def _opening(facts: Facts) -> str:
    kind = facts.contents.kind
    if facts.model is not None and facts.teacher is not None:
        layers = facts.model.geometry.decoder_layers
        layers_told = _several(layers, "decoder layer")
        how = "taught by" if facts.is_taught else "made from"
        untaught = (
            "" if facts.is_taught else " It was not trained; it is what training begins with."
        )
        return (
            f"A Whisper with {layers_told}, {how} {_called(facts.teacher)} with Tercet.{untaught}"
        )
    if facts.model is not None and facts.base is not None:
        return f"{facts.base}, fine-tuned with Tercet."
    if facts.model is not None:
        return (
            "A Whisper in 8 bits, for Tercet." if facts.model.layout == "tercet" else "A Whisper."
        )
    if kind == "adapter":
        return f"A low-rank adapter for {facts.base or 'a Whisper'}."
    encoders = {head.origin.encoder_name for head in facts.heads.values()} - {""}
    on = f", on the encoder of Whisper {', '.join(sorted(encoders))}" if encoders else ""
    kinds = {
        "sounds" if isinstance(head, TagHead) else "speech tokens"
        for head in facts.heads.values()
        if not isinstance(head, DraftHead)
    }
    if not kinds:
        return f"Drafts text for a Whisper's decoder, which verifies it, with Tercet{on}."
    return f"Reads {' and '.join(sorted(kinds))} off recordings, with Tercet{on}."


def _by_hand(facts: Facts) -> list[str]:
    """Where a page that somebody wrote is among the files."""
    names = {each.name for each in facts.contents.files}
    return ["", "More in [MODEL_CARD.md](MODEL_CARD.md)."] if "MODEL_CARD.md" in names else []


def _what_it_is(facts: Facts) -> list[str]:
    rows: list[tuple[str, str]] = []
    if facts.model is not None:
        rows += _model_rows(facts.model, facts.teacher)
    if facts.adapter is not None:
        rows += _adapter_rows(facts.adapter)
    if facts.teacher is not None:
        rows.append(("teacher", _called(facts.teacher)))
        if facts.teacher.decoder_layers:
            rows.append(("began with", _began_with(facts.teacher)))
    # Without the page itself: it would tell another size each time.
    size_bytes = sum(each.size_bytes for each in facts.contents.files if each.name != CARD)
    rows.append(("files", f"{size_bytes / 1e6:.1f} MB"))
    if facts.licence:
        rows.append(("licence", facts.licence))
    return two_columns(rows)


def _began_with(teacher: TeacherFacts) -> str:
    decoder, encoder = (
        ", ".join(map(str, layers)) for layers in (teacher.decoder_layers, teacher.encoder_layers)
    )
    of_encoder = f" and encoder layers {encoder}" if encoder else ""
    return f"the teacher's decoder layers {decoder}{of_encoder}, counted from 0"


def _model_rows(model: ModelFacts, teacher: TeacherFacts | None) -> list[tuple[str, str]]:
    g = model.geometry
    parameters = f"{model.parameters / 1e6:.1f} M"
    if teacher is not None and teacher.parameters:
        share = 100 * model.parameters / teacher.parameters
        about = "about " if teacher.is_rounded else ""
        parameters += (
            f"; {about}{share:.0f} % of the teacher's {teacher.parameters / 1e6:.1f} M, "
            f"{about}{100 - share:.0f} % fewer"
        )
    rows = [
        (
            "architecture",
            f"Whisper: {g.encoder_layers} encoder and {g.decoder_layers} decoder layers, width {g.width}, "
            f"{g.encoder_heads} heads, {g.n_mels} mel bins, {g.vocab_size} tokens, {g.n_audio_ctx / 50:g} s",
        ),
        ("parameters", parameters),
    ]
    return [*rows, ("stored as", model.stored)] if model.stored else rows


def _adapter_rows(adapter: AdapterFacts) -> list[tuple[str, str]]:
    rows = [] if adapter.rank is None else [("rank", str(adapter.rank))]
    return [*rows, ("changes", ", ".join(adapter.parts))] if adapter.parts else rows


def _use(facts: Facts) -> list[str]:
    name = facts.repository or f"OWNER/{facts.title}"
    if facts.model is None:
        return _use_of_heads(facts, name)
    lines = [
        "```python",
        "import tercet",
        "",
        f'model = tercet.load_model("{name}")',
        'print(model.transcribe("talk.mp3").text)',
        "```",
    ]
    if facts.model.layout == "hugging-face":
        short = name.rpartition("/")[2]
        lines += [
            "",
            "With transformers:",
            "",
            "```python",
            "from transformers import pipeline",
            "",
            f'hear = pipeline("automatic-speech-recognition", model="{name}")',
            'print(hear("talk.mp3")["text"])',
            "```",
            "",
            "With faster-whisper, after one conversion:",
            "",
            "```console",
            f"ct2-transformers-converter --model {name} --output_dir {short}-ct2 "
            "--copy_files tokenizer.json preprocessor_config.json",
            "```",
            "",
            "```python",
            "from faster_whisper import WhisperModel",
            "",
            f'segments, _ = WhisperModel("{short}-ct2").transcribe("talk.mp3")',
            "```",
        ]
    return lines


def _use_of_heads(facts: Facts, name: str) -> list[str]:
    encoders = [head.origin.encoder_name for head in facts.heads.values()]
    model = next(filter(None, encoders), "")
    words = [f'"{model}"'] if model else ["MODEL"]
    published = {each.path.name: each.name for each in facts.contents.files}
    calls = []
    for file, head in facts.heads.items():
        option = option_of(head)
        place = f"{name}:{published.get(file, file)}"
        words.append(f'{option}="{place}"')
        call = {"tags": "tag", "tokens": "tokenize", "draft": "transcribe"}[option]
        calls.append(f'print(model.{call}("street.ogg"))')
    if not facts.heads:
        return []
    load = f"model = tercet.load_model({', '.join(words)})"
    return ["```python", "import tercet", "", load, *calls, "```"]


def _heads(facts: Facts) -> list[str]:
    if not facts.heads:
        return []
    lines = ["| file | reads | parameters | encoder | licence |", "| --- | --- | --- | --- | --- |"]
    for file, head in facts.heads.items():
        size = sum(_size(shape) for shape in head_shapes(head).values()) / 1e6
        encoder, licence = head.origin.encoder_name, head.origin.licence
        lines.append(f"| `{file}` | {_reads(head)} | {size:.2g} M | {encoder} | {licence} |")
    names = {each.name for each in facts.contents.files}
    cards = [name for name in ("TAGS_CARD.md", "TOKENS_CARD.md", "DRAFT_CARD.md") if name in names]
    if cards:
        told = ", ".join(f"[{name}]({name})" for name in cards)
        lines += ["", f"How they were made and how good they are: {told}."]
    return lines


def _reads(head: Head) -> str:
    if isinstance(head, TagHead):
        shown = "" if head.labels is None else f": {'; '.join(head.labels[:20])}"
        more = "; ..." if head.labels is not None and head.n_labels > 20 else ""
        return f"{head.n_labels} sounds{shown}{more}".replace("|", "/")
    if isinstance(head, DraftHead):
        return f"nothing by itself: it drafts text for the decoder, {head.shortlist} tokens"
    depth = "" if head.depth == 1 else f" on {head.depth} levels"
    rows = head.codebook_size - (head.mask_code is not None)
    return f"speech tokens: {rows} codes{depth}, {head.rate_hz:g} a second"


def _limits(facts: Facts) -> list[str]:
    """What follows from what is known; nothing that nobody measured."""
    lines = []
    heard_s = sum(each.counted("kept_s") or 0.0 for each in facts.labels)
    if heard_s:
        lines.append(
            f"- Its labels are of {duration(heard_s)} of speech, with what was held out; unlike speech may "
            "fare worse."
        )
    if facts.languages and facts.model is not None and facts.model.geometry.is_multilingual:
        told = ", ".join(facts.languages)
        lines.append(
            f"- Its training heard {told}; what is left of other languages was not measured."
        )
    if facts.teacher is not None and facts.is_taught:
        lines.append(
            f"- It learnt to write what {bare(facts.teacher.name)} writes, whose errors are its own, too."
        )
    if facts.model is not None and facts.model.layout == "hugging-face":
        note = whisper_cpp_note(facts.model.geometry)
        lines += [f"- Converted for whisper.cpp: {note}."] if note else []
    if facts.model is not None:
        lines.append(
            "- Like every Whisper it can invent text where nobody speaks. Do not rely on it where an error "
            "would harm somebody."
        )
    return lines


def _called(teacher: TeacherFacts) -> str:
    return teacher.hub_id or teacher.name


def _several(n: int, what: str) -> str:
    return f"one {what}" if n == 1 else f"{n} {what}s"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size
