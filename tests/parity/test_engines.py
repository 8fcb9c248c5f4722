"""Every engine that is installed, at every precision, against transformers and openai-whisper.

Random weights where a figure does not depend on them; real ones where outliers decide. `tolerance` is
the largest difference that is let pass, in units of the largest expected value (at least 1).
"""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.audio.mel import log_mel
from tercet.checkpoint import Generation, Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.arrays import Checkpoint
from tercet.engine.cpu import this_cpu
from tercet.engine.onnx import PRECISIONS, OnnxDecoder, OnnxEncoder
from tercet.engine.protocol import Decoder, Encoder, open_over
from tercet.errors import EngineError
from tercet.model import load_torch

GEOMETRY = Geometry(
    n_mels=8,
    width=64,
    encoder_layers=2,
    encoder_heads=4,
    decoder_layers=3,
    decoder_heads=2,
    vocab_size=90,
    n_text_ctx=20,
)
HEADS = ((2, 1), (1, 0), (1, 1))
RATE_HZ = 16000


@dataclasses.dataclass(frozen=True)
class Opened:
    """One engine at one precision."""

    name: str
    encoder: Encoder
    decoder: Decoder
    tolerance: float

    def check(self, expected: Any, got: Any) -> None:
        expected, got = np.asarray(expected), np.asarray(got)
        assert expected.shape == got.shape
        limit = self.tolerance * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(expected, got, atol=limit, rtol=0)


def open_onnx(precision: str) -> Callable[[Checkpoint], tuple[Encoder, Decoder]]:
    def open_both(checkpoint: Checkpoint) -> tuple[Encoder, Decoder]:
        kind = PRECISIONS[precision]
        encoder = OnnxEncoder(checkpoint, kind, threads=1, taps=True)
        return encoder, OnnxDecoder(checkpoint, kind, threads=1)

    return open_both


def open_openvino(
    precision: str, arithmetic: str
) -> Callable[[Checkpoint], tuple[Encoder, Decoder]]:
    """The encoder and the keys and values of cross-attention there, the steps on ONNX Runtime."""

    def open_both(checkpoint: Checkpoint) -> tuple[Encoder, Decoder]:
        from tercet.engine.openvino import OpenVinoEncoder, open_cross

        kind = PRECISIONS[precision]
        settings = {"threads": 1, "arithmetic": arithmetic}
        encoder = OpenVinoEncoder(checkpoint, kind, taps=True, **settings)
        cross = open_cross(checkpoint, kind, **settings)
        return encoder, OnnxDecoder(checkpoint, kind, threads=1, cross=cross)

    return open_both


ENGINES: dict[str, tuple[Callable[[Checkpoint], tuple[Encoder, Decoder]], float]] = {
    "onnx float32": (open_onnx("float32"), 1e-4),
    "onnx int8": (open_onnx("int8"), 0.06),
}
if importlib.util.find_spec("openvino") is not None:
    ENGINES["openvino float32"] = (open_openvino("float32", "f32"), 1e-4)
    ENGINES["openvino int8"] = (open_openvino("int8", "f32"), 0.06)
    if this_cpu().kind == "amx":  # elsewhere it would be told so, and computed otherwise
        ENGINES["openvino int8, bf16"] = (open_openvino("int8", "bf16"), 0.08)
if importlib.util.find_spec("torch") is not None:
    ENGINES["torch float32"] = (load_torch, 1e-4)


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint):
    made = random_checkpoint(GEOMETRY)
    return dataclasses.replace(made, generation=Generation(alignment_heads=HEADS))


