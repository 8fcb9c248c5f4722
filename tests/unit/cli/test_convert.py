"""`tercet convert` in this process, on small random models."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.cli.main import main

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture(scope="module")
def source(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "tuned"
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(random_checkpoint(GEOMETRY), folder, tokenizer_file=tokenizer)
    return folder


@pytest.fixture
def convert(source, tmp_path, capsys, monkeypatch):
    """`convert("--force")`: (exit code, stdout, stderr) of a run from `source` into `out`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*words, source=source, folder=tmp_path / "out"):
        code = main(["convert", str(source), str(folder), *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_folder_that_opens_is_written_and_summed_up_in_one_line(convert, tmp_path):
    code, out, err = convert()
    assert (0, "") == (code, err)
    assert out.startswith(f"{tmp_path / 'out'}: tuned in int8, ")
    assert 1 == len(out.splitlines())
    assert " MB" in out
    opened = open_checkpoint(tmp_path / "out")
    assert ("native", GEOMETRY) == (opened.layout, opened.geometry)
    assert opened.tokenizer_file is not None


@pytest.mark.parametrize("words", [["--compute_type", "float16"], ["--compute-type=float16"]])
def test_compute_type_says_how_numbers_are_stored(convert, tmp_path, words):
    code, out, _ = convert(*words)
    assert (0, True) == (code, "in float16" in out)
    opened = open_checkpoint(tmp_path / "out")
    assert ("hf", np.float16) == (opened.layout, opened.read("model.encoder.conv1.bias").dtype)


def test_to_onnx_writes_graphs(convert, tmp_path):
    code, _, _ = convert("--to", "onnx")
    assert 0 == code
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"encoder.onnx", "encoder.onnx.data", "decoder.onnx", "cross.onnx"} < names
    assert {"tokenizer.json", "config.json"} < names
    assert "model.safetensors" not in names


def test_force_replaces_an_earlier_conversion(convert, tmp_path):
    assert 0 == convert()[0]
    code, out, err = convert("--compute_type", "float32")
    assert (1, "") == (code, out)
    assert f"{tmp_path / 'out'}: holds a model; --force replaces it" in err
    assert "native" == open_checkpoint(tmp_path / "out").layout
    assert 0 == convert("--compute_type", "float32", "--force")[0]
    assert "hf" == open_checkpoint(tmp_path / "out").layout


def test_a_folder_that_must_not_be_replaced_is_noticed_before_a_model_is_looked_for(convert):
    assert 0 == convert()[0]
    assert 1 == convert(source="no-such-model")[0]
    assert 2 == convert("--force", source="no-such-model")[0]


def test_quiet_says_nothing(convert):
    assert (0, "", "") == convert("--quiet")


def test_calibrate_folds_the_encoder(convert, tmp_path, clips_dir):
    clip = next(clips_dir.glob("librispeech-1089*"))
    code, _, err = convert("--calibrate", clip, "--calibrate", clips_dir / "librispeech-61*")
    assert (0, "") == (code, err)
    opened = open_checkpoint(tmp_path / "out")
    assert 2 * 3 == len(opened.smoothing)
    assert 2 * 4 == len(opened.calibration)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--calibrate", "absent.wav"], "absent.wav: no such file"),
        (["--calibrate", __file__], "test_convert.py"),
        (["--calibrate", __file__, "--compute_type", "float16"], "--calibrate has no effect"),
    ],
)
def test_a_calibration_that_cannot_be_is_one_line_and_leaves_nothing(
    convert, tmp_path, words, said
):
    code, _, err = convert(*words)
    assert code in (1, 2)
    assert said in err
    assert 1 == len(err.splitlines())
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_merged_into_what_is_written(convert, source, tmp_path):
    module = "model.decoder.layers.0.fc1"
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 64)).astype(np.float32)
    b = rng.normal(size=(256, 2)).astype(np.float32)
    stem, lora = f"base_model.model.{module}", tmp_path / "lora"
    lora.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6}
    (lora / "adapter_config.json").write_text(json.dumps(config))
    save_file(
        {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}, lora / "adapter_model.safetensors"
    )
    assert 0 == convert("--compute_type", "float32", "--adapter", lora)[0]
    before, after = open_checkpoint(source), open_checkpoint(tmp_path / "out")
    expected = before.read(f"{module}.weight") + 3 * b @ a
    np.testing.assert_allclose(expected, after.read(f"{module}.weight"), rtol=1e-5, atol=1e-5)
    assert [f"{module}.weight"] == [
        name for name in before.names() if not np.array_equal(before.read(name), after.read(name))
    ]
    code, _, err = convert("--adapter", tmp_path / "nowhere", "--force")
    assert (2, 1, True) == (code, len(err.splitlines()), "nowhere': no such file" in err)


