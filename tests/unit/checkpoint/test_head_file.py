"""Opening heads: every system's file is told apart, and every bad one is one clear line."""

import json
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.audio.convention import ICHIGO, InputConvention
from tercet.checkpoint.head_file import is_head_file, open_head, read_origin
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, Quantizer, TagHead
from tercet.convert.head_store import write_head
from tercet.errors import (
    CheckpointError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    TercetError,
    UnsafePickleError,
)

FIXTURES = Path(__file__).resolve().parents[2] / "parity" / "fixtures"
LABELS = ("Speech", "Dog", "موسیقی‌پاپ")
TAGS = TagHead(
    layers="weighted",
    n_layers=2,
    width=8,
    hidden=4,
    has_projection=True,
    time_heads=2,
    layer_heads=0,
    arrays=HeadArrays({}),
    labels=LABELS,
    window_frames=10,
    hop_frames=5,
    thresholds=(0.25, 0.5, 0.75),
    convention=InputConvention(padding=None, mel_floor="file"),
    origin=Origin(name="mine", licence="MIT", source="a recipe", encoder_name="base"),
)
ONE_THRESHOLD = replace(TAGS, thresholds=(0.5,))
TOKENS = Quantizer(
    width=8,
    heads=2,
    mlp_width=12,
    code_width=4,
    codebook_size=6,
    mask_code=5,
    depth=2,
    positions=20,
    has_state_mean=True,
    arrays=HeadArrays({}),
    convention=ICHIGO,
)


def filled(head, seed=0):
    """The head with random arrays."""
    rng = np.random.default_rng(seed)
    shapes = head_shapes(head)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return replace(head, arrays=HeadArrays(values))


def told_in(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["tercet"])


@pytest.fixture
def rewritten(tmp_path):
    """`rewritten(head, told={...}, arrays={...})`: a head's file with some of it replaced."""

    def make(head, *, change=lambda told: None, arrays=None, metadata=None):
        path = tmp_path / "head.safetensors"
        write_head(path, filled(head))
        told = told_in(path)
        change(told)
        found = dict(open_head(path).arrays.values) | (arrays or {})
        found = {name: array for name, array in found.items() if array is not None}
        save_file(found, path, metadata or {"tercet": json.dumps(told)})
        return path

    return make