@pytest.fixture(scope="module", params=ENGINES)
def opened(request, checkpoint) -> Opened:
    """Each engine in turn, over the same random checkpoint."""
    open_both, tolerance = ENGINES[request.param]
    return Opened(request.param, *open_both(checkpoint), tolerance)


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(3).normal(size=(4, 70, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def transformers_model(checkpoint, peer, tmp_path_factory):
    """`transformers_model(frames)`: the same weights there, for windows of so many encoder frames."""
    transformers = peer("transformers")
    peer("torch").set_num_threads(1)
    table = "model.encoder.embed_positions.weight"

    def make(frames: int):
        folder = tmp_path_factory.mktemp("transformers")
        geometry = dataclasses.replace(GEOMETRY, n_audio_ctx=frames)
        arrays = checkpoint.arrays | {table: checkpoint.arrays[table][:frames]}
        cut = dataclasses.replace(checkpoint, geometry=geometry, arrays=arrays)
        save_hugging_face(cut, folder)
        return transformers.WhisperForConditionalGeneration.from_pretrained(
            folder, attn_implementation="eager"
        ).eval()

    return make


@pytest.fixture(scope="module")
def logits_of(transformers_model, peer):
    """`logits_of(tokens, voice)`: (logits [n, vocab], chosen attention [heads, n, frames])."""
    torch = peer("torch")
    model = transformers_model(70)

    def run(tokens, voice):
        with torch.no_grad():
            out = model.model.decoder(
                input_ids=torch.tensor([list(tokens)]),
                encoder_hidden_states=torch.from_numpy(voice)[None],
                output_attentions=True,
            )
            logits = model.proj_out(out.last_hidden_state)[0].numpy()
        chosen = [out.cross_attentions[layer][0, head].numpy() for layer, head in HEADS]
        return logits, np.stack(chosen)

    return run


def ids(*rows):
    return np.array(rows, np.int64)


def copied(logits):
    """What the next step does not overwrite."""
    return np.asarray(logits).copy()


def random_ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 90, shape)


# Encoder


@pytest.mark.parametrize("columns", [3000, 1000, 500, 62, 2])
def test_states_and_taps_are_those_of_transformers(opened, transformers_model, peer, columns):
    torch = peer("torch")
    frames = columns // 2
    mel = np.random.default_rng(columns).normal(size=(8, columns)).astype(np.float32)
    model = transformers_model(frames).model.encoder
    blocks = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, inputs, out: blocks.append(out))
    with torch.no_grad():
        expected = model(torch.from_numpy(mel)[None]).last_hidden_state[0].numpy()
    outputs = [(b[0] if isinstance(b, tuple) else b).reshape(frames, 64).numpy() for b in blocks]
    encoded = opened.encoder.encode(mel)
    opened.check(expected, encoded.states)
    means = [[b[at : at + 20].mean(0) for at in range(0, frames, 20)] for b in outputs]
    opened.check(np.array(means), encoded.taps)


@pytest.mark.parametrize(("real", "last"), [(1, 0), (20, 0), (21, 1), (31, 1), (50, 2)])
def test_the_tap_in_which_the_sound_ends_hears_no_padding(opened, checkpoint, real, last):
    mel = np.random.default_rng(1).normal(size=(8, 100)).astype(np.float32)
    encoded = opened.encoder.encode(mel, real_frames=real)
    whole = np.asarray(opened.encoder.encode(mel).taps)
    taps = np.asarray(encoded.taps)
    others = [tap for tap in range(3) if tap != last]
    np.testing.assert_array_equal(whole[:, others], taps[:, others])
    frames = np.asarray(encoded.states)[20 * last : real]
    assert (2, 3, 64) == taps.shape
    # The last block's tap, normed, is near the mean of the states; a single frame's is exactly it.
    if len(frames) == 1:
        gain = checkpoint.read("model.encoder.layer_norm.weight")
        shift = checkpoint.read("model.encoder.layer_norm.bias")
        tap = taps[-1, last]
        normed = (tap - tap.mean()) / np.sqrt(tap.var() + 1e-5) * gain + shift
        opened.check(frames[0], normed)
    else:
        ends = real in (20, 50)
        assert ends == np.allclose(whole[:, last], taps[:, last], atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 151), (8, 3002), (8, 0), (7, 150), (1, 8, 150), (8,)])
def test_a_log_mel_of_another_shape_is_an_error(opened, shape):
    with pytest.raises(EngineError):
        opened.encoder.encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_window_is_heard_alike_whatever_length_came_first(engine, checkpoint) -> None:
    """OpenVINO 2026.4 gives noise for long windows if the first one of free shape had one frame."""
    open_both, _ = ENGINES[engine]
    mel = np.random.default_rng(7).normal(size=(8, 500)).astype(np.float32)
    expected = np.asarray(open_both(checkpoint)[0].encode(mel).states)
    after_a_short_one, _ = open_both(checkpoint)
    after_a_short_one.encode(mel[:, :2])
    assert np.allclose(expected, np.asarray(after_a_short_one.encode(mel).states), atol=1e-5)


