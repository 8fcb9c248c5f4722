"""Loading good recordings, from every kind of source and format."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.load import BLOCK_SAMPLES, load

FORMATS = [  # file name, codec, sampling rate, channels, bit rate
    ("a.wav", "pcm_s16le", 16000, 1, 0),
    ("a.wav", "pcm_u8", 8000, 1, 0),
    ("a.wav", "pcm_s24le", 96000, 2, 0),
    ("a.wav", "pcm_f64le", 44100, 2, 0),
    ("a.wav", "pcm_s32le", 192000, 1, 0),
    ("a.wav", "pcm_mulaw", 8000, 2, 0),
    ("a.wav", "pcm_s16le", 48000, 6, 0),
    ("a.flac", "flac", 22050, 2, 0),
    ("a.mp3", "libmp3lame", 44100, 2, 96000),
    ("a.m4a", "aac", 48000, 2, 96000),
    ("a.aac", "aac", 44100, 1, 96000),
    ("a.m4a", "alac", 44100, 2, 0),
    ("a.ogg", "libvorbis", 44100, 2, 0),
    ("a.opus", "libopus", 48000, 2, 96000),
    ("a.webm", "libopus", 48000, 1, 64000),
    ("a.mp4", "aac", 44100, 2, 96000),
    ("a.mkv", "flac", 32000, 1, 0),
    ("a.amr", "libopencore_amrnb", 8000, 1, 12200),
    ("a.wma", "wmav2", 44100, 2, 96000),
]


def likeness(ours: np.ndarray, original: np.ndarray) -> float:
    """The correlation of two signals at their best alignment within 60 ms (codecs delay)."""
    size = min(ours.size, original.size)
    best = 0.0
    for lag in range(-960, 961, 1):
        a = ours[max(0, lag) : size + min(0, lag)]
        b = original[max(0, -lag) : size - max(0, lag)]
        best = max(best, float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9)))
    return best


@pytest.mark.parametrize(("name", "codec", "rate_hz", "channels", "bit_rate"), FORMATS)
def test_every_format_comes_back_as_it_was(
    write_audio, speechlike, name, codec, rate_hz, channels, bit_rate
):
    original = np.tile(speechlike(1.5, rate_hz), (channels, 1))
    path = write_audio(name, original, rate_hz, codec, bit_rate=bit_rate)
    recording = load(path)
    ours = recording.read()

    assert recording.channels == channels
    assert ours.dtype == np.float32
    assert recording.duration_s == pytest.approx(1.5, abs=0.12)  # lossy codecs pad to whole frames
    assert ours.size == pytest.approx(24000, abs=1920)
    assert likeness(ours, speechlike(1.5)) > (0.9 if codec != "libopencore_amrnb" else 0.8)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
def test_resampling_keeps_length_time_and_level(speechlike, rate_hz):
    expected = speechlike(12.0)
    ours = load(speechlike(12.0, rate_hz), sampling_rate=rate_hz).read()

    assert ours.size == 192000
    inner = slice(200, -200)  # the filter's own length at the very ends
    np.testing.assert_allclose(ours[inner], expected[inner], atol=2e-3)
    assert np.abs(ours - expected).max() < 0.1


def test_blocks_are_ten_seconds_and_together_everything(write_audio, speechlike):
    path = write_audio("a.wav", speechlike(25.0, 44100), 44100)
    sizes = [block.size for block in load(path).blocks()]

    assert [BLOCK_SAMPLES, BLOCK_SAMPLES, 80000] == sizes


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, io.BytesIO, str, Path, open])
def test_every_kind_of_source_gives_the_same_sound(write_audio, speechlike, make):
    path = write_audio("a.wav", speechlike(1.0))
    expected = load(path).read()
    content = path.read_bytes()
    if make is open:
        with path.open("rb") as file:
            file.read(10)  # read from its start, wherever it stands
            np.testing.assert_array_equal(expected, load(file).read())
            assert not file.closed
        return
    source = make(str(path)) if make in (str, Path) else make(content)

    np.testing.assert_array_equal(expected, load(source).read())


class Pipe:
    """A stream that can be read once, a little at a time."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 1000) if size >= 0 else size)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac")]
)
def test_a_pipe_is_read_once(write_audio, speechlike, name, codec):
    path = write_audio(name, speechlike(2.0, 44100), 44100, codec)
    expected = load(path).read()
    recording = load(Pipe(path.read_bytes()))

    assert not recording.reopenable
    ours = recording.read()
    assert ours.size == pytest.approx(
        expected.size, abs=1000
    )  # MP3's padding is known at its end only
    np.testing.assert_allclose(ours[:30000], expected[:30000], atol=1e-6)
    with pytest.raises(ValueError, match="can be read only once"):
        recording.read()


def test_standard_input_is_a_source(write_audio, speechlike):
    path = write_audio("a.flac", speechlike(1.0), codec="flac")
    program = "from tercet.audio.load import load; r = load('-'); print(r.name, r.read().size)"
    heard = subprocess.run(
        [sys.executable, "-c", program], input=path.read_bytes(), capture_output=True, check=True
    )

    assert heard.stdout == b"<stdin> 16000\n"
    assert heard.stderr == b""


def test_a_file_can_be_read_twice(write_audio, speechlike):
    recording = load(write_audio("a.wav", speechlike(1.0)))

    assert recording.reopenable
    np.testing.assert_array_equal(recording.read(), recording.read())


def test_channels_are_mixed_chosen_or_kept_apart(write_audio, speechlike):
    left, right = speechlike(1.0), speechlike(1.0, pitch=1.5)
    path = write_audio("a.wav", np.stack([left, right]))

    np.testing.assert_allclose(load(path).read(), (left + right) / 2, atol=1e-4)
    np.testing.assert_allclose(load(path, channel=0).read(), left, atol=1e-4)
    np.testing.assert_allclose(load(path, channel=1).read(), right, atol=1e-4)
    np.testing.assert_allclose(load(path, channel="each").read(), [left, right], atol=1e-4)


