"""`tercet codebook` in this process, on small quantizers and token files made on the spot."""

import importlib.util
import json

import numpy as np
import pytest

from tercet.checkpoint.head_file import open_head
from tercet.checkpoint.head_naming import quantizer_shapes, tag_head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.cli.codebook import run
from tercet.convert.head_store import codebook_fingerprint, write_head
from tercet.dataset.token_files import render_tokens
from tercet.results import SpeechTokens

SIZES = {"width": 64, "heads": 2, "mlp_width": 128, "code_width": 8, "positions": 20}


def head_of(rows, mask_code, seed=0, depth=1):
    settings = {**SIZES, "codebook_size": rows, "mask_code": mask_code, "depth": depth}
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in quantizer_shapes(Quantizer(**settings, arrays=HeadArrays({}))).items():
        arrays[name] = random.normal(size=shape).astype(np.float32)
        if name.endswith("codebook"):
            arrays[name] /= np.linalg.norm(arrays[name], axis=1, keepdims=True)
    origin = Origin(name="small", licence="MIT")
    return Quantizer(**settings, arrays=HeadArrays(arrays), origin=origin)


@pytest.fixture
def codebook(tmp_path, capsys, monkeypatch):
    """`codebook("expand", ...)`: (exit code, stdout, stderr) of a run in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def ask(*words):
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return ask


@pytest.fixture
def small(tmp_path):
    """A quantizer of 16 codes and a mask in `small.safetensors`."""
    head = head_of(17, 16)
    write_head(tmp_path / "small.safetensors", head)
    return head


@pytest.fixture
def codes(tmp_path):
    """`codes("a.json", [1, 2], ...)` writes a token file."""

    def write(name, ids, *, head=None, size=17, codebook="", mask_code=16):
        if head is not None:
            size, codebook = head.codebook_size, codebook_fingerprint(head)
            mask_code = head.mask_code
        tokens = SpeechTokens(
            ids=np.array(ids, np.int32), codebook_size=size, codebook=codebook,
            duration_s=len(ids) / 25, mask_code=mask_code,
        )  # fmt: skip
        text = render_tokens(tokens, name.rpartition(".")[2])
        (tmp_path / name).write_text(text)
        return name

    return write


def rows(path):
    return open_head(path).arrays.read("levels.0.codebook")


@pytest.mark.parametrize("out", ["large.pth", "large", "folder/"])
def test_a_head_is_written_under_a_name_that_says_so(codebook, small, tmp_path, out):
    for words in (
        ("expand", "small.safetensors", out, "--size", 33),
        ("merge", "small.safetensors", "small.safetensors", out),
        ("drop-mask", "small.safetensors", out),
    ):
        code, _, err = codebook(*words)
        assert (2, 1) == (code, len(err.splitlines()))
        assert "ends in .safetensors" in err
    assert ["small.safetensors"] == [each.name for each in tmp_path.iterdir()]


def test_expand_writes_a_larger_quantizer_and_says_so_in_one_line(codebook, small):
    code, out, err = codebook("expand", "small.safetensors", "large.safetensors", "--size", 33)
    assert (0, "") == (code, err)
    assert out.startswith("large.safetensors: 33 rows, the mask is 32, ")
    assert 1 == len(out.splitlines())
    large = open_head("large.safetensors")
    assert (33, 32, "MIT") == (large.codebook_size, large.mask_code, large.origin.licence)
    np.testing.assert_array_equal(
        small.arrays.read("levels.0.codebook")[:16], rows("large.safetensors")[:16]
    )


def test_init_gives_noise_to_all_rows_but_the_mask(codebook, small):
    assert 0 == codebook("init", "small.safetensors", "out.safetensors", "--size", 33)[0]
    found, before = rows("out.safetensors"), small.arrays.read("levels.0.codebook")
    assert (found[:16] != before[:16]).any(axis=1).all()
    np.testing.assert_array_equal(before[16], found[32])


def test_noise_and_seed_have_an_effect(codebook, small):
    for name, words in {
        "one": [], "same": ["--seed", 0], "other": ["--seed", 1], "none": ["--noise", 0]
    }.items():  # fmt: skip
        words = ["small.safetensors", f"{name}.safetensors", "--size", 33, *words]
        assert 0 == codebook("expand", *words)[0]
    one, same, other, none = (
        rows(f"{name}.safetensors") for name in ("one", "same", "other", "none")
    )
    np.testing.assert_array_equal(one, same)
    assert (one[16:32] != other[16:32]).all()
    np.testing.assert_allclose(none[:16], none[16:32], atol=1e-6)


def test_match_ichigo_copies_the_mask_among_the_codes(codebook, small):
    words = ["small.safetensors", "out.safetensors", "--size", 33, "--match", "ichigo"]
    assert 0 == codebook("expand", *words)[0]
    np.testing.assert_array_equal(
        small.arrays.read("levels.0.codebook"), rows("out.safetensors")[:17]
    )


def test_merge_puts_codes_behind_the_first_codebook(codebook, small, tmp_path):
    other = head_of(9, 8, seed=5)
    write_head(tmp_path / "other.safetensors", other)
    code, out, _ = codebook("merge", "small.safetensors", "other.safetensors", "both.safetensors")
    assert (0, True) == (code, "25 rows, the mask is 16" in out)
    wanted = [small.arrays.read("levels.0.codebook"), other.arrays.read("levels.0.codebook")[:8]]
    np.testing.assert_array_equal(np.concatenate(wanted), rows("both.safetensors"))


def test_drop_mask_leaves_the_codes(codebook, small):
    code, out, _ = codebook("drop-mask", "small.safetensors", "bare.safetensors")
    assert (0, True) == (code, "16 rows, no mask" in out)
    assert open_head("bare.safetensors").mask_code is None
    np.testing.assert_array_equal(
        small.arrays.read("levels.0.codebook")[:16], rows("bare.safetensors")
    )


@pytest.mark.parametrize("compute_type", ["float16", "int8"])
def test_a_small_file_stays_small(codebook, tmp_path, compute_type):
    write_head(tmp_path / "packed.safetensors", head_of(17, 16), compute_type=compute_type)
    assert 0 == codebook("drop-mask", "packed.safetensors", "out.safetensors")[0]
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("packed", "out")]
    assert abs(sizes[0] - sizes[1]) < 1000


@pytest.mark.parametrize("command", ["expand", "init", "drop-mask", "merge"])
def test_a_file_that_is_there_is_replaced_only_with_force(codebook, small, tmp_path, command):
    (tmp_path / "out.safetensors").write_bytes(b"mine")
    words = {"merge": ["small.safetensors"]}.get(command, [])
    options = [] if command in ("merge", "drop-mask") else ["--size", 33]
    argv = [command, "small.safetensors", *words, "out.safetensors", *options]
    code, out, err = codebook(*argv)
    assert (1, "", b"mine") == (code, out, (tmp_path / "out.safetensors").read_bytes())
    assert "is there already; choose another name, or give --force" in err
    assert 1 == len(err.splitlines())
    assert 0 == codebook(*argv, "--force")[0]
    open_head("out.safetensors")
    assert {"small.safetensors", "out.safetensors"} == {each.name for each in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["expand", "small.safetensors", "out.safetensors"], 2, "--size"),
        (["expand", "small.safetensors", "out.safetensors", "--size", 5], 2, "size is 5"),
        (["expand", "small.safetensors", "out.safetensors", "--size", "x"], 2, "--size"),
        (["init", "small.safetensors", "o.safetensors", "--size", 33, "--match", "x"], 2, "'x'"),
        (["expand", "none.safetensors", "out.safetensors", "--size", 33], 1, "no such file"),
        (["drop-mask", "tags.safetensors", "out.safetensors"], 1, "a tag head"),
        (["drop-mask", "notes.txt", "out.safetensors"], 1, "notes.txt"),
        (["grow", "small.safetensors"], 2, "grow"),
        (["stats"], 2, "CODES"),
        (["stats", "none.json"], 1, "none.json"),
        (["stats", "notes.txt"], 1, "notes.txt"),
        (["stats", "a.json", "--plot", "use.pdf"], 2, ".svg or .png"),
        (["stats", "a.json", "--head", "none.safetensors"], 1, "no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(
    codebook, small, codes, tmp_path, argv, code, said
):
    codes("a.json", [1, 2])
    (tmp_path / "notes.txt").write_text("milk, eggs")
    sizes = {"width": 64, "hidden": 64, "has_projection": False, "time_heads": 0, "layer_heads": 0}
    empty = TagHead(**sizes, layers="mean", n_layers=None, arrays=HeadArrays({}))
    arrays = {name: np.ones(shape, np.float32) for name, shape in tag_head_shapes(empty).items()}
    tags = TagHead(**sizes, layers="mean", n_layers=None, arrays=HeadArrays(arrays))
    write_head(tmp_path / "tags.safetensors", tags)
    before = sorted(each.name for each in tmp_path.iterdir())
    found, out, err = codebook(*argv)
    assert (code, "") == (found, out)
    assert err.startswith("tercet codebook: ")
    assert said in err
    assert 1 == len(err.splitlines())
    assert before == sorted(each.name for each in tmp_path.iterdir())


def test_stats_counts_all_files(codebook, small, codes):
    first = codes("a.json", [0, 0, 1, 1], head=small)
    second = codes("b.jsonl", [3, 16, 3, 3], head=small)
    code, out, err = codebook("stats", first, second)
    assert (0, "") == (code, err)
    assert [
        "codebook    17 rows, the mask is 16",
        "heard       7 codes in 2 recordings, 1 masks",
        "used        3 of 16 codes (18.8 %), 13 dead",
        "entropy     1.56 bits, perplexity 2.9",
        "rate        38.9 of 102.2 bits per second at 25 Hz",
        "repeats     50.0 % of neighbours",
    ] == out.splitlines()


def test_stats_as_json(codebook, small, codes):
    code, out, _ = codebook("stats", codes("a.json", [0, 0, 5], head=small), "--json")
    told = json.loads(out)
    assert (0, "tercet/1", 1, 1) == (code, told["schema"], told["recordings"], len(told["levels"]))
    assert [2, 0, 0, 0, 0, 1] == told["levels"][0]["counts"][:6]


def test_texts_do_not_say_how_large_their_codebook_is_and_a_head_does(codebook, small, codes):
    files = [codes("a.txt", [0, 4]), codes("b.txt", [9, 9])]
    code, out, err = codebook("stats", *files)
    assert (0, True) == (code, "10 rows, no mask" in out)
    assert "note: the files do not name their codebook; it is taken to have 10 rows" in err
    code, out, err = codebook("stats", *files, "--head", "small.safetensors")
    assert (0, "", True) == (code, err, "17 rows, the mask is 16" in out)


def test_codes_of_another_codebook_are_one_line(codebook, small, codes):
    own, foreign = codes("a.json", [1], head=small), codes("b.json", [1], codebook="0" * 16)
    for words in ([own, foreign], [foreign, "--head", "small.safetensors"]):
        code, out, err = codebook("stats", *words)
        assert (1, "", 1) == (code, out, len(err.splitlines()))
        assert f"b.json: codes of codebook {'0' * 16}" in err
    code, _, err = codebook("stats", codes("c.txt", [99]), "--head", "small.safetensors")
    assert (1, True) == (code, "c.txt: code 99 is outside the codebook's 0..16" in err)


def test_levels_are_reported_apart(codebook, codes):
    name = codes("a.json", [[0, 1], [0, 2]], mask_code=None)
    code, out, _ = codebook("stats", name)
    assert 0 == code
    assert ["level 0", "level 1"] == [each for each in out.splitlines() if "level" in each]


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_plot_is_a_picture_of_the_use(codebook, small, codes, tmp_path, suffix, start):
    pytest.importorskip("matplotlib")
    name = codes("a.json", [0, 0, 5], head=small)
    plot = tmp_path / f"use{suffix}"
    assert 0 == codebook("stats", name, "--plot", plot)[0]
    assert plot.read_bytes().startswith(start)
    plot.write_bytes(b"mine")
    code, _, err = codebook("stats", name, "--plot", plot)
    assert (1, b"mine", True) == (code, plot.read_bytes(), "give --force" in err)
    assert 0 == codebook("stats", name, "--plot", plot, "--force")[0]
    assert plot.read_bytes().startswith(start)
    assert [] == [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_without_matplotlib_one_line_says_what_to_install(codebook, codes, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name)
    )
    code, out, err = codebook("stats", codes("a.json", [0]), "--plot", "use.svg")
    assert (2, "") == (code, out)
    assert "--plot needs matplotlib: pip install 'tercet[eval]'" in err


def test_help_names_every_subcommand(codebook):
    code, out, _ = codebook()
    assert 0 == code
    assert all(word in out for word in ("init", "expand", "merge", "drop-mask", "stats"))
    for word in ("init", "expand", "merge", "drop-mask", "stats"):
        code, out, _ = codebook(word, "--help")
        assert (0, True) == (code, "tercet codebook" in out)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("absent/large.safetensors", "No such file or directory"),
        ("small.safetensors/large.safetensors", "Not a directory"),
    ],
)
def test_an_output_that_cannot_be_written_is_named_without_what_it_is_called_meanwhile(
    codebook, small, out, reason
):
    ran = codebook("expand", "small.safetensors", out, "--size", 33)
    line = f"tercet codebook: {out}: cannot be written ({reason}); choose another folder\n"
    assert (1, "", line) == ran