@pytest.mark.parametrize("real", [0, 76, -1])
def test_real_frames_outside_the_window_are_an_error(opened, real):
    with pytest.raises(EngineError, match=r"1\.\.75"):
        opened.encoder.encode(np.zeros((8, 150), np.float32), real_frames=real)


# Decoder


def test_logits_and_attention_are_those_of_transformers(opened, states, logits_of):
    tokens = random_ids(1, 12)
    expected, attention = logits_of(tokens[0], states[0])
    session = open_over(opened.decoder, states[:1], align=True)
    parts = [copied(session.step(tokens[:, :5], keep=np.arange(5)[None]))]
    parts += [copied(session.step(tokens[:, i : i + 1])) for i in range(5, 9)]
    parts += [copied(session.step(tokens[:, 9:], keep=np.arange(3)[None]))]
    opened.check(expected, np.concatenate(parts, 1)[0])
    opened.check(attention, session.alignment()[0])


def test_rows_may_have_prompts_of_any_length(opened, states, logits_of):
    lengths = [1, 6, 3]
    prompts, more = random_ids(3, 6), random_ids(3, 4, seed=1)
    counts, again = np.array(lengths), np.array([4, 1, 2])
    session = open_over(opened.decoder, states[:3], align=True)
    first = copied(session.step(prompts, counts=counts))
    second = copied(session.step(more, counts=again))
    third = copied(session.step(random_ids(3, 1, seed=2)))
    assert [6, 8, 6] == session.lengths.tolist()
    attention = np.asarray(session.alignment())
    assert (3, 3, 8, 70) == attention.shape
    for row, length in enumerate(lengths):
        last = random_ids(3, 1, seed=2)[row]
        text = [*prompts[row, :length], *more[row, : again[row]], *last]
        expected, kept = logits_of(text, states[row])
        opened.check(expected[length - 1], first[row, 0])
        opened.check(expected[length + again[row] - 1], second[row, 0])
        opened.check(expected[-1], third[row, 0])
        opened.check(kept, attention[row, :, : len(text)])
        assert not attention[row, :, len(text) :].any()


def test_any_positions_of_a_step_can_be_kept(opened, states, logits_of):
    tokens = random_ids(2, 7)
    session = open_over(opened.decoder, states[:2])
    # In Fortran's order, as a transposed array has it.
    keep = np.asfortranarray(ids([6, 0, 3], [2, 2, 5]))
    logits = np.asarray(session.step(tokens, keep=keep))
    assert (2, 3, 90) == logits.shape
    for row in range(2):
        opened.check(logits_of(tokens[row], states[row])[0][keep[row]], logits[row])


def test_rolled_back_tokens_are_forgotten(opened, states, logits_of):
    session = open_over(opened.decoder, states[:2], align=True)
    session.step(random_ids(2, 8))
    session.roll_back(np.array([2, 0]))
    assert [2, 0] == session.lengths.tolist()
    session.roll_back(np.array([2, 0]))
    assert not np.asarray(session.alignment())[1].any()
    logits = np.asarray(session.step(random_ids(2, 3, seed=5)))
    kept = np.asarray(session.alignment())
    for row, start in enumerate((2, 0)):
        text = [*random_ids(2, 8)[row, :start], *random_ids(2, 3, seed=5)[row]]
        expected, attention = logits_of(text, states[row])
        opened.check(expected[-1], logits[row, 0])
        opened.check(attention, kept[row, :, : len(text)])
        assert not kept[row, :, len(text) :].any()


def test_positions_behind_a_rows_own_tokens_disturb_no_other_row(opened, states, logits_of):
    session = open_over(opened.decoder, states[:2])
    session.step(random_ids(2, 2))
    more = random_ids(2, 3, seed=1)
    logits = session.step(more, counts=np.array([1, 3]), keep=ids([2], [2]))
    expected, _ = logits_of([*random_ids(2, 2)[1], *more[1]], states[1])
    opened.check(expected[-1], np.asarray(logits)[1, 0])