def test_each_channel_of_a_mono_recording_is_one_row():
    assert load(np.zeros(100, np.float32), channel="each").read().shape == (1, 100)


@pytest.mark.parametrize(
    ("shape", "channels", "n_samples"),
    [((100,), 1, 100), ((2, 100), 2, 100), ((100, 2), 2, 100), ((3, 3), 3, 3), ((1, 2), 1, 2)],
)
def test_the_shorter_axis_of_an_array_holds_the_channels(shape, channels, n_samples):
    recording = load(np.zeros(shape), channel="each")

    assert recording.channels == channels
    assert recording.read().shape == (channels, n_samples)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int16", [-32768, 0, 16384], [-1, 0, 0.5]),
        ("int32", [-(2**31), 0, 2**30], [-1, 0, 0.5]),
        ("uint8", [0, 128, 192], [-1, 0, 0.5]),
        ("int8", [-128, 0, 64], [-1, 0, 0.5]),
        ("float16", [-1, 0, 0.5], [-1, 0, 0.5]),
        ("float64", [-1, 0, 0.5], [-1, 0, 0.5]),
    ],
)
def test_every_number_format_has_its_full_scale(dtype, values, expected):
    assert load(np.array(values, dtype)).read().tolist() == expected


def test_a_bare_array_is_taken_for_16_khz():
    assert load(np.zeros(32000)).duration_s == 2.0
    assert load(np.zeros(32000), sampling_rate=8000).duration_s == 4.0


def test_a_list_of_numbers_is_an_array():
    assert load([0.25, -0.5]).read().tolist() == [0.25, -0.5]


def test_a_torch_tensor_is_an_array():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0.25, -0.5, 1.0]], dtype=torch.bfloat16, requires_grad=True)

    assert load(tensor).read().tolist() == [0.25, -0.5, 1.0]
    assert load(torch.tensor([16384], dtype=torch.int16)).read().tolist() == [0.5]


def test_a_data_sets_dictionary_is_a_source(write_audio, speechlike):
    samples = speechlike(1.0, 8000)
    path = write_audio("a.wav", samples, 8000)
    array = load({"array": samples, "sampling_rate": 8000, "path": "talk.flac"})

    assert array.name == "talk.flac"
    assert array.read().size == 16000
    assert load({"raw": samples, "sampling_rate": 8000}).read().size == 16000
    assert load({"bytes": path.read_bytes(), "path": "talk.wav"}).name == "talk.wav"
    assert load({"bytes": None, "path": str(path)}).read().size == 16000


def test_a_data_sets_lazy_decoder_is_a_source():
    class Decoder:
        def get_all_samples(self):
            raise AssertionError("its array is asked for instead")

        def __getitem__(self, key):
            return {"array": np.zeros(8000), "sampling_rate": 8000}[key]

    assert load(Decoder()).duration_s == 1.0


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mp3", "libmp3lame")]
)
def test_a_truncated_file_gives_what_is_left(write_audio, speechlike, name, codec):
    original = np.random.default_rng(0).standard_normal(64000) * 0.1 + speechlike(4.0)
    path = write_audio(name, original, codec=codec)
    content = path.read_bytes()
    ours = load(content[: len(content) // 2]).read()

    assert 28000 < ours.size < 36000


def test_damage_in_the_middle_costs_only_the_middle(write_audio, speechlike):
    content = bytearray(write_audio("a.mp3", speechlike(6.0), codec="libmp3lame").read_bytes())
    third = len(content) // 3
    content[third : third + 300] = b"\xff" * 300
    ours = load(bytes(content)).read()

    assert 85000 < ours.size <= 98000


def test_a_header_that_lies_about_the_length_does_no_harm(write_audio, speechlike):
    content = bytearray(write_audio("a.wav", speechlike(1.0)).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (0x7FFFFFFF).to_bytes(4, "little")
    recording = load(bytes(content))

    assert recording.read().size == 16000
    assert recording.duration_s == 1.0


@pytest.mark.parametrize("rate_hz", [24000, 48000])
def test_a_stream_may_change_its_rate_and_channels_midway(write_audio, speechlike, rate_hz):
    first = write_audio("a.ogg", speechlike(2.3, 48000), 48000, "flac").read_bytes()
    second = np.tile(speechlike(2.0, rate_hz), (2, 1))
    chained = first + write_audio("b.ogg", second, rate_hz, "flac").read_bytes()
    recording = load(chained)  # as internet radio sends
    ours = recording.read()

    assert recording.channels == 1
    assert ours.size == pytest.approx(68800, abs=2)
    assert likeness(ours[36800:], speechlike(2.0)) > 0.9


def test_the_memory_for_a_long_file_stays_small(write_audio):
    path = write_audio("long.flac", np.zeros(16000 * 1200, np.float32), codec="flac")
    program = (
        "import resource, sys; from tercet.audio.load import load\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "r = load(sys.argv[1]); before = peak(); n = sum(b.size for b in r.blocks())\n"
        "print(n, peak() - before)"
    )
    heard = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, check=True, text=True
    )
    n_samples, grown_mib = map(int, heard.stdout.split())

    assert n_samples == 16000 * 1200
    assert grown_mib < 30  # 1200 s are 73 MiB as float32


def test_a_recording_closes_its_file(write_audio, speechlike):
    with load(write_audio("a.wav", speechlike(30.0))) as recording:
        next(recording.blocks())

    assert recording.read().size == 480000  # and opens it again when asked
