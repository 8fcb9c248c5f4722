"""Pickles, tame and hostile: tensors or one error line, never code. No torch: the files are made by hand."""

import collections
import io
import itertools
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint
from tercet.checkpoint.naming import openai_slots
from tercet.checkpoint.pickle_values import Global, Inert, TensorRef
from tercet.checkpoint.pickles import PickleStream, read_pickle
from tercet.checkpoint.torch_file import open_torch_file
from tercet.errors import CheckpointError, TercetError, UnsafePickleError

TINY = Geometry(
    n_mels=8,
    width=8,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=10,
    n_audio_ctx=6,
    n_text_ctx=5,
)
DIMS = {
    "n_mels": 8,
    "n_vocab": 10,
    "n_audio_ctx": 6,
    "n_audio_state": 8,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_text_ctx": 5,
    "n_text_state": 8,
    "n_text_head": 2,
    "n_text_layer": 1,
}


class Stored:
    """Stands for a torch storage: the pickler below writes it as torch would."""

    def __init__(self, key, kind="FloatStorage", count=0):
        self.key, self.kind, self.count = key, kind, count


class Named:
    """Stands for a class or function of another package."""

    def __init__(self, name):
        self.name = name


class Called:
    """Pickles as a call of `name` with `arguments`."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class TorchPickler(pickle._Pickler):
    """Python's own pickler, which can be told what to write for the stand-ins above."""

    def persistent_id(self, one):
        if isinstance(one, Stored):
            return ("storage", Named(f"torch {one.kind}"), one.key, "cpu", one.count)
        return None

    def save(self, one, save_persistent_id=True):
        if isinstance(one, Named):
            self.write(b"c" + one.name.replace(" ", "\n").encode() + b"\n")
        elif isinstance(one, Called):
            self.save(Named(one.name))
            self.save(tuple(one.arguments))
            self.write(b"R")
        else:
            super().save(one, save_persistent_id)


def pickled(value):
    buffer = io.BytesIO()
    TorchPickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def tensor(key, shape, strides=None, offset=0, kind="FloatStorage", count=0):
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    hooks = collections.OrderedDict()
    arguments = (Stored(key, kind, count), offset, tuple(shape), tuple(strides), False, hooks)
    return Called("torch._utils _rebuild_tensor_v2", *arguments)


def write_zip(path, value, blocks, compression=zipfile.ZIP_STORED):
    raw = value if isinstance(value, bytes) else pickled(value)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", raw)
        for key, block in blocks.items():
            archive.writestr(f"archive/data/{key}", block)
    return path


