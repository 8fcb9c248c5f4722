"""`tercet convert` for heads, in this process, on small random ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Geometry, save_hugging_face
from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, TagHead
from tercet.cli.convert_head import read_labels
from tercet.cli.main import main
from tercet.convert.fingerprint import fingerprint
from tercet.convert.head_store import codebook_fingerprint, write_head
from tercet.errors import OptionError

FIXTURES = Path(__file__).resolve().parents[2] / "parity" / "fixtures"
ICHIGO = FIXTURES / "ichigo_parity_merged_tiny.pth"
GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=3,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture
def source(tmp_path):
    """A tag head of four sounds and width 64."""
    head = TagHead(
        layers="each",
        n_layers=None,
        width=64,
        hidden=64,
        has_projection=True,
        time_heads=1,
        layer_heads=8,
        arrays=HeadArrays({}),
        labels=("a", "b", "c", "d"),
        origin=Origin(licence="MIT", encoder_name="base"),
    )
    rng = np.random.default_rng(0)
    shapes = head_shapes(head)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path / "source.safetensors"
    write_head(path, replace(head, arrays=HeadArrays(values)))
    return path


@pytest.fixture(scope="module")
def model(random_checkpoint, byte_tokenizer_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tuned"
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(random_checkpoint(GEOMETRY), folder, tokenizer_file=tokenizer)
    return folder


@pytest.fixture
def theirs(peer, tmp_path):
    """`theirs("mean_mlp")`: a file as Whisper-AT's training leaves it."""
    torch = peer("torch")
    stored = np.load(FIXTURES / "whisper_at_parity_heads.npz")

    def make(mode):
        prefix = f"train/{mode}/w/"
        keys = [key for key in stored.files if key.startswith(prefix)]
        state = {f"at_model.{key[len(prefix) :]}": torch.from_numpy(stored[key]) for key in keys}
        torch.save(state, tmp_path / "theirs.pth")
        return tmp_path / "theirs.pth"

    return make


