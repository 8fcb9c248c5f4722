"""The quantizer in torch: names, sizes, gradients, precisions. Its numbers are compared in tests/parity."""

import math

import numpy as np
import pytest

from tercet.checkpoint.head_naming import quantizer_shapes
from tercet.checkpoint.heads import HeadArrays, Quantizer
from tercet.errors import CheckpointError, EngineError

torch = pytest.importorskip("torch")

from tercet.model.coder import TorchCoder  # noqa: E402 - torch is asked for first
from tercet.model.quantizer import QuantizerModel  # noqa: E402

SMALL = {
    "width": 16,
    "heads": 2,
    "mlp_width": 32,
    "code_width": 4,
    "codebook_size": 23,
    "mask_code": 22,
    "positions": 60,
}
KINDS = [
    {},
    {"downsampling": "conv", "blocks": 2},
    {"downsampling": "stride", "depth": 3, "has_state_mean": True},
]


def random_head(**settings):
    sizes = SMALL | settings
    random = np.random.default_rng(0)
    arrays = {
        name: random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in quantizer_shapes(Quantizer(**sizes, arrays=HeadArrays({}))).items()
    }
    return Quantizer(**sizes, arrays=HeadArrays(arrays))


@pytest.mark.parametrize("settings", KINDS)
def test_a_state_dict_has_the_names_and_arrays_of_the_head(settings):
    head = random_head(**settings)
    state = QuantizerModel(head).load_head().state_dict()
    assert set(head.arrays.names()) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(head.arrays.read(name), array.numpy())


@pytest.mark.parametrize(
    ("width", "heads", "codebook_size", "wanted"),
    [
        (1024, 16, 2561, 22_661_184),
        (1024, 16, 513, 22_661_184),
        (1280, 20, 2561, 34_880_064),
    ],
)
def test_the_real_sizes_have_the_published_number_of_parameters(
    width, heads, codebook_size, wanted
):
    head = Quantizer(
        width=width, heads=heads, mlp_width=4 * width, code_width=64, codebook_size=codebook_size,
        mask_code=codebook_size - 1, arrays=HeadArrays({}),
    )  # fmt: skip
    with torch.device("meta"):
        module = QuantizerModel(head)
    assert wanted == sum(math.prod(each.shape) for each in module.parameters())
    assert ["levels.0.codebook"] == [name for name, _ in module.named_buffers()]


def test_windows_of_a_batch_do_not_feel_each_other():
    module = QuantizerModel(random_head(depth=2)).load_head().eval()
    states = torch.randn(3, 60, 16, generator=torch.Generator().manual_seed(0))
    features, codes = module.encode(states)
    assert ((3, 30, 16), (3, 30, 2)) == (tuple(features.shape), tuple(codes.shape))
    for row in range(3):
        alone, alone_codes = module.encode(states[row : row + 1])
        torch.testing.assert_close(alone[0], features[row])
        assert torch.equal(alone_codes[0], codes[row])
        torch.testing.assert_close(
            module.decode(codes)[row], module.decode(codes[row : row + 1])[0]
        )
    torch.testing.assert_close(module(states), module.decode(codes))


def test_the_way_back_lets_gradients_through():
    module = QuantizerModel(random_head()).load_head()
    features = module.features(torch.randn(1, 60, 16))
    module.from_quantized(features).square().sum().backward()
    without = [name for name, each in module.named_parameters() if each.grad is None]
    assert {name.split(".")[2] for name in without} == {"project_in", "project_out"}


def test_a_head_without_an_array_is_one_line():
    head = random_head()
    values = {k: v for k, v in head.arrays.values.items() if k != "layer_norm.bias"}
    with pytest.raises(CheckpointError, match=r"layer_norm\.bias is missing"):
        TorchCoder(Quantizer(**SMALL, arrays=HeadArrays(values)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same(dtype):
    head = random_head(has_state_mean=True)
    whole, half = TorchCoder(head), TorchCoder(head, dtype=dtype)
    states = torch.randn(60, 16, generator=torch.Generator().manual_seed(0))
    codes = whole.encode(states)
    assert (half.encode(states) == codes).mean() > 0.8
    found = half.decode(codes)
    assert torch.float32 == found.dtype
    torch.testing.assert_close(whole.decode(codes), found, atol=0.15, rtol=0.05)
    np.testing.assert_array_equal(
        head.arrays.read("levels.0.codebook"), half.module.levels[0].codebook.numpy()
    )


def test_states_may_be_numpys_and_read_only():
    coder = TorchCoder(random_head())
    states = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    states.setflags(write=False)
    np.testing.assert_array_equal(coder.encode(torch.tensor(states)), coder.encode(states))


def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(EngineError, match="device 'cuda:99'"):
        TorchCoder(random_head(), device="cuda:99")
    with pytest.raises(EngineError, match="dtype 'int8'"):
        TorchCoder(random_head(), dtype="int8")