@pytest.mark.parametrize("order", [[2, 1, 0], [1], [0, 0, 2, 2], [1, 0, 1], [0, 1, 2]])
def test_rows_can_be_dropped_repeated_and_swapped(opened, states, logits_of, order):
    tokens = random_ids(3, 5)
    session = open_over(opened.decoder, states[:3], align=True)
    session.step(tokens, counts=np.array([5, 2, 4]))
    session.reorder(np.array(order))
    assert [[5, 2, 4][row] for row in order] == session.lengths.tolist()
    after = random_ids(len(order), 2, seed=9)  # repeated rows go on differently
    logits = np.asarray(session.step(after))
    for row, old in enumerate(order):
        text = [*tokens[old, : [5, 2, 4][old]], *after[row]]
        expected, attention = logits_of(text, states[old])
        opened.check(expected[-1], logits[row, 0])
        opened.check(attention, np.asarray(session.alignment())[row, :, : len(text)])


def test_all_rows_can_be_dropped(opened, states):
    session = open_over(opened.decoder, states[:2])
    session.step(ids([1], [2]))
    session.reorder(ids())
    assert (0, []) == (session.rows, session.lengths.tolist())


def test_a_session_that_was_not_stepped_has_no_attention_yet(opened, states):
    session = open_over(opened.decoder, states[:2], align=True)
    assert (2, 3, 0, 70) == tuple(session.alignment().shape)


def test_without_chosen_heads_the_upper_half_of_the_layers_aligns(random_checkpoint, states):
    for open_both, _ in ENGINES.values():
        session = open_over(open_both(random_checkpoint(GEOMETRY))[1], states[:1], align=True)
        session.step(ids([1, 2]))
        assert (1, 4, 2, 70) == tuple(session.alignment().shape)


def test_a_row_may_fill_the_text_context_and_no_more(opened, states, logits_of):
    session = open_over(opened.decoder, states[:2])
    session.step(random_ids(2, 17))
    logits = session.step(random_ids(2, 3, seed=1), counts=np.array([3, 1]))
    expected, _ = logits_of([*random_ids(2, 17)[0], *random_ids(2, 3, seed=1)[0]], states[0])
    opened.check(expected[-1], np.asarray(logits)[0, 0])
    with pytest.raises(EngineError, match="21 tokens in a row; the model's text context is 20"):
        session.step(ids([1], [1]))
    assert [20, 18] == session.lengths.tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.step(ids([1])),
        lambda s: s.step(np.zeros((2, 0), np.int64)),
        lambda s: s.step(ids([1], [1]), counts=np.array([0, 1])),
        lambda s: s.step(ids([1], [1]), counts=np.array([2, 1])),
        lambda s: s.step(ids([1], [1]), counts=np.array([1])),
        lambda s: s.step(ids([1], [1]), keep=ids([1], [0])),
        lambda s: s.step(ids([1], [1]), keep=ids([0])),
        lambda s: s.roll_back(np.array([0, 1])),
        lambda s: s.roll_back(np.array([0])),
        lambda s: s.reorder(np.array([2])),
        lambda s: s.reorder(np.array([-1])),
        lambda s: s.alignment(),
    ],
)
def test_calls_that_do_not_fit_are_errors(opened, states, call):
    session = open_over(opened.decoder, states[:2])
    with pytest.raises(EngineError):
        call(session)
    assert [0, 0] == session.lengths.tolist()


@pytest.mark.parametrize("shape", [(64,), (1, 70, 64), (70, 63), (0, 64)])
def test_states_of_another_shape_are_an_error(opened, shape):
    with pytest.raises(EngineError, match=r"needs \[frames, 64\]"):
        opened.decoder.project(np.zeros(shape, np.float32))


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_step_may_bring_more_tokens_than_the_window_has_frames(opened, states, frames):
    """A prompt behind a very short sound; told token by token it gives the same."""
    tokens = random_ids(2, 6)
    at_once = open_over(opened.decoder, states[:2, :frames])
    by_and_by = open_over(opened.decoder, states[:2, :frames])
    for i in range(6):
        expected = copied(by_and_by.step(tokens[:, i : i + 1]))
    opened.check(expected, at_once.step(tokens))


