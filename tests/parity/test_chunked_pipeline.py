"""`longform="chunked", match="hf"` against transformers' pipeline: real base in fp32, real recordings."""

import numpy as np
import pytest

import tercet
from tercet.audio.load import load
from tercet.checkpoint import open_checkpoint, save_hugging_face


@pytest.fixture(scope="module")
def pipe(real_base, peer, tmp_path_factory):
    """transformers' pipeline, greedy, over the same weights."""
    transformers, torch = peer("transformers"), peer("torch")
    folder = tmp_path_factory.mktemp("transformers")
    save_hugging_face(open_checkpoint(real_base), folder)
    tokenizer = transformers.WhisperTokenizer.from_pretrained(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    # OpenAI's folders on the hub say `transcribe` themselves.
    yield transformers.pipeline(
        "automatic-speech-recognition",
        model=transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval(),
        tokenizer=tokenizer,
        feature_extractor=transformers.WhisperFeatureExtractor(),
        generate_kwargs={"num_beams": 1, "task": "transcribe"},
    )
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ours(real_base) -> tercet.Model:
    return tercet.load_model(
        real_base, compute_type="float32", engine="onnx", threads=2, tags="none", tokens="none"
    )


@pytest.fixture(scope="module")
def recordings(clips_dir) -> dict[str, np.ndarray]:
    """A reader, and a stretch in two languages, so that each chunk finds out its own."""

    def clip(start: str) -> np.ndarray:
        (path,) = clips_dir.glob(f"{start}*")
        return load(path).read()

    names = ("kerstin-de_rhasspy-0243", "kerstin-de_rhasspy-0076", "librispeech-61-70968")
    return {
        "chapter": clip("librispeech-chapter")[: 50 * 16000],
        "two languages": np.concatenate([clip(name) for name in names]),
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("chapter", {"chunk_length_s": 30}),
        ("chapter", {"chunk_length_s": 15, "stride_length_s": (4, 2)}),
        ("two languages", {"chunk_length_s": 8}),
    ],
    ids=str,
)
@pytest.mark.parametrize("timed", [True, False])
def test_real_base_writes_what_the_pipeline_writes(pipe, ours, recordings, name, options, timed):
    samples = recordings[name]
    expected = pipe(samples.copy(), batch_size=4, return_timestamps=timed, **options)
    heard = ours.transcribe(
        samples, longform="chunked", match="hf", without_timestamps=not timed, **options
    )
    assert expected["text"] == heard.text
    if timed:
        times = [chunk["timestamp"] for chunk in expected["chunks"]]
        assert [chunk["text"] for chunk in expected["chunks"]] == [s.text for s in heard.segments]
        assert [start for start, _ in times] == [segment.start for segment in heard.segments]
        # Where the pipeline knows no end, the recording's is taken.
        ends = [heard.duration_s if end is None else end for _, end in times]
        assert ends == [segment.end for segment in heard.segments]
