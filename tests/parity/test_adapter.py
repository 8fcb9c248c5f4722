"""Merged adapters against peft: every array, and the logits of a model whose adapter peft did not merge."""

import warnings

import numpy as np
import pytest

from tercet.checkpoint import Geometry, open_checkpoint, save_hugging_face
from tercet.checkpoint.adapter import open_adapter, with_adapter
from tercet.checkpoint.adapter_writing import AdapterFacts, save_adapter
from tercet.engine.onnx import PRECISIONS, OnnxDecoder, OnnxEncoder
from tercet.engine.protocol import open_over
from tercet.model import load_torch

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

GEOMETRY = Geometry(
    n_mels=8,
    width=64,
    encoder_layers=2,
    encoder_heads=4,
    decoder_layers=2,
    decoder_heads=4,
    vocab_size=90,
    n_audio_ctx=100,
    n_text_ctx=20,
)
TOKENS = [[5, 17, 60, 2]]
KINDS = {
    "plain": {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
    "rank stabilised": {"r": 4, "lora_alpha": 6, "target_modules": ["fc1"], "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["q_proj", "fc1", "out_proj"],
        "rank_pattern": {"encoder.layers.1.fc1": 7, "q_proj": 2},
        "alpha_pattern": {r".*decoder.*fc1": 11, "layers.0.self_attn.q_proj": 3},
    },
    "convolutions": {"r": 4, "lora_alpha": 6, "target_modules": ["conv1", "conv2", "k_proj"]},
    "modules trained whole": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["v_proj"],
        "modules_to_save": ["fc2"],
    },
    "fan in, fan out": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["fc1"],
        "fan_in_fan_out": True,
    },
    "gaussian": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["q_proj"],
        "init_lora_weights": "gaussian",
    },
}
# peft says on its own that it does not transpose what needs no transposing.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to True")


@pytest.fixture(scope="module")
def folder(random_checkpoint, tmp_path_factory):
    place = tmp_path_factory.mktemp("model") / "whisper"
    save_hugging_face(random_checkpoint(GEOMETRY), place)
    return place


@pytest.fixture(params=KINDS)
def theirs(request, folder, peer, tmp_path):
    """(peft's model, not merged, with every trained number moved; the folder that peft saved it to)."""
    model = peer("transformers").WhisperForConditionalGeneration.from_pretrained(folder).eval()
    adapted = peft.get_peft_model(model, peft.LoraConfig(**KINDS[request.param]))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(tmp_path / "lora")
    return adapted.eval(), tmp_path / "lora"


def test_every_array_is_the_one_that_peft_merges(theirs, folder):
    adapted, place = theirs
    original = open_checkpoint(folder)
    merged = with_adapter(original, open_adapter(place))
    expected = adapted.merge_and_unload().state_dict()
    changed = 0
    for name in merged.names():
        np.testing.assert_allclose(expected[name].numpy(), merged.read(name), rtol=0, atol=1e-5)
        changed += not np.array_equal(original.read(name), merged.read(name))
    assert len(merged.sums) + len(merged.replaced) == changed


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_logits_are_those_of_pefts_model(theirs, folder, engine):
    adapted, place = theirs
    if "conv1" in adapted.peft_config["default"].target_modules:
        adapted = adapted.merge_and_unload()  # transformers asks its convolutions for their stride
    merged = with_adapter(open_checkpoint(folder), open_adapter(place))
    if engine == "torch":
        encoder, decoder = load_torch(merged)
    else:
        kind = PRECISIONS["float32"]
        encoder = OnnxEncoder(merged, kind, threads=1, taps=False)
        decoder = OnnxDecoder(merged, kind, threads=1)
    mel = np.random.default_rng(1).normal(size=(8, 200)).astype(np.float32)
    with torch.no_grad():
        expected = adapted(
            input_features=torch.from_numpy(mel)[None],
            decoder_input_ids=torch.tensor(TOKENS),
            use_cache=False,
        ).logits[:, -1]
    states = encoder.encode(mel).states
    got = np.asarray(open_over(decoder, states[None]).step(np.array(TOKENS)))
    np.testing.assert_allclose(expected.numpy(), got.reshape(expected.shape), rtol=0, atol=1e-4)


def test_peft_opens_what_is_written_here(folder, peer, tmp_path):
    rng = np.random.default_rng(5)
    original = open_checkpoint(folder)
    names = ["encoder.layers.1.self_attn.q_proj", "decoder.layers.0.encoder_attn.out_proj"]
    matrices = {
        f"model.{name}": tuple(
            rng.normal(size=shape).astype(np.float32) / 9 for shape in ((3, 64), (64, 3))
        )
        for name in names
    }
    facts = AdapterFacts(base="tiny", rank=3, alpha=5.0, true_length=True)
    save_adapter(tmp_path / "ours", matrices, facts, dtype="float32")
    model = peer("transformers").WhisperForConditionalGeneration.from_pretrained(folder).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it warns where it finds nothing
        adapted = peft.PeftModel.from_pretrained(model, tmp_path / "ours")
    expected = adapted.merge_and_unload()
    merged = with_adapter(original, open_adapter(tmp_path / "ours"))
    for name, value in expected.state_dict().items():
        if name in merged.names():
            np.testing.assert_allclose(value.numpy(), merged.read(name), rtol=0, atol=1e-5)
    changed = {
        name
        for name in merged.names()
        if not np.array_equal(original.read(name), merged.read(name))
    }
    assert {f"model.{name}.weight" for name in names} == changed