def test_a_window_can_be_opened_as_often_as_one_likes(opened, states, logits_of):
    """What one session does to its rows, no other session over the same windows feels."""
    windows = [opened.decoder.project(one) for one in states[:3]]
    tokens = random_ids(3, 4)
    for _ in range(2):
        session = opened.decoder.open([windows[2], windows[0], windows[1]])
        session.step(tokens)
        session.reorder(np.array([2, 1]))
        session.step(tokens[:2])
        session.reorder(np.array([0, 0]))
        session.step(tokens[:2])
    for row, window in enumerate(windows):
        for session in (opened.decoder.open([window]), opened.decoder.open([window, *windows])):
            more = np.repeat(tokens[row : row + 1], session.rows, 0)
            logits = copied(session.step(more))
            opened.check(logits_of(tokens[row], states[row])[0][-1], logits[0, 0])


def test_logits_may_be_written_into_and_the_next_ones_are_new(opened, states, logits_of):
    tokens = random_ids(2, 5)
    session = open_over(opened.decoder, states[:2])
    for i in range(5):
        logits = session.step(tokens[:, i : i + 1])
        for row in range(2):
            expected, _ = logits_of(tokens[row], states[row])
            opened.check(expected[i], copied(logits)[row, 0])
        logits[:] = -np.inf


def test_a_row_does_not_depend_on_its_company(opened, states):
    """The same number of rows: bit for bit. Another number is another kernel: 1e-5."""

    def play(rows, seed):
        session = open_over(opened.decoder, states[rows])
        tokens = random_ids(len(rows), 9, seed=seed)
        tokens[0] = random_ids(9)
        counts = np.array([3, *[1 + seed % 3] * (len(rows) - 1)])
        logits = [copied(session.step(tokens[:, :3], counts=counts))]
        logits += [copied(session.step(tokens[:, i : i + 1])) for i in range(3, 6)]
        logits += [copied(session.step(tokens[:, 6:], counts=counts))]
        return np.stack([part[0] for part in logits])

    expected = play([0, 1, 2], 1)
    np.testing.assert_array_equal(expected, play([0, 3, 1], 2))
    np.testing.assert_allclose(expected, play([0], 1), atol=1e-5, rtol=0)
    np.testing.assert_allclose(expected, play([0, 3, 2, 1], 4), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("width", "heads"), [(24, 3), (40, 1), (144, 2)])
def test_widths_that_blocks_do_not_divide_work_in_every_precision(random_checkpoint, width, heads):
    geometry = dataclasses.replace(
        GEOMETRY, width=width, mlp_width=4 * width, encoder_heads=heads, decoder_heads=heads
    )
    checkpoint = random_checkpoint(geometry)
    mel = np.random.default_rng(0).normal(size=(8, 60)).astype(np.float32)
    results = {}
    for name, (open_both, _) in ENGINES.items():
        encoder, decoder = open_both(checkpoint)
        states = np.asarray(encoder.encode(mel).states)
        session = open_over(decoder, states[None])
        session.step(random_ids(1, 4))
        results[name] = states, copied(session.step(random_ids(1, 1)))
    for name, (_, tolerance) in ENGINES.items():
        for expected, got in zip(results["onnx float32"], results[name], strict=True):
            limit = 2 * tolerance * np.abs(expected).max()
            np.testing.assert_allclose(expected, got, atol=limit, rtol=0)


def test_heads_that_onnx_runtime_does_not_take_are_an_error(random_checkpoint):
    checkpoint = random_checkpoint(dataclasses.replace(GEOMETRY, width=36, decoder_heads=2))
    with pytest.raises(EngineError, match=r"heads are 18 wide.*engine 'torch'"):
        OnnxDecoder(checkpoint, PRECISIONS["float32"], threads=1)


# Real weights


