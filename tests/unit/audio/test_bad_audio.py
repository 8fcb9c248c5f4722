"""Bad input: each fault is one line that names the input and says what to do."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tercet.audio.load import load
from tercet.errors import (
    AudioError,
    AudioNotFoundError,
    AudioUnreadableError,
    ChannelError,
    EmptyAudioError,
    NonFiniteAudioError,
    OptionError,
    SampleRateError,
    UndecodableAudioError,
)


def wave(
    *,
    rate_hz: int = 16000,
    channels: int = 1,
    content: bytes = bytes(3200),
    kind: int = 1,
    bits: int = 16,
):
    """A WAVE file with any header, true or not."""
    block = channels * bits // 8
    form = struct.pack("<IHHIIHH", 16, kind, channels, rate_hz, rate_hz * block, block, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(content))
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", len(content))
        + content
    )


def refused(source, error, words, **options):
    """Assert that loading and reading fails with exactly this error, in one line."""
    with pytest.raises(AudioError, match=words) as caught:
        load(source, **options).read()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    refused(
        tmp_path / "no.wav", AudioNotFoundError, r"no\.wav: there is no such file; check the path"
    )


def test_an_address_is_not_fetched():
    refused(
        "http://localhost/a.wav",
        AudioNotFoundError,
        "http://localhost/a.wav: there is no such file",
    )


def test_a_folder(tmp_path):
    refused(tmp_path, AudioUnreadableError, "is a folder; name the files in it")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(wave())

    def forbid(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)  # a test run by root may read everything
    refused(path, AudioUnreadableError, "may not be read; check its permissions")


def test_a_name_that_no_file_can_have():
    refused("a\0b.wav", AudioUnreadableError, "cannot be opened")
    refused("a" * 5000, AudioUnreadableError, "cannot be opened")


@pytest.mark.parametrize("make", [bytes, io.BytesIO])
def test_no_bytes(make):
    refused(make(b""), EmptyAudioError, "is empty \\(0 bytes\\)")


def test_no_samples_in_a_file():
    refused(wave(content=b""), EmptyAudioError, "holds no samples")


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2)])
def test_no_samples_in_an_array(shape):
    refused(np.zeros(shape), EmptyAudioError, "<array>: holds no samples")


def test_less_than_one_sample_at_16_khz():
    refused(np.zeros(1), EmptyAudioError, "shorter than one sample", sampling_rate=192000)


@pytest.mark.parametrize(
    "content",
    [
        b"Dear reader, this is not audio.\n" * 100,
        np.random.default_rng(0).bytes(50_000),
        b"\x89PNG\r\n\x1a\n" + bytes(1000),
        wave()[:30],
        b"x",
    ],
)
def test_what_is_not_audio(content):
    refused(
        content, UndecodableAudioError, "<bytes>: is not audio that can be decoded|no audio stream"
    )


def test_a_playlist_opens_no_other_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.wav").write_bytes(wave())
    for name in ("x.wav", tmp_path / "x.wav"):
        refused(
            f"ffconcat version 1.0\nfile {name}\n".encode(), UndecodableAudioError, "is not audio"
        )
        playlist = f"#EXTM3U\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n"
        refused(playlist.encode(), UndecodableAudioError, "is not audio")


def test_a_video_without_sound(write_video):
    refused(write_video(), UndecodableAudioError, "has pictures but no audio stream")


def test_a_file_of_which_nothing_decodes(write_audio, speechlike):
    content = bytearray(write_audio("a.m4a", speechlike(2.0), codec="alac").read_bytes())
    start = content.index(b"mdat") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    content[start : start + length] = b"\xff" * length
    refused(
        bytes(content),
        UndecodableAudioError,
        "nothing in it can be decoded; it is damaged or cut off",
    )


def test_a_file_cut_off_after_its_header(write_audio, speechlike):
    content = write_audio("a.flac", speechlike(2.0), codec="flac").read_bytes()
    refused(
        content[: content.index(b"\xff\xf8")], EmptyAudioError, "empty, or cut off after its header"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value):
    samples = np.zeros(400_000, np.float32)
    samples[330_000] = value
    refused(samples, NonFiniteAudioError, "<array>: holds NaN or infinite samples")
    floats = wave(content=samples.tobytes(), kind=3, bits=32)
    refused(floats, NonFiniteAudioError, r"<bytes>: holds NaN or infinite samples \(after 20\.")


def test_a_double_beyond_float32_counts_as_infinite():
    refused(np.array([0.0, 1e300]), NonFiniteAudioError, "holds NaN or infinite")


@pytest.mark.parametrize("rate_hz", [0, 7999, 192001])
def test_a_rate_out_of_range(rate_hz):
    words = f"the sampling rate is {rate_hz} Hz; 8000 to 192000 can be read"
    refused(wave(rate_hz=rate_hz), SampleRateError, words)
    refused(np.zeros(100), SampleRateError, words, sampling_rate=rate_hz)


@pytest.mark.parametrize("rate_hz", [-16000, float("nan"), float("inf"), "16000"])
def test_a_rate_that_is_none(rate_hz):
    refused(np.zeros(100), SampleRateError, "the sampling rate is", sampling_rate=rate_hz)


def test_a_dictionary_without_a_rate():
    refused({"array": np.zeros(100)}, SampleRateError, "has no 'sampling_rate'; add it")


def test_two_rates_for_one_array():
    source = {"array": np.zeros(100), "sampling_rate": 8000}
    refused(
        source, SampleRateError, "says 8000 Hz, but sampling_rate is 16000", sampling_rate=16000
    )


def test_a_rate_for_a_file_that_states_its_own():
    refused(wave(), SampleRateError, "sampling_rate is for arrays", sampling_rate=16000)


def test_a_dictionary_without_sound():
    refused({"text": "hello"}, UndecodableAudioError, "has the keys text; give 'array'")


@pytest.mark.parametrize("channels", [65, 1000])
def test_a_thousand_channels(channels):
    words = f"has {channels} channels; 1 to 64 can be read"
    refused(wave(channels=channels, content=bytes(20 * channels)), ChannelError, words)
    refused(np.zeros((channels, 2000)), ChannelError, words)


@pytest.mark.parametrize("channel", [2, -1, 99])
def test_a_channel_that_is_not_there(channel):
    refused(
        wave(channels=2),
        ChannelError,
        f"has no channel {channel}; it has channels 0 to 1",
        channel=channel,
    )


@pytest.mark.parametrize("channel", ["left", None, 1.0, True])
def test_a_channel_that_is_no_channel(channel):
    with pytest.raises(OptionError, match="give 'mean', 'each' or a number"):
        load(wave(channels=2), channel=channel)


@pytest.mark.parametrize(
    "source", [None, 3.5, object(), ["a", "b"], [[1.0], [1.0, 2.0]], np.array(["a"]), {1, 2}]
)
def test_what_is_no_source(source):
    with pytest.raises(AudioError, match=r"is not audio; give a path|has the shape \[\]"):
        load(source)


def test_an_array_of_three_axes():
    refused(np.zeros((1, 2, 3)), ChannelError, r"has the shape \[1, 2, 3\]")


def test_integers_of_unknown_scale():
    refused(np.zeros(100, np.int64), UndecodableAudioError, "holds int64; give floats")


def test_a_file_object_opened_as_text():
    refused(io.StringIO("RIFF"), AudioUnreadableError, "opened as text; open it with mode 'rb'")


def test_a_closed_file_object():
    file = io.BytesIO(wave())
    file.close()
    refused(file, AudioUnreadableError, "cannot be read")


def test_a_file_object_that_breaks_midway():
    class Broken:
        def __init__(self):
            self.file = io.BytesIO(wave(content=bytes(3_000_000)))

        def read(self, size=-1):
            if self.file.tell() > 1_000_000:
                raise OSError("the line is dead")
            return self.file.read(size)

    refused(Broken(), AudioUnreadableError, "cannot be read")


@pytest.mark.parametrize("stdin", ["sys.stdin.close()", "sys.stdin = None"])
def test_a_closed_standard_input(stdin):
    program = (
        f"import sys; {stdin}\nfrom tercet.audio.load import load\n"
        "try: load('-')\nexcept Exception as e: print(type(e).__name__, e)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], input=b"", capture_output=True, check=True
    ).stdout.decode()

    assert said == "AudioUnreadableError <stdin>: is closed; pipe audio into it, or name a file.\n"


def test_ffmpeg_says_nothing(tmp_path, write_audio, speechlike):
    content = bytearray(write_audio("a.mp3", speechlike(3.0), codec="libmp3lame").read_bytes())
    content[5000:5400] = b"\xff" * 400
    damaged = tmp_path / "damaged.mp3"
    damaged.write_bytes(content)
    program = "import sys; from tercet.audio.load import load; print(load(sys.argv[1]).read().size > 30000)"
    said = subprocess.run(
        [sys.executable, "-c", program, str(damaged)], capture_output=True, check=True
    )

    assert (said.stdout, said.stderr) == (b"True\n", b"")


def test_silence_and_ten_milliseconds_are_fine():
    assert load(np.zeros(160)).read().size == 160
    assert load(wave(content=bytes(320))).read().size == 160