def test_revision_is_passed_to_the_hub(convert, monkeypatch, source):
    asked = []

    def find(name, *, revision, on_progress):
        asked.append((name, revision))
        return source

    monkeypatch.setattr("tercet.hub.find_model", find)
    assert 0 == convert("--revision", "v2", source="somebody/tuned")[0]
    assert [("somebody/tuned", "v2")] == asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--compute_type", "int4"], "tercet has int8, float16, float32"),
        (["--to", "onnx", "--compute_type", "float16"], "onnx has int8, float32"),
        (["--to", "ggml"], "give one of tercet, onnx"),
        (["--no-such-option"], "--no_such_option"),
        (["one-word-too-many"], "one-word-too-many"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(convert, tmp_path, words, said):
    code, out, err = convert(*words)
    assert (2, "", 1) == (code, out, len(err.splitlines()))
    assert said in err
    assert "tercet convert --help" in err
    assert not (tmp_path / "out").exists()


def test_a_missing_word_is_a_usage_error(capsys):
    assert 2 == main(["convert", "only-a-source"])
    assert "FOLDER" in capsys.readouterr().err


def test_without_words_there_is_help(capsys):
    assert 0 == main(["convert"])
    assert "SOURCE is a known name" in capsys.readouterr().out


def whisper_of_another_kind(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "wav2vec2"}))


def damage(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (whisper_of_another_kind, 1, "only 'whisper' can be opened"),
        (damage, 1, "damaged or cut short"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), 1, "tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), 1, "model.safetensors"),
    ],
)
def test_a_source_that_is_no_sound_whisper_is_one_line_and_leaves_nothing(
    convert, source, tmp_path, change, code, said
):
    import shutil

    shutil.copytree(source, tmp_path / "bad")
    change(tmp_path / "bad")
    found, _, err = convert(source=tmp_path / "bad")
    assert (code, 1) == (found, len(err.splitlines()))
    assert said in err
    assert ["bad"] == [path.name for path in tmp_path.iterdir()]


def test_an_openai_file_without_a_tokenizer_anywhere_says_what_to_do(
    convert, tmp_path, peer, random_checkpoint, monkeypatch
):
    from tercet.errors import ModelNotFoundError

    torch = peer("torch")
    from tercet.checkpoint.naming import openai_slots

    g, made = GEOMETRY, random_checkpoint(GEOMETRY)
    keys = "n_mels n_audio_ctx n_audio_state n_audio_head n_audio_layer n_vocab n_text_ctx "
    names = (keys + "n_text_state n_text_head n_text_layer").split()
    sizes = (80, 1500, 64, 2, 2, g.vocab_size, 448, 64, 2, 1)
    slots = openai_slots(g)
    state = {slots[name].key: torch.from_numpy(array) for name, array in made.arrays.items()}
    path = tmp_path / "tiny.pt"
    torch.save({"dims": dict(zip(names, sizes, strict=True)), "model_state_dict": state}, path)

    def none_here(vocab_size):
        raise ModelNotFoundError("put its tokenizer.json beside the weights")

    monkeypatch.setattr("tercet.hub.find_tokenizer", none_here)
    code, _, err = convert(source=path)
    assert (2, True) == (code, "put its tokenizer.json" in err)


def test_a_place_that_cannot_be_written_is_one_line(convert, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = convert(folder=tmp_path / "file" / "out")
    assert (1, 1) == (code, len(err.splitlines()))
    assert "cannot be written" in err


def test_ctrl_c_leaves_nothing(convert, tmp_path, monkeypatch):
    def interrupt(self, name, array):
        raise KeyboardInterrupt

    monkeypatch.setattr("tercet.convert.store.SafetensorsWriter.put", interrupt)
    code, _, err = convert()
    assert (130, "tercet: stopped; nothing was written\n") == (code, err)
    assert [] == list(tmp_path.iterdir())


def test_progress_is_drawn_on_a_terminal_and_leaves_stdout_alone(convert, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, err = convert()
    assert 0 == code
    assert 1 == len(out.splitlines())
    assert "converting" in err
