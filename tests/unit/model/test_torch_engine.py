"""The torch engine on tiny random models: shapes, edges, errors, and torch's absence."""

import subprocess
import sys

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.engine.protocol import open_over
from tercet.errors import EngineError
from tercet.model import load_torch

torch = pytest.importorskip("torch")

GEOMETRY = Geometry(
    n_mels=8,
    width=16,
    encoder_layers=2,
    encoder_heads=2,
    decoder_layers=3,
    decoder_heads=2,
    vocab_size=50,
    n_audio_ctx=75,
    n_text_ctx=10,
)


@pytest.fixture(scope="module")
def engine(random_checkpoint):
    return load_torch(random_checkpoint(GEOMETRY))


@pytest.fixture(scope="module")
def mel():
    return np.random.default_rng(0).normal(size=(8, 150)).astype(np.float32)


@pytest.fixture
def session(engine):
    states = torch.randn(2, 75, 16, generator=torch.Generator().manual_seed(0))
    return open_over(engine[1], states)


def ids(*rows):
    return np.array(rows, np.int64)


def test_states_and_taps_have_the_promised_shapes(engine, mel):
    encoded = engine[0].encode(mel)
    assert (75, 16) == tuple(encoded.states.shape)
    assert (2, 4, 16) == tuple(encoded.taps.shape)
    assert {torch.float32} == {encoded.states.dtype, encoded.taps.dtype}


def test_taps_are_means_of_twenty_frames_of_every_block(engine, mel):
    taps = engine[0].encode(mel).taps
    blocks = list(engine[0].module.blocks(torch.from_numpy(mel)[None]))
    for layer, block in enumerate(blocks):
        for i in range(4):
            expected = block[0, 20 * i : 20 * (i + 1)].mean(0)
            torch.testing.assert_close(taps[layer, i], expected)


@pytest.mark.parametrize(("real", "last"), [(1, 0), (20, 0), (21, 1), (55, 2), (61, 3), (75, 3)])
def test_real_frames_change_the_tap_in_which_they_end_and_no_other(engine, mel, real, last):
    whole = engine[0].encode(mel).taps
    encoded = engine[0].encode(mel, real_frames=real)
    blocks = list(engine[0].module.blocks(torch.from_numpy(mel)[None]))
    for layer, block in enumerate(blocks):
        torch.testing.assert_close(encoded.taps[layer, last], block[0, 20 * last : real].mean(0))
    others = [i for i in range(4) if i != last]
    torch.testing.assert_close(encoded.taps[:, others], whole[:, others], atol=0, rtol=0)


def test_short_windows_are_encoded_at_their_own_length(engine, mel):
    encoded = engine[0].encode(mel[:, :62])
    assert ((31, 16), (2, 2, 16)) == (tuple(encoded.states.shape), tuple(encoded.taps.shape))


def test_taps_can_be_left_out(random_checkpoint, mel):
    encoder, _ = load_torch(random_checkpoint(GEOMETRY), taps=False)
    assert None is encoder.encode(mel).taps


@pytest.mark.parametrize("shape", [(8, 151), (8, 152), (8, 0), (7, 150), (1, 8, 150)])
def test_a_log_mel_of_another_shape_is_an_error(engine, shape):
    with pytest.raises(EngineError, match=r"this model needs \[8, columns\]"):
        engine[0].encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize("real", [0, 76, -1])
def test_real_frames_outside_the_window_are_an_error(engine, mel, real):
    with pytest.raises(EngineError, match=r"1\.\.75"):
        engine[0].encode(mel, real_frames=real)


def test_a_row_may_fill_the_text_context_and_no_more(session):
    session.step(np.ones((2, 8), np.int64))
    logits = session.step(ids([1, 2, 3], [1, 2, 3]), counts=np.array([1, 2]))
    assert (2, 1, 50) == tuple(logits.shape)
    assert [9, 10] == session.lengths.tolist()
    with pytest.raises(EngineError, match="text context is 10"):
        session.step(ids([1], [1]))
    assert [9, 10] == session.lengths.tolist()


