"""The quantizer's graphs and coders on small random heads, against the arithmetic written out in NumPy."""

import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from tercet.checkpoint.head_naming import quantizer_shapes
from tercet.checkpoint.heads import HeadArrays, Quantizer
from tercet.convert.quantizer import decode_graph, encode_graph, rotary_tables
from tercet.engine.graph_coder import GraphCoder
from tercet.engine.onnx import OnnxGraph
from tercet.errors import EngineError

SMALL = {
    "width": 16,
    "heads": 2,
    "mlp_width": 32,
    "code_width": 4,
    "codebook_size": 23,
    "mask_code": 22,
    "positions": 60,
}
KINDS = {
    "mean": {},
    "mean of three": {"downsample": 3},
    "stride": {"downsampling": "stride"},
    "convolution": {"downsampling": "conv"},
    "convolution of three": {"downsampling": "conv", "downsample": 3},
    "three levels": {"depth": 3},
    "two blocks": {"blocks": 2, "query_mult": 0.7},
    "no rotary positions": {"has_rope": False},
    "mean of states": {"has_state_mean": True},
    "no mask": {"mask_code": None},
    "every state": {"downsample": 1},
}


def random_head(seed=0, **settings):
    """Arrays of a trained quantizer's size: rows of length 1, norms around 1."""
    sizes = SMALL | settings
    empty = Quantizer(**sizes, arrays=HeadArrays({}))
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in quantizer_shapes(empty).items():
        spread = 0.1 if len(shape) == 1 else shape[-1] ** -0.5
        is_gain = "norm" in name and name.endswith("weight")
        arrays[name] = random.normal(float(is_gain), spread, shape).astype(np.float32)
        if name.endswith("codebook"):
            arrays[name] /= np.linalg.norm(arrays[name], axis=1, keepdims=True)
    return Quantizer(**sizes, arrays=HeadArrays(arrays))


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


class Written:
    """WhisperSpeech's arithmetic in float64, from its description."""

    def __init__(self, head):
        self.head = head
        self.arrays = {
            name: head.arrays.read(name).astype(np.float64) for name in head.arrays.names()
        }

    def linear(self, x, name):
        bias = self.arrays.get(f"{name}.bias", 0.0)
        return x @ self.arrays[f"{name}.weight"].T + bias

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"]

    def downsampled(self, states):
        step = self.head.downsample
        if self.head.downsampling == "mean":
            return np.stack([states[i : i + step].mean(0) for i in range(0, len(states), step)])
        if self.head.downsampling == "stride":
            return states[::step]
        padded = np.pad(states, ((1, 1), (0, 0)))
        weight, bias = self.arrays["downsample_conv.weight"], self.arrays["downsample_conv.bias"]
        heard = [
            bias + sum(weight[:, :, k] @ padded[i + k] for k in range(3))
            for i in range(0, len(states), step)
        ]
        return states[::step] + np.stack(heard)

    def codes(self, states, barred=()):
        if self.head.has_state_mean:
            states = states - self.arrays["state_mean"][: len(states)]
        x = self.downsampled(states)
        x = x + self.linear(gelu(self.linear(self.norm(x, "mlp.norm"), "mlp.fc1")), "mlp.fc2")
        found, gaps = [], []
        for level in range(self.head.depth):
            at = f"levels.{level}"
            projected = self.linear(x, f"{at}.project_in")
            projected /= np.linalg.norm(projected, axis=-1, keepdims=True)
            cosines = projected @ self.arrays[f"{at}.codebook"].T
            cosines[:, list(barred)] = -np.inf
            best = np.sort(cosines)[:, -2:]
            gaps.append(float((best[:, 1] - best[:, 0]).min()))
            found.append(cosines.argmax(-1))
            x = x - self.linear(self.arrays[f"{at}.codebook"][found[-1]], f"{at}.project_out")
        assert min(gaps) > 1e-6, "another seed: two rows are as near as float32 can tell"
        return np.stack(found, -1)

    def states(self, codes):
        head = self.head
        rows = sum(
            self.linear(
                self.arrays[f"levels.{level}.codebook"][codes[:, level]],
                f"levels.{level}.project_out",
            )
            for level in range(head.depth)
        )
        x = np.repeat(rows, head.downsample, axis=0) + self.arrays["embed_positions.weight"]
        for index in range(head.blocks):
            x = self.block(x, f"blocks.{index}")
        x = self.norm(x, "layer_norm")
        return x + self.arrays["state_mean"] if head.has_state_mean else x

    def block(self, x, at):
        head = self.head
        normed = self.norm(x, f"{at}.self_attn_layer_norm")
        size = head.width // head.heads
        root = math.sqrt(head.query_mult * 8 / math.sqrt(size))
        q, k, v = (self.linear(normed, f"{at}.self_attn.{part}_proj") for part in "qkv")
        mixed = []
        for number in range(head.heads):
            part = slice(number * size, (number + 1) * size)
            one, other = (self.turned(each[:, part] * root) for each in (q, k))
            scores = one @ other.T / math.sqrt(size)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
        x = x + self.linear(np.concatenate(mixed, -1), f"{at}.self_attn.out_proj")
        hidden = gelu(self.linear(self.norm(x, f"{at}.final_layer_norm"), f"{at}.fc1"))
        return x + self.linear(hidden, f"{at}.fc2")

    def turned(self, x):
        """Pairs (i, i + half) turned by position x 10000^(-i / half)."""
        if not self.head.has_rope:
            return x
        half = x.shape[1] // 2
        angles = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(half) / half)
        turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles)
        return np.concatenate([turned.real, turned.imag], -1)


