"""From names and layouts to a model: the same weights give the same text, whatever they lie in.

The weights are OpenAI's base; options are refused before any weights are looked for.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import tercet
from tercet.checkpoint import open_checkpoint, save_hugging_face
from tercet.loading import load_model

CLIP = "librispeech-4507-16021-0011.opus"
SPOKEN = " Why should one not explore everything and study everything?"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'; give one of auto, cpu, cuda"),
        ({"device": None}, "device is None"),
        (
            {"engine": "tensorflow"},
            "engine is 'tensorflow'; give one of auto, onnx, openvino, torch",
        ),
        ({"engine": "onnx", "device": "cuda"}, "give engine 'torch'"),
        ({"compute_type": "int4"}, "compute_type is 'int4'; engine 'onnx' has auto, int8, float32"),
        ({"compute_type": "float16"}, "engine 'onnx' has auto, int8, float32"),
        ({"engine": "torch", "compute_type": "int8"}, "engine 'torch' has auto, float32"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"threads": "2"}, "threads is '2'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": None}, "batch_size is None"),
        ({"batch_size": True}, "batch_size is True"),
        ({"tags": 5}, "tags is 5"),
        ({"adapter": 5}, "adapter is 5; give a PEFT adapter's folder"),
        ({"tokens": ["a.safetensors"]}, "tokens is ['a.safetensors']"),
    ],
)
def test_nonsense_is_refused_before_a_model_is_looked_for(options, message) -> None:
    with pytest.raises(tercet.OptionError) as raised:
        load_model("/no/such/model", **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["/no/such/model", "no-such-model", ""])
def test_a_name_that_leads_nowhere_is_one_line(name: str) -> None:
    with pytest.raises(tercet.ModelNotFoundError) as raised:
        load_model(name)
    assert "\n" not in str(raised.value)


def exact(path: Path, **options) -> tercet.Transcript:
    model = load_model(path, compute_type="float32", **options)
    return model.transcribe(exact.clip, language="en", temperature=0.0)


@pytest.fixture(scope="module")
def exact_text(genuine_base: Path, clips_dir: Path) -> tercet.Transcript:
    """What the genuine weights write in float32."""
    exact.clip = clips_dir / CLIP
    return exact(genuine_base)


def test_the_genuine_folder_is_read_as_it_is(exact_text) -> None:
    assert SPOKEN == exact_text.text


def assert_same(expected: tercet.Transcript, found: tercet.Transcript) -> None:
    assert [s.tokens for s in expected.segments] == [s.tokens for s in found.segments]
    assert expected.segments[0].avg_logprob == pytest.approx(
        found.segments[0].avg_logprob, abs=1e-3
    )


def test_hugging_faces_layout_gives_the_same(exact_text, genuine_base, tmp_path) -> None:
    save_hugging_face(open_checkpoint(genuine_base), tmp_path / "hf", dtype="float16")
    assert_same(exact_text, exact(tmp_path / "hf"))


def test_openais_file_gives_the_same_and_borrows_a_tokenizer(
    exact_text, genuine_base, base_model, tmp_path, monkeypatch
) -> None:
    torch = pytest.importorskip("torch")
    from tercet.checkpoint.naming import openai_slots

    checkpoint = open_checkpoint(genuine_base)
    geometry = checkpoint.geometry
    stored: dict[str, object] = {}
    for name, slot in openai_slots(geometry).items():
        stored[slot.key] = torch.from_numpy(np.array(checkpoint.read(name))).half()
    dims = {
        "n_mels": geometry.n_mels,
        "n_vocab": geometry.vocab_size,
        "n_audio_ctx": geometry.n_audio_ctx,
        "n_audio_state": geometry.width,
        "n_audio_head": geometry.encoder_heads,
        "n_audio_layer": geometry.encoder_layers,
        "n_text_ctx": geometry.n_text_ctx,
        "n_text_state": geometry.width,
        "n_text_head": geometry.decoder_heads,
        "n_text_layer": geometry.decoder_layers,
    }
    torch.save({"dims": dims, "model_state_dict": stored}, tmp_path / "base.pt")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_same(exact_text, exact(tmp_path / "base.pt"))


def test_the_torch_engine_gives_the_same(exact_text, genuine_base) -> None:
    pytest.importorskip("torch")
    assert_same(exact_text, exact(genuine_base, engine="torch", threads=1))


def test_a_folder_without_its_tokenizer_borrows_that_of_its_vocabulary(
    exact_text, genuine_base, base_model, tmp_path, monkeypatch
) -> None:
    for name in ("model.bin", "config.json"):
        (tmp_path / name).symlink_to(genuine_base / name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_same(exact_text, exact(tmp_path))


def test_another_vocabularys_tokenizer_is_refused(
    base_model, tmp_path, byte_tokenizer_file
) -> None:
    for path in base_model.iterdir():
        if path.is_file() and path.name != "tokenizer.json":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "tokenizer.json").symlink_to(byte_tokenizer_file(51864))
    with pytest.raises(tercet.TokenizerError) as raised:
        load_model(tmp_path)
    assert "\n" not in str(raised.value)


def test_the_shipped_model_hears_a_clip(base_model, clips_dir) -> None:
    model = load_model()
    heard = model.transcribe(clips_dir / CLIP)
    assert ("base", "en", SPOKEN) == (model.name, heard.language, heard.text)


@pytest.mark.parametrize("compute_type", ["bfloat16", "float16"])
def test_torch_has_narrow_types_which_differ(
    genuine_base, clips_dir, exact_text, compute_type
) -> None:
    pytest.importorskip("torch")
    model = load_model(genuine_base, engine="torch", compute_type=compute_type)
    heard = model.transcribe(clips_dir / CLIP, language="en", temperature=0.0)
    assert SPOKEN == heard.text
    assert exact_text.segments[0].avg_logprob != heard.segments[0].avg_logprob


def test_int8_is_another_arithmetic_than_float32(base_model, clips_dir) -> None:
    scores = {}
    for compute_type in ("auto", "int8", "float32"):
        model = load_model(base_model, compute_type=compute_type)
        heard = model.transcribe(clips_dir / CLIP, language="en", temperature=0.0)
        assert SPOKEN == heard.text
        scores[compute_type] = heard.segments[0].avg_logprob
    assert scores["auto"] == scores["int8"] != scores["float32"]


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_threads_are_those_asked_for(base_model, engine) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")  # there are no wheels for every processor
    for threads in (1, 2):
        model = load_model(base_model, threads=threads, engine=engine)
        encoder, decoder = model._instruments.encoder, model._instruments.decoder
        assert threads == decoder._step.get_session_options().intra_op_num_threads
        for graph in (encoder._graph, decoder._cross):
            if engine == "openvino":
                compiled = graph._request.get_compiled_model()
                assert threads == compiled.get_property("INFERENCE_NUM_THREADS")
            else:
                assert threads == graph._session.get_session_options().intra_op_num_threads


def test_a_gpu_that_is_not_there_is_one_line(base_model) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("here is one")
    with pytest.raises(tercet.EngineError) as raised:
        load_model(base_model, device="cuda")
    assert "try cpu" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_adapter_changes_what_is_heard(genuine_base, clips_dir, exact_text, tmp_path) -> None:
    write_lora(tmp_path, scale=0.02)
    model = load_model(genuine_base, compute_type="float32", adapter=tmp_path)
    heard = model.transcribe(clips_dir / CLIP, language="en", temperature=0.0)
    assert exact_text.segments[0].avg_logprob != heard.segments[0].avg_logprob
    write_lora(tmp_path, scale=0.0)
    assert_same(exact_text, exact(genuine_base, adapter=tmp_path))


def test_an_adapter_is_merged_into_the_shipped_model_in_8_bits(
    base_model, clips_dir, tmp_path
) -> None:
    write_lora(tmp_path, scale=0.002)
    heard = {
        adapter: load_model(base_model, adapter=adapter).transcribe(
            clips_dir / CLIP, language="en", temperature=0.0
        )
        for adapter in (None, tmp_path)
    }
    assert SPOKEN == heard[None].text == heard[tmp_path].text
    scores = [each.segments[0].avg_logprob for each in heard.values()]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def write_lora(folder: Path, *, scale: float) -> None:
    """An adapter of rank 1 for one matrix of base's encoder."""
    stem = "base_model.model.model.encoder.layers.3.fc2"
    rng = np.random.default_rng(0)
    a = rng.normal(size=(1, 2048)).astype(np.float32)
    b = scale * rng.normal(size=(512, 1)).astype(np.float32)
    arrays = {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b.astype(np.float32)}
    save_file(arrays, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_a_damaged_folder_is_one_line(base_model, tmp_path) -> None:
    shutil.copytree(base_model, tmp_path / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    whole = (base_model / "model.safetensors").read_bytes()
    (tmp_path / "base" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(tercet.CheckpointError) as raised:
        load_model(tmp_path / "base")
    assert "\n" not in str(raised.value)


def test_progress_is_told_of_heads_as_of_models(base_model, monkeypatch) -> None:
    told: list[tuple[int, int]] = []

    def find_heads(*_, on_progress, **__):
        on_progress(1, 2)
        raise tercet.HeadError("seen")

    monkeypatch.setattr("tercet.loading.find_heads", find_heads)
    with pytest.raises(tercet.HeadError, match="seen"):
        load_model(base_model, on_progress=lambda done, total: told.append((done, total)))
    assert [(1, 2)] == told
