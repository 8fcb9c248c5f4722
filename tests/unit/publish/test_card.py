"""`tercet card`: every number in the page is one that a file holds, and what no file holds is not there."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tercet.checkpoint import Geometry
from tercet.cli.main import main
from tercet.hub.contents import contents_of
from tercet.publish.elsewhere import whisper_cpp_note
from tercet.publish.page import BEGIN, END

WriteReport = Callable[..., Path]
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """`say(...)`: `tercet card ...` -> exit code, standard output, standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(["card", *(str(word) for word in words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def page_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


def row(page: str, name: str) -> str:
    """A table's row, without its first cell."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", page, re.MULTILINE)
    return found


def numbers_in_layers(layers: int) -> int:
    """Numbers of a Whisper of width 64 with one encoder layer, by hand."""
    width, mlp = 64, 256
    attention = 4 * width * width + 3 * width  # no bias of the keys
    feed = 2 * width * mlp + mlp + width
    norm = 2 * width
    start = 80 * width * 3 + width + width * width * 3 + width
    encoder = start + 1500 * width + attention + feed + 3 * norm
    decoder = 51865 * width + 448 * width + layers * (2 * attention + feed + 3 * norm) + norm
    return encoder + decoder


def test_sizes_are_counted_and_compared_with_the_teachers(run_folder: Path, say: Say) -> None:
    assert (0, f"{run_folder / 'model' / 'README.md'}\n") == say(run_folder / "model")[:2]
    mine, theirs = numbers_in_layers(2), numbers_in_layers(4)
    share = 100 * mine / theirs
    expected = (
        f"{mine / 1e6:.1f} M; {share:.0f} % of the teacher's {theirs / 1e6:.1f} M, "
        f"{100 - share:.0f} % fewer"
    )
    page = page_of(run_folder / "model")
    assert expected == row(page, "parameters")
    assert "1 encoder and 2 decoder layers" in row(page, "architecture")
    assert "float16" == row(page, "stored as")


def test_a_teacher_that_is_not_here_has_the_catalogs_size(run_folder: Path, say: Say) -> None:
    path = run_folder / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"teacher": "large-v2"}))
    say(run_folder / "model")
    page = page_of(run_folder / "model")
    assert "about 0 % of the teacher's 1550.0 M" in row(page, "parameters")
    assert "openai/whisper-large-v2" == ModelCard(page).data.base_model


def test_what_distill_init_told_is_found_where_the_recipes_student_lies(
    run_folder: Path, tmp_path: Path, say: Say
) -> None:
    path = run_folder / "settings.json"
    settings = json.loads(path.read_text()) | {"teacher": "me/gone"}
    path.write_text(json.dumps(settings))
    start = Path(settings["student"])
    start.mkdir(parents=True)
    told = {
        "teacher": "me/gone", "decoder_layers": [0, 3], "encoder_layers": [0],
        "parameters": {"teacher": {"total": 4 * numbers_in_layers(2)}},
    }  # fmt: skip
    (start / "student.json").write_text(json.dumps(told))
    say(run_folder / "model")
    page = page_of(run_folder / "model")
    assert "25 % of the teacher's" in row(page, "parameters")
    assert "the teacher's decoder layers 0, 3 and encoder layers 0, counted from 0" == row(
        page, "began with"
    )


def test_a_student_that_was_not_trained_is_not_called_taught(
    tmp_path: Path, write_model: Callable[[Path, int], Path], say: Say
) -> None:
    folder = write_model(tmp_path / "start", 2)
    (folder / "student.json").write_text(json.dumps({"teacher": "large-v2"}))
    say(folder)
    page = page_of(folder)
    assert "made from openai/whisper-large-v2 with Tercet. It was not trained" in page
    assert "taught" not in page
    assert "knowledge-distillation" not in ModelCard(page).data.tags
    assert "student.json" not in {each.name for each in contents_of(folder).files}


def test_the_recipe_is_told_in_words(run_folder: Path, say: Say) -> None:
    say(run_folder / "model")
    text = section(page_of(run_folder / "model"), "Training")
    assert "1200, each of 8 windows; best weights" == row(text, "steps")
    assert (
        "1 x divergence from the teacher at temperature 2.0 + 0.8 x cross-entropy with its texts"
        == row(text, "losses")
    )
    assert "the decoder's blocks, token embeddings" == row(text, "learns")
    assert "adamw, learning rate 0.001, linear, 50 steps of warm-up, fp32" == row(text, "optimizer")
    assert "| wer | 0.25 |" in page_of(run_folder / "model")


@pytest.mark.option("--run")
def test_a_run_elsewhere_is_named(run_folder: Path, tmp_path: Path, say: Say) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(run_folder / "model", alone)
    say(alone)
    assert "## Training" not in page_of(alone)
    say(alone, "--run", run_folder)
    assert "## Training" in page_of(alone)


@pytest.mark.option("--labels")
def test_labels_say_how_much_was_kept_and_why_the_rest_was_not(
    run_folder: Path, label_folder: Path, tmp_path: Path, say: Say
) -> None:
    other = tmp_path / "other-speech"
    shutil.copytree(label_folder, other)
    say(run_folder / "model")
    assert "### read-speech" in page_of(run_folder / "model")  # the recipe's
    say(run_folder / "model", "--labels", other)
    text = section(page_of(run_folder / "model"), "Data")
    assert "### read-speech" not in text
    assert "### other-speech" in text
    assert "90.00 hours of 100.00 hours were kept" in text
    assert "100 | 10.0 % | 10.00 hours" == row(text, "far from the reference")
    assert "Limits: WER 20 %, mean log-probability -1, compression ratio 2.4, speech 0.3 s." in text


@pytest.mark.option("--eval")
def test_error_rates_stand_beside_the_teachers_with_their_intervals(
    run_folder: Path, write_report: WriteReport, tmp_path: Path, say: Say
) -> None:
    student = write_report("student", str(run_folder / "model"), 0.0712)
    teacher = write_report("teacher", str(tmp_path / "home" / "big-teacher"), 0.05)
    say(run_folder / "model", "--eval", teacher, "--eval", student)
    text = section(page_of(run_folder / "model"), "How good it is")
    head = "| test-clean, 50 utterances | **small-student** | big-teacher (teacher) |"
    assert head in text
    assert "7.12 [6.12, 8.12] | 5.00 [4.00, 6.00]" == row(text, "word error rate")
    assert "3.56 | 2.50" == row(text, "letter error rate")
    assert "99.00" not in text  # a domain's


def test_a_comparison_says_who_is_better_and_how_surely(
    run_folder: Path, write_report: WriteReport, tmp_path: Path, say: Say
) -> None:
    compared = {
        "first": str(run_folder / "model"), "second": str(tmp_path / "home" / "big-teacher"),
        "difference": 0.0212, "interval": [0.01, 0.03], "p_value": 0.004,
    }  # fmt: skip
    report = write_report("both", str(run_folder / "model"), 0.0712, comparison=compared)
    say(run_folder / "model", "--eval", report)
    assert (
        "small-student against big-teacher over the same utterances (word error rate): 2.12 points more "
        "[+1.00, +3.00], p = 0.004" in page_of(run_folder / "model")
    )


def test_the_front_matter_is_what_the_hub_reads(
    run_folder: Path, write_report: WriteReport, say: Say
) -> None:
    report = write_report("student", str(run_folder / "model"), 0.0712)
    words = ("--eval", report, "--repo", "me/two-layers", "--languages", "en,de")
    say(run_folder / "model", *words, "--dataset", "openslr/librispeech_asr")
    data = ModelCard(page_of(run_folder / "model")).data
    assert ("mit", "transformers", "automatic-speech-recognition") == (
        data.license, data.library_name, data.pipeline_tag,
    )  # fmt: skip
    assert (["en", "de"], ["openslr/librispeech_asr"]) == (data.language, data.datasets)
    results = {each.metric_type: each for each in data.eval_results}
    assert (7.12, "test-clean") == (results["wer"].metric_value, results["wer"].dataset_name)
    assert "two-layers" == data.model_name


@pytest.mark.option("--languages")
@pytest.mark.option("--dataset")
@pytest.mark.option("--licence")
def test_what_is_given_counts_more_than_what_is_found(run_folder: Path, say: Say) -> None:
    say(run_folder / "model")
    found = ModelCard(page_of(run_folder / "model")).data
    assert (None, None, "mit") == (found.language, found.datasets, found.license)
    say(run_folder / "model", "--languages", "vi", "--dataset", "a/b", "--licence", "My Own")
    given = ModelCard(page_of(run_folder / "model")).data
    assert (["vi"], ["a/b"], "other") == (given.language, given.datasets, given.license)
    assert "My Own" == given.license_name


@pytest.mark.option("--repo")
def test_the_name_on_the_hub_is_the_title_and_in_what_is_to_be_typed(
    run_folder: Path, say: Say
) -> None:
    say(run_folder / "model", "--repo", "me/two-layers")
    page = page_of(run_folder / "model")
    assert "\n# two-layers\n" in page
    for words in (
        'tercet.load_model("me/two-layers")',
        'model="me/two-layers")',
        "ct2-transformers-converter --model me/two-layers --output_dir two-layers-ct2",
    ):
        assert words in section(page, "Use")


def test_of_which_nothing_is_known_there_is_no_section(
    tmp_path: Path, write_model: Callable[[Path, int], Path], say: Say
) -> None:
    _, _, err = say(write_model(tmp_path / "plain", 2))
    page = page_of(tmp_path / "plain")
    assert ["What it is", "Use", "Limits"] == re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert "teacher" not in page.lower()
    assert not {"license", "base_model", "datasets", "language"} & set(
        ModelCard(page).data.to_dict()
    )
    assert ["--repo", "--licence", "--eval", "--languages"] == re.findall(r"--\w+", err)


@pytest.mark.parametrize(
    ("layers", "vocab_size", "is_noted"), [(2, 51865, True), (2, 51866, False), (3, 51865, False)]
)
def test_whisper_cpps_rule_of_two_layers_is_known(
    layers: int, vocab_size: int, is_noted: bool
) -> None:
    geometry = Geometry(
        n_mels=80, width=64, encoder_layers=1, encoder_heads=1, decoder_layers=layers,
        decoder_heads=1, vocab_size=vocab_size,
    )  # fmt: skip
    assert is_noted == (whisper_cpp_note(geometry) is not None)


def test_whisper_cpps_rule_is_said_to_the_author_and_to_readers(run_folder: Path, say: Say) -> None:
    assert "note: whisper.cpp" in say(run_folder / "model")[2]
    assert "whisper.cpp" in section(page_of(run_folder / "model"), "Limits")


def test_nobodys_folders_are_published(
    run_folder: Path, label_folder: Path, write_report: WriteReport, tmp_path: Path, say: Say
) -> None:
    report = write_report("other", "/home/someone/models/rival", 0.2)
    mine = write_report("mine", str(run_folder / "model"), 0.1)
    say(run_folder / "model", "--eval", report, "--eval", mine)
    page = page_of(run_folder / "model")
    assert "rival" in page
    assert "someone" not in page
    assert str(tmp_path) not in page


# What is there already


def test_text_by_hand_and_foreign_keys_are_kept_and_the_block_is_written_anew(
    run_folder: Path, say: Say
) -> None:
    path = run_folder / "model" / "README.md"
    path.write_text(
        "---\nlicense: apache-2.0\nthumbnail: a.png\n---\n# Mine\n\nBy hand, above.\n\n"
        f"{BEGIN}\nold figures\n{END}\n\nBy hand, below: Ünïcode.\n"
    )
    say(run_folder / "model")
    page = path.read_text()
    assert page.index("# Mine") < page.index("above.") < page.index(BEGIN) < page.index("below:")
    assert "old figures" not in page
    assert "Ünïcode" in page
    data = ModelCard(page).data.to_dict()
    assert ("mit", "a.png") == (data["license"], data["thumbnail"])


def test_the_same_command_again_changes_nothing(
    run_folder: Path, write_report: WriteReport, say: Say
) -> None:
    words = (run_folder / "model", "--eval", write_report("mine", str(run_folder / "model"), 0.1))
    say(*words)
    before = page_of(run_folder / "model")
    say(*words)
    assert before == page_of(run_folder / "model")


def test_a_page_without_the_block_gets_it_at_its_end(run_folder: Path, say: Say) -> None:
    path = run_folder / "model" / "README.md"
    path.write_text("# Mine\n\nBy hand.\n")
    say(run_folder / "model")
    page = path.read_text()
    assert page.startswith("---\n")
    assert page.index("By hand.") < page.index(BEGIN)
    assert page.endswith(f"{END}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{BEGIN}\nno end", "marks"),
        (f"{END}\n{BEGIN}", "marks"),
        (f"{BEGIN}{END}{BEGIN}{END}", "marks"),
        ("---\nlicense: [\n---\n# x", "front matter"),
        ("---\n- a list\n---\n# x", "front matter"),
    ],
)
def test_a_page_that_makes_no_sense_is_left_as_it_is(
    run_folder: Path, say: Say, text: str, words: str
) -> None:
    path = run_folder / "model" / "README.md"
    path.write_text(text)
    code, out, err = say(run_folder / "model", "--quiet")
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert words in err
    assert text == path.read_text()


@pytest.mark.option("--dry_run")
def test_a_dry_run_prints_what_would_be_written(run_folder: Path, say: Say) -> None:
    printed = say(run_folder / "model", "--dry_run")[1]
    assert not (run_folder / "model" / "README.md").exists()
    say(run_folder / "model")
    assert page_of(run_folder / "model") == printed


@pytest.mark.option("--quiet")
def test_quiet_notes_nothing(run_folder: Path, say: Say) -> None:
    assert "" == say(run_folder / "model", "--quiet")[2]
    assert "note:" in say(run_folder / "model")[2]


# Heads


def test_a_heads_page_says_what_it_hears_and_its_licence(head_file: Path, say: Say) -> None:
    assert 0 == say(head_file, "--repo", "me/street")[0]
    page = page_of(head_file.parent)
    # A norm of 64 and 64 numbers, and two rows of 64 and one.
    told = f"2 sounds: Dog; Rain / hail | {(128 + 130) / 1e6:.2g} M | base | CC-BY-4.0"
    assert told == row(page, "`tags.safetensors`")
    assert 'tercet.load_model("base", tags="me/street:tags.safetensors")' in page
    data = ModelCard(page).data
    assert ("cc-by-4.0", "audio-classification") == (data.license, data.pipeline_tag)
    assert "openai/whisper-base" == data.base_model


def test_a_heads_run_tells_its_report_and_a_card_by_hand_is_linked(
    head_file: Path, run_folder: Path, say: Say
) -> None:
    folder = head_file.parent
    for name in ("settings.json", "recipe.toml"):
        (folder / name).write_text("{}" if name.endswith("json") else "")
    (folder / "report.md").write_text(
        "# Tag head\n\n| figure | value |\n| --- | --- |\n| mAP | 0.5 |\n"
    )
    (folder / "TAGS_CARD.md").write_text("# By hand\n")
    say(folder)
    page = page_of(folder)
    assert "| mAP | 0.5 |" in section(page, "How good it is")
    assert "[TAGS_CARD.md](TAGS_CARD.md)" in page
    assert "# By hand\n" == (folder / "TAGS_CARD.md").read_text()


def test_a_text_runs_table_of_before_and_after_is_told(run_folder: Path, say: Say) -> None:
    """And no other part of its report, which its figures and data have places of their own for."""
    (run_folder / "report.md").write_text(
        "# small-student\n\n| held out | |\n| --- | --- |\n\n## Before and after\n\n"
        "| held out | wer before | wer after |\n| --- | --- | --- |\n| vi | 31 % | 12 % |\n\n"
        "`wer` is of words.\n\n## The mix\n\n| set | hours |\n| --- | --- |\n"
    )
    say(run_folder / "model")
    page = section(page_of(run_folder / "model"), "How good it is")
    assert "| vi | 31 % | 12 % |\n\n`wer` is of words." in page
    assert "| set | hours |" not in page_of(run_folder / "model")


def test_a_models_head_does_not_write_over_the_models_page(
    head_file: Path, run_folder: Path, say: Say
) -> None:
    shutil.copy(head_file, run_folder / "model")
    say(run_folder / "model")
    before = page_of(run_folder / "model")
    code, _, err = say(run_folder / "model" / "tags.safetensors", "--quiet")
    assert 1 == code
    assert "the page of its folder is the model's" in err
    assert before == page_of(run_folder / "model")
    assert "2 sounds" in section(before, "Heads")


def test_an_adapters_page_says_what_it_is_for(tmp_path: Path, say: Say) -> None:
    folder = tmp_path / "short-clips"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    told = {
        "r": 8,
        "target_modules": ["v_proj", "q_proj"],
        "base_model_name_or_path": "openai/whisper-base",
    }
    (folder / "adapter_config.json").write_text(json.dumps(told))
    say(folder)
    page = page_of(folder)
    assert ("8", "q_proj, v_proj") == (row(page, "rank"), row(page, "changes"))
    data = ModelCard(page).data
    assert ("openai/whisper-base", "peft") == (data.base_model, data.library_name)


def test_a_model_that_was_fine_tuned_alone_names_what_it_began_as(
    run_folder: Path, say: Say
) -> None:
    path = run_folder / "settings.json"
    changed = {"loss.divergence": 0.0, "student": "openai/whisper-tiny"}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    say(run_folder / "model")
    page = page_of(run_folder / "model")
    assert "openai/whisper-tiny" == ModelCard(page).data.base_model
    assert "openai/whisper-tiny, fine-tuned with Tercet." in page
    assert "teacher" not in section(page, "What it is")


# Bad input


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("x.json", "{", "no JSON"),
        ("x.json", "[]", "no JSON object"),
        ("x.json", '{"scores": {"wer": 0.1}}', "no word error rates"),
        ("x.json", '{"scores": {"wer": {"rate": NaN}}}', "no word error rates"),
        (None, "", "no such file"),
    ],
)
def test_a_report_that_is_none_is_one_line(
    run_folder: Path, tmp_path: Path, say: Say, name: str | None, body: str, words: str
) -> None:
    path = tmp_path / (name or "nowhere.json")
    if name:
        path.write_text(body)
    code, out, err = say(run_folder / "model", "--eval", path)
    assert (1, "", 1) == (code, out, err.count("\n"))
    assert words in err
    assert not (run_folder / "model" / "README.md").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--run", "nowhere"], 1),
        (["--labels", "nowhere"], 1),
        (["--languages", "english"], 2),
        (["--repo", "me"], 2),
        (["--dataset", "https://x"], 2),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    run_folder: Path, say: Say, words: list[str], code: int
) -> None:
    found, out, err = say(run_folder / "model", *words)
    assert (code, "", 1) == (found, out, err.count("\n"))


def test_broken_reports_of_a_run_are_one_line(run_folder: Path, say: Say) -> None:
    (run_folder / "report.json").write_text("{")
    code, _, err = say(run_folder / "model")
    assert (1, 1) == (code, err.count("\n"))
    assert "report.json" in err