def write_stream(path, value, blocks):
    heads = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, value, list(blocks))
    raw = b"".join(pickled(head) for head in heads)
    raw += b"".join(struct.pack("<q", len(block) // 4) + block for block in blocks.values())
    path.write_bytes(raw)
    return path


@pytest.fixture
def whisper(random_checkpoint):
    """(arrays by Hugging Face's name, the pickled value, the storages)."""
    arrays = random_checkpoint(TINY).arrays
    slots = openai_slots(TINY)
    state, blocks = collections.OrderedDict(), {}
    for i, (name, array) in enumerate(arrays.items()):
        state[slots[name].key] = tensor(str(i), array.shape, count=array.size)
        blocks[str(i)] = array.tobytes()
    return arrays, {"dims": DIMS, "model_state_dict": state}, blocks


def read_all(path):
    checkpoint = open_checkpoint(path)
    return {name: checkpoint.read(name) for name in checkpoint.names()}


@pytest.mark.parametrize("write", [write_zip, write_stream])
def test_a_tame_file_gives_its_tensors(whisper, tmp_path, write):
    arrays, value, blocks = whisper
    path = write(tmp_path / "a.pt", value, blocks)
    assert TINY == open_checkpoint(path).geometry
    for name, array in read_all(path).items():
        np.testing.assert_array_equal(arrays[name], array)


def test_a_folder_with_one_such_file_opens(whisper, tmp_path):
    _, value, blocks = whisper
    write_zip(tmp_path / "a.pt", value, blocks)
    assert "openai" == open_checkpoint(tmp_path).layout


def test_views_types_and_wrappers_are_understood(tmp_path):
    numbers = np.arange(12, dtype=np.float32)
    state = {
        "turned": tensor("0", (3, 2), (1, 3), offset=2),
        "shared": tensor("0", (4,), (3,)),
        "empty": tensor("0", (0, 3)),
        "scalar": tensor("0", (), offset=5),
        "half": tensor("1", (3,), kind="HalfStorage"),
        "bfloat": tensor("2", (2,), kind="BFloat16Storage"),
        "long": tensor("3", (2,), kind="LongStorage"),
        "parameter": Called("torch._utils _rebuild_parameter", tensor("0", (2,)), True, {}),
        "v3": Called(
            "torch._utils _rebuild_tensor_v3",
            *(
                Stored("1", "storage.UntypedStorage"),
                0,
                (3,),
                (1,),
                False,
                {},
                Named("torch float16"),
            ),
        ),
        "number": 3,
    }
    half = np.array([1, 2, 3], np.float16)
    blocks = {
        "0": numbers.tobytes(),
        "1": half.tobytes(),
        "2": np.array([0x3F80, 0xC000], np.uint16).tobytes(),
        "3": np.array([7, -9], np.int64).tobytes(),
    }
    file = open_torch_file(write_zip(tmp_path / "a.pt", state, blocks))
    tensors = file.tensors(file.value)
    assert set(state) - {"number"} == tensors.stored_names()
    expected = {
        "turned": [[2, 5], [3, 6], [4, 7]],
        "shared": [0, 3, 6, 9],
        "scalar": 5,
        "half": half,
        "bfloat": [1, -2],
        "long": [7, -9],
        "parameter": [0, 1],
        "v3": half,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(values, tensors.read(name), err_msg=name)
    assert (0, 3) == tensors.read("empty").shape
    assert (np.float16, np.float32) == (tensors.read("v3").dtype, tensors.read("long").dtype)


@pytest.mark.parametrize(
    "one",
    [
        tensor("0", (4,)),
        tensor("0", (3,), offset=1),
        tensor("0", (2, 2), (2, 1)),
        tensor("0", (10**12,), (0,)),
        tensor("0", (2,), kind="DoubleStorage"),
        tensor("9", (1,)),
        tensor("0", (2, 2), (1,)),
        tensor("0", (3,), kind="QInt8Storage"),
    ],
)
def test_a_tensor_that_its_storage_cannot_fill_is_an_error(tmp_path, one):
    blocks = {"0": np.zeros(3, np.float32).tobytes()}
    file = open_torch_file(write_zip(tmp_path / "a.pt", {"x": one}, blocks))
    with pytest.raises(CheckpointError, match="tensor 'x'"):
        file.tensors(file.value).read("x")


@pytest.mark.parametrize("shape", [(-1,), (1.5,), ("x",), (1,) * 9])
def test_a_shape_that_is_none_is_an_error(tmp_path, shape):
    path = write_zip(
        tmp_path / "a.pt", {"x": tensor("0", shape, (1,) * len(shape))}, {"0": b"1234"}
    )
    with pytest.raises(CheckpointError, match="damaged pickle"):
        open_torch_file(path)


HOSTILE = [
    "os system",
    "posix system",
    "subprocess Popen",
    "builtins eval",
    "builtins exec",
    "builtins __import__",
    "__builtin__ eval",
    "runpy run_path",
    "shutil rmtree",
    "importlib import_module",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_call_of_the_operating_system_is_refused_by_name(whisper, tmp_path, name):
    _, value, blocks = whisper
    path = write_zip(tmp_path / "a.pt", value | {"x": Called(name, "touch /tmp/x")}, blocks)
    with pytest.raises(UnsafePickleError, match=name.replace(" ", r"\.") + "; nothing was run"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "code",
    [
        b"(S'touch MARK'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch MARK'\no.",
        b"cos\nsystem\n(S'touch MARK'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0atouch MARK\x85R.",
        b"\x80\x02cos\nsystem\nX\x0a\x00\x00\x00touch MARK\x85\x81.",
        b"\x80\x04cos\nsystem\nX\x0a\x00\x00\x00touch MARK\x85}\x92.",
    ],
)
@pytest.mark.parametrize("form", ["zip", "stream"])
def test_every_opcode_that_calls_is_refused(tmp_path, monkeypatch, code, form):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pt"
    if form == "zip":
        write_zip(path, code, {})
    else:
        path.write_bytes(code if code[:1] == b"\x80" else b"\x80\x02" + code)
    with pytest.raises(UnsafePickleError):
        open_checkpoint(path)
    assert [path] == list(tmp_path.iterdir())


def test_foreign_names_are_never_imported(whisper, tmp_path):
    arrays, value, blocks = whisper
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    extra = {"settings": Called("trap Settings", 3), "class": Named("trap Other")}
    path = write_zip(tmp_path / "a.pt", value | extra, blocks)
    code = (
        "import sys; from pathlib import Path; from tercet.checkpoint import open_checkpoint; "
        f"c = open_checkpoint(Path({str(path)!r})); print(len(c.names()), 'trap' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"{len(arrays)} False" == done.stdout.strip()


def load(raw):
    return read_pickle(PickleStream(memoryview(raw)), "file")


def test_placeholders_are_inert():
    assert Global("a.b") == load(b"ca\nb\n.")
    assert Inert("a.b") == load(b"ca\nb\n(tR.")
    assert Inert("a.b") == load(b"ca\nb\n(tR}S'x'\nI1\nsb.")
    assert isinstance(load(b"ca\nb\n(tR(tR."), Inert)


def test_plain_values_come_out_as_python_reads_them():
    value = [1, -2, 3.5, None, True, "ä", (1, (2,)), {"a": [1], 2: "b"}, 2**80, [[]], ()]
    for protocol in range(6):
        assert value == load(pickle.dumps(value, protocol)), protocol
    assert b"x" == load(pickle.dumps(b"x", 3))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b".",
        b"0.",
        b"1.",
        b"t.",
        b"R.",
        b"b.",
        b"\x85.",
        b"h\x07.",
        b"I1\nr\xff\xff\xff\xff",
        b"\x80\x02\x82\x01.",
        b"Pabc\n.",
        b"(I1\nI2\nI3\nd.",
        b"I" + b"9" * 5000 + b"\n.",
        b"X\xff\xff\xff\x7fabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"S'" + b"a" * (3 * 2**20),
        b"I1\nI2\n\x93.",
        b"NQ.",
    ],
)
def test_damaged_pickles_are_one_error(raw):
    with pytest.raises(CheckpointError) as caught:
        load(raw)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_deeply_nested_pickle_needs_no_deep_stack():
    deep = load(b"(" * 100_000 + b"t" * 100_000 + b".")
    assert isinstance(deep, tuple)
    # As a key it would have to be hashed, all the way down: it is dropped.
    assert {} == load(b"}" + b"(" * 100_000 + b"t" * 100_000 + b"I1\ns.")


def test_small_files_cannot_ask_for_much_work(monkeypatch):
    from tercet.checkpoint import pickles

    monkeypatch.setattr(pickles, "MAX_OPCODES", 2000)
    with pytest.raises(CheckpointError, match="over 2000 opcodes"):
        load(b"N0" * 2000 + b".")
    copies = b"](" + b"I1\nI2\n\x86" * 100 + b"ep1\n" + b"ccollections\nOrderedDict\ng1\n\x85R" * 50
    with pytest.raises(CheckpointError, match="too many copies"):
        load(copies + b".")
    name = b"X\xff\xff\x00\x00" + b"a" * 65535
    with pytest.raises(CheckpointError, match="endless name"):
        load(name + b"2\x93.")


def test_a_value_that_contains_itself_is_no_trouble(tmp_path):
    loop = {"state_dict": {}}
    loop["self"] = loop
    with pytest.raises(CheckpointError, match="no 'dims'"):
        open_checkpoint(write_zip(tmp_path / "a.pt", loop, {}))
    with pytest.raises(CheckpointError, match="no 'dims'"):
        open_checkpoint(write_stream(tmp_path / "b.pt", loop, {}))


def test_a_zip_bomb_is_refused_unread(whisper, tmp_path):
    _, value, blocks = whisper
    path = write_zip(tmp_path / "a.pt", value, blocks | {"9": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: [value], "not named tensors"),
        (lambda value: value["model_state_dict"], "no 'dims'"),
        (lambda value: value | {"dims": {**DIMS, "n_text_state": 16}}, "differ"),
        (lambda value: value | {"dims": {**DIMS, "n_mels": None}}, "'n_mels' is missing"),
        (lambda value: value | {"dims": {**DIMS, "n_audio_layer": 2}}, "encoder.blocks.1."),
        (lambda value: value | {"model_state_dict": {}}, "missing"),
        (lambda value: Called("torch.nn Module"), "pickled object"),
    ],
)
def test_a_file_that_is_no_whisper_says_why(whisper, tmp_path, change, said):
    _, value, blocks = whisper
    with pytest.raises(CheckpointError, match=said):
        read_all(write_zip(tmp_path / "a.pt", change(value), blocks))


def test_a_zip_of_another_kind_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        open_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("write", [write_zip, write_stream])
def test_cut_and_flipped_files_raise_our_errors_only(whisper, tmp_path, write):
    _, value, blocks = whisper
    path = write(tmp_path / "a.pt", value, blocks)
    whole = path.read_bytes()
    rng = random.Random(1)
    read = 0
    for size in [*range(0, 200, 7), *(rng.randrange(len(whole)) for _ in range(80))]:
        path.write_bytes(whole[:size])
        with pytest.raises(TercetError) as caught:
            read_all(path)
        assert "\n" not in str(caught.value)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_all(path)
            read += 1
        except TercetError:
            continue
    assert 400 > read > 0  # some flips hit the numbers, some the structure


def test_shuffled_opcodes_raise_our_errors_only(whisper):
    _, value, _ = whisper
    raw = pickled(value)
    starts = [position for _, _, position in pickletools.genops(raw)] + [len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(starts)]
    rng = random.Random(2)
    for _ in range(300):
        some = pieces.copy()
        for _ in range(5):
            a, b = rng.randrange(len(some)), rng.randrange(len(some))
            some[a], some[b] = some[b], some[a]
        try:
            value = load(b"".join(some))
        except TercetError:
            continue
        assert isinstance(
            value, dict | list | tuple | str | int | Global | Inert | TensorRef | None
        )