def opened(build, engine):
    if engine == "onnx":
        return OnnxGraph(build(), threads=1)
    pytest.importorskip("openvino")
    from tercet.engine.openvino import OpenVinoGraph

    return OpenVinoGraph(build, threads=1, arithmetic="f32", usual={})


def coder_of(head, engine="onnx"):
    if engine == "torch":
        pytest.importorskip("torch")
        from tercet.model.coder import TorchCoder

        return TorchCoder(head)
    encode = opened(partial(encode_graph, head), engine)
    return GraphCoder(encode, lambda: opened(partial(decode_graph, head), engine), head)


def random_states(frames=60, width=16, seed=1):
    return np.random.default_rng(seed).normal(size=(frames, width)).astype(np.float32)


@pytest.mark.parametrize("engine", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_compute_what_was_described(engine, kind):
    head = random_head(**KINDS[kind])
    coder, written, states = coder_of(head, engine), Written(head), random_states()
    wanted = written.codes(states.astype(np.float64), () if head.mask_code is None else [22])
    found = coder.encode(states)
    assert np.int32 == found.dtype
    np.testing.assert_array_equal(wanted[:, 0] if head.depth == 1 else wanted, found)
    assert len(np.unique(found)) > 5
    np.testing.assert_allclose(
        written.states(wanted), np.asarray(coder.decode(found)), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("engine", ["onnx", "openvino", "torch"])
def test_windows_of_any_length_have_codes(engine):
    head = random_head(downsample=3, has_state_mean=True)
    coder, states = coder_of(head, engine), random_states()
    for frames in (3, 4, 5, 6, 31, 59, 60):
        whole = frames // 3 * 3
        wanted = Written(head).codes(states[:whole].astype(np.float64), [22])[:, 0]
        np.testing.assert_array_equal(wanted, coder.encode(states[:frames]))


@pytest.mark.parametrize("engine", ["onnx", "openvino", "torch"])
def test_the_mask_is_never_chosen_for_sound_unless_it_is_allowed(engine):
    head = random_head()
    # A row that is nearest to everything: the mean direction of what is projected.
    values = dict(head.arrays.values)
    values["levels.0.project_in.weight"] = np.zeros_like(values["levels.0.project_in.weight"])
    values["levels.0.codebook"] = values["levels.0.codebook"].copy()
    direction = values["levels.0.project_in.bias"]
    values["levels.0.codebook"][22] = direction / np.linalg.norm(direction)
    coder = coder_of(Quantizer(**SMALL, arrays=HeadArrays(values)), engine)
    states = random_states()
    assert {22} == set(coder.encode(states, allow_mask=True).tolist())
    assert 22 not in coder.encode(states)
    assert 30 == len(coder.encode(states))


@pytest.mark.parametrize("engine", ["onnx", "openvino", "torch"])
def test_what_is_missing_of_a_window_is_the_mask(engine):
    head = random_head()
    coder = coder_of(head, engine)
    few = np.array([3, 1, 4], np.int32)
    whole = np.concatenate([few, np.full(27, 22)])
    np.testing.assert_array_equal(coder.decode(whole), coder.decode(few))
    bare = coder_of(random_head(mask_code=None), engine)
    zeros = np.concatenate([few, np.zeros(27, np.int32)])
    np.testing.assert_array_equal(bare.decode(zeros), bare.decode(few))
    assert (60, 16) == tuple(coder.decode(np.zeros(0, np.int32)).shape)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (np.array([1, 23]), "code 23 is outside this codebook's 0..22"),
        (np.array([-1, 2]), "code -1 is outside"),
        (np.zeros(31, np.int32), "31 codes in one window; it holds 30"),
        (np.zeros((3, 2), np.int32), "codes have shape [3, 2]"),
        (np.zeros((3, 1, 1), np.int32), "codes have shape [3, 1, 1]"),
        (np.zeros(3), "codes are float64"),
        (np.array(3), "codes have shape []"),
    ],
)
def test_codes_that_cannot_be_decoded_are_one_line(engine, codes, said):
    with pytest.raises(EngineError) as caught:
        coder_of(random_head(), engine).decode(codes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("shape", [(60, 15), (1, 16), (0, 16), (61, 16), (1, 60, 16), (16,)])
def test_states_that_make_no_code_are_one_line(engine, shape):
    with pytest.raises(EngineError, match=r"needs \[frames, 16\], 2\.\.60 frames"):
        coder_of(random_head(), engine).encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("samples", "codes"), [(640, 1), (1279, 1), (1280, 2), (16000, 25), (480000, 750)]
)
def test_every_640_samples_are_a_code(samples, codes):
    head = random_head(positions=1500)
    assert codes == samples // head.samples_per_code
    states = random_states(samples // 320)
    assert codes == len(coder_of(head).encode(states))


def test_639_samples_are_no_code():
    head = random_head(positions=1500)
    assert 0 == 639 // head.samples_per_code
    with pytest.raises(EngineError):
        coder_of(head).encode(random_states(639 // 320))


def test_the_way_back_is_opened_when_codes_are_decoded_and_once():
    head, opened_times = random_head(), []

    def open_decode():
        opened_times.append(1)
        return OnnxGraph(decode_graph(head), threads=1)

    coder = GraphCoder(OnnxGraph(encode_graph(head), threads=1), open_decode, head)
    codes = coder.encode(random_states())
    assert [] == opened_times
    np.testing.assert_array_equal(coder.decode(codes), coder.decode(codes))
    assert [1] == opened_times


def test_the_way_to_codes_needs_nothing_of_the_way_back():
    graph = encode_graph(random_head(depth=1))
    assert not [name for name in graph.weights if name.startswith(("blocks", "embed", "layer"))]
    assert b"project_out" not in graph.model


def test_what_is_quantized_can_be_had():
    head = random_head()
    graph = OnnxGraph(encode_graph(head, features=True), threads=1)
    bias = np.zeros(23, np.float32)
    outputs = graph.run({"states": random_states()[None], "code_bias": bias})
    assert {"codes": (30, 1), "features": (1, 30, 16)} == {
        name: array.shape for name, array in outputs.items()
    }


def test_rotary_tables_turn_by_position():
    cos, sin = rotary_tables(8, 1500)
    assert (1500, 4) == cos.shape
    assert np.float32 == cos.dtype
    angles = np.arange(1500)[:, None] * 10000.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(np.cos(angles), cos, atol=2e-4)
    np.testing.assert_allclose(np.sin(angles), sin, atol=2e-4)


def test_a_stored_int8_matrix_is_computed_as_floats():
    head = random_head()
    name = "mlp.fc1.weight"
    weight = head.arrays.read(name)
    scales = np.abs(weight).max(1, keepdims=True) / 127
    values = dict(head.arrays.values) | {name: np.round(weight / scales).astype(np.int8)}
    packed = Quantizer(**SMALL, arrays=HeadArrays(values, {name: scales.astype(np.float32)}))
    states = random_states()
    assert Written(packed).codes(states.astype(np.float64), [22])[:, 0].tolist() == (
        coder_of(packed).encode(states).tolist()
    )


def test_no_torch_where_the_graphs_run():
    program = (
        "import sys, numpy, tercet.convert.quantizer, tercet.engine.graph_coder\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "False\n" == run.stdout