def refused(path, error=CheckpointError, **options):
    """The line for a file that cannot be opened."""
    with pytest.raises(error) as caught:
        open_head(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


# Heads that open


@pytest.mark.parametrize("head", [TAGS, TOKENS], ids=["tags", "tokens"])
def test_what_was_written_says_all_that_the_head_said(head, tmp_path):
    path = tmp_path / "head.safetensors"
    write_head(path, filled(head))
    found = open_head(path)
    assert replace(head, arrays=found.arrays) == found
    assert path == found.arrays.path
    assert is_head_file(path)


def test_ichigos_file_opens_as_a_quantizer():
    path = FIXTURES / "ichigo_parity_merged_tiny.pth"
    head = open_head(path)
    assert isinstance(head, Quantizer)
    assert (2561, 2048, 32) == (head.codebook_size, head.mask_code, head.width)
    assert is_head_file(path)
    assert "CC-BY-NC-SA-4.0" == read_origin(path).licence


@pytest.fixture
def whisper_at_file(peer, tmp_path):
    """`whisper_at_file("last_mlp")`: the fixture's head of that mode, as its training saves it."""
    torch = peer("torch")
    stored = np.load(FIXTURES / "whisper_at_parity_heads.npz")

    def make(mode):
        prefix = f"train/{mode}/w/"
        state = {
            f"at_model.{key.removeprefix(prefix)}": torch.from_numpy(stored[key])
            for key in stored.files
            if key.startswith(prefix)
        }
        torch.save(state, tmp_path / "theirs.pth")
        return tmp_path / "theirs.pth"

    return make


def test_whisper_ats_file_opens_as_a_tag_head(whisper_at_file):
    path = whisper_at_file("lw_tr_1_8")
    head = open_head(path)
    assert isinstance(head, TagHead)
    assert ("lw_tr_1_8", 64, 527) == (head.mode, head.width, head.n_labels)
    assert is_head_file(path)
    assert read_origin(path) is None


def test_the_mode_that_whisper_ats_file_cannot_tell_is_asked_for(whisper_at_file):
    path = whisper_at_file("mean_tr_8")
    assert "mode" in refused(path, HeadError)
    assert "mean_tr_8" == open_head(path, mode="mean_tr_8").mode


def test_labels_may_be_given_when_a_head_is_opened(whisper_at_file, rewritten):
    names = tuple(f"sound {n}" for n in range(527))
    assert names == open_head(whisper_at_file("wa_mlp"), labels=names).labels
    assert ("a", "b", "c") == open_head(rewritten(TAGS), labels=["a", "b", "c"]).labels


def test_the_origin_is_read_without_the_arrays(rewritten):
    assert TAGS.origin == read_origin(rewritten(TAGS))


# Files that are no heads


def lora(path):
    save_file({"q_proj.lora_A.weight": np.zeros((2, 2), np.float32)}, path)


def whisper(path):
    save_file({"model.encoder.conv1.weight": np.zeros((2, 2), np.float32)}, path)


def model_of_tercet(path):
    save_file({"a": np.zeros(2, np.float32)}, path, {"tercet": '{"format": 1, "encoder": {}}'})


def other(path):
    save_file({"weight": np.zeros(2, np.float32)}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lora, "a LoRA adapter, no head"),
        (whisper, "a Whisper checkpoint, no head"),
        (model_of_tercet, "the weights of a model, no head"),
        (other, "holds no head that Tercet knows"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "a web page"),
        (lambda path: path.write_bytes(b"\n\n<html lang='en'>"), "a web page"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1"), "git-lfs"),
        (lambda path: path.write_bytes(b"RIFF0000WAVEfmt "), "of no kind that Tercet knows"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.mkdir(), "a folder"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, write, said):
    path = tmp_path / "thing.safetensors"
    write(path)
    assert said in refused(path)
    assert not is_head_file(path)
    assert read_origin(path) is None


def test_a_whisper_in_openais_layout_is_no_head():
    path = FIXTURES / "ichigo_parity_whisper_tiny.pt"
    assert "a Whisper checkpoint, no head" in refused(path)
    assert not is_head_file(path)


def test_a_missing_file_says_what_could_be_given(tmp_path):
    assert ".safetensors" in refused(tmp_path / "absent.pth", ModelNotFoundError)


class Runs:
    def __reduce__(self):
        return os.system, ("echo never",)


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    path = tmp_path / "theirs.pth"
    path.write_bytes(pickle.dumps({"mlp_layer.1.weight": Runs()}))
    assert "system" in refused(path, UnsafePickleError)
    assert not is_head_file(path)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_a_cut_file_is_one_line(rewritten, kept):
    path = rewritten(TOKENS)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    refused(path)


def test_no_flipped_byte_of_the_header_is_more_than_an_error(rewritten):
    path = rewritten(TAGS)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(0, 8 + struct.unpack("<Q", whole[:8])[0], 300):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            open_head(path)
        except TercetError as error:
            assert 1 == len(str(error).splitlines())  # noqa: PT017 - some flips change a mere name


def test_a_header_whose_length_looks_like_a_pickle_is_still_safetensors(rewritten):
    starts = set()
    for letters in range(0, 256, 8):  # lengths are multiples of 8: one of these has 0x80 first
        path = rewritten(TAGS, change=lambda told, n=letters: told["origin"].update(source="x" * n))
        starts.add(path.read_bytes()[:1])
        assert "x" * letters == open_head(path).origin.source
    assert b"\x80" in starts


# Heads that say nonsense


def setting(**values):
    return lambda told: told["settings"].update(values)


@pytest.mark.parametrize(
    ("head", "change", "said"),
    [
        (TAGS, lambda told: told.update(format=2), "format 2, this release reads up to 1; upgrade"),
        (TAGS, lambda told: told.update(format="1"), "format '1' is none of Tercet's"),
        (
            TAGS,
            lambda told: told.update(head="speaker"),
            "a head 'speaker', which is not tags or tokens or draft",
        ),
        (TAGS, lambda told: told.update(extra=1), "unknown 'extra'"),
        (TAGS, lambda told: told.pop("settings"), "no 'settings'"),
        (TAGS, lambda told: told.update(settings=[]), "no 'settings'"),
        (TAGS, lambda told: told["settings"].pop("hidden"), "no setting 'hidden'"),
        (TAGS, setting(speed=1), "the setting 'speed', unknown here; upgrade tercet"),
        (TAGS, setting(width=0), "width is 0, outside 1..16384"),
        (TAGS, setting(width=10**12), "outside 1..16384"),
        (TAGS, setting(width=10**400), "outside 1..16384"),
        (TAGS, setting(width=8.0), "width is 8.0"),
        (TAGS, setting(width=True), "width is True"),
        (TAGS, setting(width=12), "instead of [12]"),
        (TAGS, setting(layers="first"), "layers is 'first', not one of last, mean"),
        (TAGS, setting(layers=[]), "layers is []"),
        (TAGS, setting(n_layers=None), "weighted by no number"),
        (TAGS, setting(has_projection="yes"), "has_projection is 'yes'"),
        (TAGS, setting(has_projection=False), "hidden is 4 without a projection"),
        (TAGS, setting(layer_heads=2), "layer_heads is 2, which needs layers 'each'"),
        (TAGS, setting(time_heads=3), "no multiple of its attention heads"),
        (TAGS, setting(hop_frames=4), "hop_frames 4 does not divide window_frames 10"),
        (TAGS, setting(window_frames=10**9), "window_frames is 1000000000"),
        (TAGS, setting(thresholds=[0.5, 0.5]), "2 thresholds for 3 labels"),
        (TAGS, setting(thresholds=[1.5]), "not numbers from 0 to 1"),
        (TAGS, setting(thresholds=[float("nan")]), "not numbers from 0 to 1"),
        (TAGS, setting(thresholds=[]), "not numbers from 0 to 1"),
        (TAGS, lambda told: told.update(labels=["a", "b"]), "3 thresholds for 2 labels"),
        (
            ONE_THRESHOLD,
            lambda told: told.update(labels=["a", "b"]),
            "2 labels, and the classifier has 3",
        ),
        (ONE_THRESHOLD, lambda told: told.update(labels=None), "AudioSet's 527 labels, and the"),
        (TAGS, lambda told: told.update(labels=["a", "b", "a"]), "the label 'a' is there twice"),
        (TAGS, lambda told: told.update(labels=["a", "b", 3]), "label 2 is 3, no line of text"),
        (TAGS, lambda told: told.update(labels=["a", "b", " "]), "label 2 is ' '"),
        (TAGS, lambda told: told.update(labels=["a", "b", "c\x1b[31m"]), "no line of text"),
        (TAGS, lambda told: told.update(labels="abc"), "no list of 1..100000 names"),
        (TAGS, lambda told: told["convention"].update(padding="x"), "padding is 'x'"),
        (TAGS, lambda told: told["convention"].update(padding=float("inf")), "padding is inf"),
        (TAGS, lambda told: told["convention"].update(padding=10**400), "padding is 1000"),
        (TAGS, lambda told: told["convention"].update(length="60s"), "length is '60s'"),
        (
            TAGS,
            lambda told: told["convention"].update(speed=2),
            "convention has an unknown 'speed'",
        ),
        (TAGS, lambda told: told["origin"].update(licence=3), "'licence' in its origin"),
        (TAGS, lambda told: told["origin"].update(name="two\nlines"), "'name' in its origin"),
        (TAGS, lambda told: told["origin"].update(encoder="x"), "'encoder' in its origin"),
        (TAGS, lambda told: told["origin"].update(author="x"), "origin has an unknown 'author'"),
        (TOKENS, setting(mask_code=6), "mask_code is 6, and the codebook has 6 rows"),
        (TOKENS, setting(depth=10**6), "depth is 1000000"),
        (TOKENS, setting(blocks=2), "blocks.1.self_attn.q_proj.weight is missing"),
        (TOKENS, setting(heads=3), "width is 8, which 3 attention heads cannot share"),
        (TOKENS, setting(heads=8), "width is 8, which 8 attention heads cannot share"),
        (TOKENS, setting(downsample=3), "downsample 3 does not divide positions 20"),
        (TOKENS, setting(downsampling="max"), "downsampling is 'max'"),
        (TOKENS, setting(query_mult=-1), "query_mult is -1, not a positive number"),
        (TOKENS, setting(codebook_size=7), "instead of [7, 4]"),
        (TOKENS, setting(has_state_mean=False), "state_mean unknown"),
        (TOKENS, lambda told: told.update(labels=["a"]), ""),
    ],
)
def test_settings_that_make_no_sense_are_one_line(rewritten, head, change, said):
    path = rewritten(head, change=change)
    if said:
        assert said in refused(path)
    else:  # a quantizer has no labels, and whoever wrote some did no harm
        assert isinstance(open_head(path), Quantizer)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"classifier.norm.bias": np.array([1, np.nan, 1, 1], np.float32)}, "NaN or infinity"),
        ({"classifier.norm.bias": np.array([1, np.inf, 1, 1], np.float16)}, "NaN or infinity"),
        ({"classifier.norm.bias": None}, "classifier.norm.bias is missing"),
        ({"classifier.norm.bias": np.ones(5, np.float32)}, "shape [5] instead of [4]"),
        ({"classifier.norm.bias": np.ones(4, np.int64)}, "is int64, not floats"),
        ({"other.weight": np.ones(4, np.float32)}, "other.weight unknown"),
        ({"down.proj.weight": np.ones((4, 8), np.int8)}, "is int8, not floats or int8 with _scale"),
        ({"down.proj.weight_scale": np.ones((4, 1), np.float16)}, "is float32, not floats or int8"),
        ({"gone.weight_scale": np.ones((4, 1), np.float16)}, "belongs to no matrix"),
        (
            {
                "down.proj.weight": np.ones((4, 8), np.int8),
                "down.proj.weight_scale": np.ones((4, 3), np.float16),
            },
            "does not fit a matrix of [4, 8]",
        ),
        (
            {
                "down.proj.weight": np.ones((4, 8), np.int8),
                "down.proj.weight_scale": np.full((4, 1), np.nan, np.float16),
            },
            "NaN or infinity",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(rewritten, arrays, said):
    assert said in refused(rewritten(TAGS, arrays=arrays))


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_metadata_that_is_no_object_is_one_line(rewritten, text):
    assert "is not JSON" in refused(rewritten(TAGS, metadata={"tercet": text}))


# Options that do not fit


@pytest.mark.parametrize(
    ("head", "options", "said"),
    [
        (TAGS, {"mode": "last_mlp"}, "this one tells its own"),
        (TAGS, {"labels": ["a", "b"]}, "2 labels for a head of 3"),
        (TAGS, {"labels": ["a", "b", "b"]}, "the label 'b' is there twice"),
        (TOKENS, {"labels": ["a"]}, "only a tag head has labels"),
    ],
)
def test_options_that_do_not_fit_a_head_are_one_line(rewritten, head, options, said):
    assert said in refused(rewritten(head), OptionError, **options)


@pytest.mark.parametrize("options", [{"mode": "last_mlp"}, {"labels": ["a"]}])
def test_ichigos_file_takes_no_option_of_tag_heads(options):
    path = FIXTURES / "ichigo_parity_merged_tiny.pth"
    assert "only a tag head has" in refused(path, OptionError, **options)