@pytest.fixture(scope="module")
def real_mels(clips_dir, data_dir):
    """Log-mels [80, 3000] of real windows: name -> mel."""
    manifest = [json.loads(line) for line in (clips_dir / "manifest.jsonl").open(encoding="utf-8")]
    kinds = ("azure-fr", "telephone", "librispeech-chapter")
    names = [line["path"] for line in manifest]
    sounds = {name: [clips_dir / name] for kind in kinds for name in names if name.startswith(kind)}
    recipes = (data_dir / "longform_en" / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    for line in recipes[-1:]:
        chapter = json.loads(line)
        parts = [data_dir / "longform_en" / part for part in chapter["parts"][:4]]
        sounds[f"chapter {parts[0].name}"] = parts
    mels = {}
    for name, paths in sounds.items():
        samples = np.concatenate([load(path).read() for path in paths])[: 30 * RATE_HZ]
        padded = np.pad(samples, (0, 30 * RATE_HZ - samples.size))
        mels[name] = log_mel(padded, n_mels=80)
    return mels


@pytest.fixture(scope="module")
def reference_states(real_base, real_mels, openai_model, peer):
    """What openai-whisper's encoder makes of the real windows, with the genuine weights in fp32."""
    torch = peer("torch")
    torch.set_num_threads(2)
    model = openai_model(open_checkpoint(real_base)).encoder
    with torch.no_grad():
        return {n: model(torch.from_numpy(mel)[None])[0].numpy() for n, mel in real_mels.items()}


def test_the_real_encoder_is_openai_whispers(real_base, real_mels, reference_states):
    checkpoint = open_checkpoint(real_base)
    encoder = OnnxEncoder(checkpoint, PRECISIONS["float32"], threads=2, taps=False)
    for name, expected in list(reference_states.items())[:2]:
        got = encoder.encode(real_mels[name]).states
        assert np.abs(expected - got).max() <= 1e-4 * np.abs(expected).max(), name


@pytest.mark.parametrize("weights", ["genuine_base", "base_model"])
@pytest.mark.parametrize("engine", ["onnx", "openvino f32", "openvino bf16"])
def test_the_int8_encoder_errs_by_five_percent_at_most(
    request, weights, engine, real_mels, reference_states, capsys
):
    checkpoint = open_checkpoint(request.getfixturevalue(weights))
    settings = {"threads": 2, "taps": False}
    if engine == "onnx":
        encoder = OnnxEncoder(checkpoint, PRECISIONS["int8"], **settings)
    else:
        pytest.importorskip("openvino")  # there are no wheels for every processor
        from tercet.engine.openvino import OpenVinoEncoder

        settings["arithmetic"] = engine.split()[1]
        encoder = OpenVinoEncoder(checkpoint, PRECISIONS["int8"], **settings)
    errors = {}
    for name, expected in reference_states.items():
        got = encoder.encode(real_mels[name]).states
        errors[name] = float(np.linalg.norm(expected - got) / np.linalg.norm(expected))
    with capsys.disabled():
        shown = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
        print(f"\nint8 encoder, {engine}, {weights}: relative L2 error {shown}")  # noqa: T201 - a figure to read
    assert 0 < max(errors.values()) <= 0.05


def test_the_shipped_decoder_in_int8_stays_near_the_exact_one(
    real_base, base_model, reference_states, capsys
):
    """Logits of a real text over a real voice, float32 against shipped int8."""
    name = next(name for name in reference_states if "chapter" in name)
    tokens = ids([50258, 50259, 50359, 50363, 440, 1379, 295, 264, 3035, 575, 668, 1217, 13])
    logits = []
    for path, precision in ((real_base, "float32"), (base_model, "int8")):
        decoder = OnnxDecoder(open_checkpoint(path), PRECISIONS[precision], threads=2)
        session = open_over(decoder, reference_states[name][None])
        logits.append(session.step(tokens, keep=np.arange(13)[None])[0])
    centred = [one - one.mean(-1, keepdims=True) for one in logits]
    error = np.linalg.norm(centred[0] - centred[1]) / np.linalg.norm(centred[0])
    with capsys.disabled():
        print(f"\nint8 decoder: relative L2 error of logits {error:.4f}")  # noqa: T201 - a figure to read
    assert 0 < error <= 0.08