@pytest.fixture
def convert(tmp_path, capsys, monkeypatch):
    """`convert(source, "--force")`: (exit code, stdout, stderr) of a run into `out.safetensors`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(source, *words, file=tmp_path / "out.safetensors"):
        code = main(["convert", str(source), str(file), *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.safetensors"


# What is written


def test_a_tag_head_is_summed_up_in_one_line(convert, source, out):
    code, told, err = convert(source)
    assert (0, "", 1) == (code, err, len(told.splitlines()))
    begin = f"{out}: tag head lw_down_tr_64_1_8 of 'base' in float32, 4 labels, "
    assert told.startswith(begin)
    assert " MB, MIT, " in told
    assert out.read_bytes() == source.read_bytes()


def test_a_quantizer_is_summed_up_behind_the_note_on_its_licence(convert, out):
    code, told, err = convert(ICHIGO)
    assert 0 == code
    assert f"note: {ICHIGO}: these weights are under CC-BY-NC-SA-4.0, which forbids" in err
    assert 1 == len(err.splitlines())
    book = codebook_fingerprint(open_head(ICHIGO))
    facts = f"quantizer in float32, 2561 codes (2048 is the mask) at 25 Hz, codebook {book}, "
    assert f"{out}: {facts}" in told
    assert "CC-BY-NC-SA-4.0" in told
    # The file that was written says so, too.
    assert "note: " in convert(out, file=out.with_name("again.safetensors"))[2]


@pytest.mark.parametrize("words", [["--compute_type", "int8"], ["--compute-type=float16"]])
def test_compute_type_says_how_numbers_are_stored(convert, source, out, words):
    code, told, _ = convert(source, *words)
    assert (0, True) == (code, f"in {words[-1].split('=')[-1]}, " in told)
    assert out.stat().st_size < 0.6 * source.stat().st_size


def test_head_mode_tells_what_whisper_ats_file_does_not(convert, theirs, out):
    path = theirs("mean_tr_8")
    code, _, err = convert(path)
    assert (1, 1) == (code, len(err.splitlines()))
    assert "mean_tr_H" in err
    assert not out.exists()
    assert 0 == convert(path, "--head_mode", "mean_tr_8")[0]
    assert "mean_tr_8" == open_head(out).mode
    code, _, err = convert(path, "--head_mode", "mean_mlp", "--force")
    assert (2, True) == (code, "does not fit this head" in err)


def test_encoder_binds_the_head_to_a_model(convert, theirs, out, model, random_checkpoint):
    assert 0 == convert(theirs("wa_mlp"), "--encoder", model)[0]
    origin = open_head(out).origin
    assert "tuned" == origin.encoder_name
    assert fingerprint(random_checkpoint(GEOMETRY)).to_json() == origin.encoder


def test_a_head_of_another_shape_is_not_bound(convert, model, out):
    code, _, err = convert(ICHIGO, "--encoder", model)
    assert 1 == code
    assert "(width 32); 'tuned' has width 64" in err
    assert not out.exists()


def test_a_model_to_bind_to_that_is_not_there_is_a_usage_error(convert, source, out):
    code, _, err = convert(source, "--encoder", "no-such-model")
    assert (2, True) == (code, "no model is called 'no-such-model'" in err)
    assert not out.exists()


def test_quiet_says_nothing(convert):
    assert (0, "", "") == convert(ICHIGO, "--quiet")


# Labels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "rain\n\n  wind \nhail, hard\nsnow\n"),
        ("labels.txt", "\ufeffrain\r\nwind\r\nhail, hard\r\nsnow"),
        ("labels.json", json.dumps(["rain", "wind", "hail, hard", "snow"])),
        ("labels.csv", 'rain\nwind\n"hail, hard"\nsnow\n'),
        (
            "labels.csv",
            'index,mid,display_name\n0,/m/a,"rain"\n2,/m/c,"hail, hard"\n1,/m/b,wind\n3,/m/d,snow\n',
        ),
        ("labels.CSV", 'label,other\nrain,1\nwind,2\n"hail, hard",3\nsnow,4\n'),
    ],
)
def test_labels_come_from_text_csv_or_json(convert, source, out, tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert 0 == convert(source, "--labels", tmp_path / name)[0]
    assert ("rain", "wind", "hail, hard", "snow") == open_head(out).labels


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("labels.txt", b"", "holds no list of names"),
        ("labels.txt", b"\xff\xfe\x00", "cannot be read as labels"),
        ("labels.json", b"{", "cannot be read as labels"),
        ("labels.json", b"[" * 100_000, "cannot be read as labels"),
        ("labels.json", b'{"a": 1}', "holds no list of names"),
        ("labels.json", b"[1, 2]", "holds no list of names"),
        ("labels.csv", b"a,b\nc,d\n", "has no column display_name, label, name"),
        ("labels.csv", b"index,display_name\n0,a\n2,b\n", "are not 0, 1, 2"),
        ("labels.csv", b"index,display_name\n0,a, b\n", "rows differ"),
        ("labels.csv", b"", "holds no list of names"),
        ("absent.txt", None, "cannot be read as labels"),
    ],
)
def test_a_file_without_labels_is_one_line(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError, match=said) as caught:
        read_labels(tmp_path / name)
    assert 1 == len(str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("content", "said"), [("a\nb\n", "2 labels for a head of 4"), ("a\nb\nb\nc", "there twice")]
)
def test_labels_that_do_not_fit_are_a_usage_error(convert, source, out, tmp_path, content, said):
    (tmp_path / "labels.txt").write_text(content)
    code, _, err = convert(source, "--labels", tmp_path / "labels.txt")
    assert (2, 1, True) == (code, len(err.splitlines()), said in err)
    assert not out.exists()


# What is not overwritten


def test_force_replaces_a_head_and_nothing_else(convert, source, out):
    assert 0 == convert(source)[0]
    code, _, err = convert(source, "--compute_type", "int8")
    assert (1, True) == (code, f"{out}: is there already; --force replaces it" in err)
    before = out.stat().st_size
    assert 0 == convert(source, "--compute_type", "int8", "--force")[0]
    assert out.stat().st_size < before
    out.write_bytes(b"a letter")
    code, _, err = convert(source, "--force")
    assert (1, True) == (code, "is no head that a conversion wrote" in err)
    assert b"a letter" == out.read_bytes()


def test_the_source_itself_is_not_overwritten(convert, source):
    before = source.read_bytes()
    code, _, err = convert(source, "--force", "--compute_type", "int8", file=source)
    assert (1, True) == (code, "is the source itself" in err)
    assert before == source.read_bytes()


def test_a_place_that_cannot_be_written_is_one_line(convert, source, tmp_path):
    code, _, err = convert(source, file=tmp_path / "absent" / "a.safetensors")
    assert (1, 1, True) == (code, len(err.splitlines()), "cannot be written" in err)


def test_ctrl_c_leaves_nothing(convert, source, tmp_path, monkeypatch):
    def interrupt(self, name, array):
        raise KeyboardInterrupt

    monkeypatch.setattr("tercet.convert.store.SafetensorsWriter.put", interrupt)
    code, _, err = convert(source)
    assert (130, "tercet: stopped; nothing was written\n") == (code, err)
    assert [source] == list(tmp_path.iterdir())


# Command lines that cannot be meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--compute_type", "int4"], "a head has float32, float16, int8"),
        (["--to", "onnx"], "--to has no effect on a head"),
        (["--calibrate", "a.wav"], "--calibrate has no effect on a head"),
        (["--revision", "v2"], "--revision has no effect on a head"),
        (["--adapter", "lora"], "--adapter has no effect on a head"),
        (["--head_mode", "mean_mlp"], "this one tells its own"),
    ],
)
def test_an_option_that_does_nothing_here_is_a_usage_error(convert, source, out, words, said):
    code, told, err = convert(source, *words)
    assert (2, "", 1) == (code, told, len(err.splitlines()))
    assert said in err
    assert not out.exists()


def test_a_model_is_not_written_as_one_file(convert, model):
    for source in ("large-v3", model):
        code, _, err = convert(source)
        assert (2, True) == (code, f"{source} is a model, which is written as a folder" in err)


@pytest.mark.parametrize("name", ["whisper-at:base", "ichigo-asr-2501-en", ICHIGO])
def test_a_head_is_not_written_as_a_folder(convert, tmp_path, name):
    code, _, err = convert(name, file=tmp_path / "out")
    assert (2, True) == (code, f"{name} is a head, which is written as one file" in err)
    assert f"{tmp_path / 'out'}.safetensors" in err


@pytest.mark.parametrize("word", ["--head_mode", "--labels", "--encoder"])
def test_an_option_of_heads_is_refused_for_a_model(convert, model, tmp_path, word):
    code, _, err = convert(model, word, "x", file=tmp_path / "out")
    assert (2, True) == (code, f"{word} is for heads" in err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("whisper-at:tiny", 2, "download https://www.dropbox.com/s/"),
        ("whisper-at:tyny", 2, "did you mean 'whisper-at:tiny'"),
        ("ichigo-asr-2502-en", 2, "the hub is switched off"),
        ("absent.pth", 2, "no such file"),
        (FIXTURES / "ichigo_parity_whisper_tiny.pt", 1, "a Whisper checkpoint, no head"),
        (__file__, 1, "of no kind that Tercet knows"),
    ],
)
def test_a_source_that_is_no_head_is_one_line(convert, out, source, code, said):
    found, told, err = convert(source)
    assert (code, "") == (found, told)
    assert said in err.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("absent/out.safetensors", "No such file or directory"),
        ("source.safetensors/out.safetensors", "Not a directory"),
    ],
)
def test_an_output_that_cannot_be_written_is_named_without_what_it_is_called_meanwhile(
    source, capsys, monkeypatch, out, reason
):
    monkeypatch.chdir(source.parent)
    assert 1 == main(["convert", source.name, out])
    line = f"tercet convert: {out}: cannot be written ({reason}); choose another folder\n"
    assert line == capsys.readouterr().err