def test_rows_can_be_dropped_down_to_none(session):
    session.step(ids([1, 2], [3, 4]))
    session.reorder(np.array([1]))
    assert (1, [2]) == (session.rows, session.lengths.tolist())
    session.reorder(np.array([], np.int64))
    assert 0 == session.rows


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.step(ids([1])), "tokens have shape"),
        (lambda s: s.step(np.zeros((2, 0), np.int64)), "tokens have shape"),
        (lambda s: s.step(ids([1], [1]), counts=np.array([0, 1])), "counts"),
        (lambda s: s.step(ids([1], [1]), counts=np.array([1])), "counts"),
        (lambda s: s.step(ids([1], [1]), keep=ids([1], [0])), "keep"),
        (lambda s: s.roll_back(np.array([0, 1])), "roll back"),
        (lambda s: s.roll_back(np.array([0])), "roll back"),
        (lambda s: s.reorder(np.array([2])), "reorder"),
        (lambda s: s.alignment(), "align=True"),
    ],
)
def test_calls_that_do_not_fit_are_errors(session, call, said):
    with pytest.raises(EngineError, match=said):
        call(session)


@pytest.mark.parametrize("shape", [(75, 15), (1, 75, 16), (16,), (0, 16)])
def test_states_of_another_shape_are_an_error(engine, shape):
    with pytest.raises(EngineError, match=r"needs \[frames, 16\]"):
        engine[1].project(torch.zeros(shape))


def test_windows_are_projected_once_and_opened_in_any_company(engine):
    states = torch.randn(3, 75, 16, generator=torch.Generator().manual_seed(1))
    one, two, three = (engine[1].project(each) for each in states)
    tokens = ids([1, 2, 3], [4, 5, 6], [7, 8, 9])
    together = engine[1].open([three, one, two]).step(tokens)
    for row, window in enumerate((three, one, two)):
        for _ in range(2):
            alone = engine[1].open([window]).step(tokens[row : row + 1])
            torch.testing.assert_close(alone[0], together[row])


def test_by_default_the_upper_half_of_the_layers_aligns(engine):
    session = open_over(engine[1], torch.zeros(1, 75, 16), align=True)
    session.step(ids([1, 2, 3]))
    assert ((1, 0), (1, 1), (2, 0), (2, 1)) == engine[1].alignment_heads
    assert (1, 4, 3, 75) == tuple(session.alignment().shape)


def test_logits_can_be_changed_in_place(session):
    logits = session.step(ids([1], [2]))
    logits[:, :, 0] = -np.inf
    assert -np.inf == float(logits.max(dim=0).values[0, 0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_types_stay_near_float32_and_give_float32(random_checkpoint, engine, mel, dtype):
    encoder, decoder = load_torch(random_checkpoint(GEOMETRY), dtype=dtype)
    expected, got = engine[0].encode(mel), encoder.encode(mel)
    assert torch.float32 == got.states.dtype
    error = (expected.states - got.states).norm() / expected.states.norm()
    assert 0 < float(error) < 0.05
    logits = open_over(decoder, got.states[None]).step(ids([1, 2]))
    assert torch.float32 == logits.dtype
    reference = open_over(engine[1], expected.states[None]).step(ids([1, 2]))
    assert 0 < float((logits - reference).norm() / reference.norm()) < 0.1


@pytest.mark.parametrize(
    "options", [{"device": "nonsense"}, {"dtype": "int8"}, {"device": "cuda:99"}]
)
def test_devices_and_types_that_are_not_there_are_errors(random_checkpoint, options):
    with pytest.raises(EngineError, match=next(iter(options.values()))) as caught:
        load_torch(random_checkpoint(GEOMETRY), **options)
    assert "\n" not in str(caught.value)


def test_without_torch_the_error_says_what_to_install():
    code = """
import sys
sys.modules["torch"] = None
from tercet.errors import EngineError
from tercet.model import load_torch
try:
    load_torch(None)
except EngineError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'tercet[torch]'" in done.stdout


def test_importing_the_package_leaves_torch_alone():
    code = "import sys, tercet.model, tercet.checkpoint; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()
