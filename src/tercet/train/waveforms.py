"""Changes to sound before it is encoded: speed, tone, room, noise, gain; and where in a clip it sounds.

All random choices come from the generator that is passed in. Nothing is mixed here (`mixtures.py`).
"""

import numpy as np

RATE_HZ = 16000
_STEP = 320  # samples: levels are looked at every 20 ms
_HEARD_DB = 32.0  # under a clip's loud parts: quieter than that does not count as sounding
_OVER_FLOOR_DB = 10.0  # nor what is nearer than that to the clip's quiet parts,
_SURELY_DB = 12.0  # unless it is hardly quieter than the loud ones
_BRIDGED_S = 0.8  # shorter pauses do not end a sound
_SHORTEST_S = 0.04
_SILENT = 1e-5  # RMS: digital silence and its dither

Regions = tuple[tuple[float, float], ...]


def levels(samples: np.ndarray) -> np.ndarray:
    """RMS of each 20 ms, float64 [ceil(n / 320)]; what is missing from the last one counts as zeros."""
    n = -(-samples.size // _STEP)
    padded = np.zeros(n * _STEP)
    padded[: samples.size] = samples
    rms: np.ndarray = np.sqrt((padded.reshape(n, _STEP) ** 2).mean(1))
    return rms


def active_regions(samples: np.ndarray) -> Regions:
    """Where a clip sounds: (start, end) in seconds, ascending, pauses under 0.8 s bridged.

    A stretch of 20 ms sounds if it is at most 32 dB under the clip's loud parts (the 98th percentile of its
    levels) and 10 dB over its quiet ones (the 10th), or at most 12 dB under the loud ones. `samples` is
    float32, mono, 16 kHz; a silent clip has no regions.
    """
    sounding = _sounding(levels(samples))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sounding.astype(np.int8), [0]])))
    regions: list[tuple[float, float]] = []
    for first, last in edges.reshape(-1, 2) * (_STEP / RATE_HZ):
        if regions and first - regions[-1][1] < _BRIDGED_S:
            regions[-1] = (regions[-1][0], float(last))
        else:
            regions.append((float(first), float(last)))
    end_s = samples.size / RATE_HZ
    return tuple(
        (round(first, 6), round(min(last, end_s), 6))
        for first, last in regions
        if last - first >= _SHORTEST_S
    )


def active_rms(samples: np.ndarray) -> float:
    """RMS over what sounds (as `active_regions` sees it, pauses left out); 0.0 for silence."""
    rms = levels(samples)
    heard = rms[_sounding(rms)]
    return float(np.sqrt((heard**2).mean())) if heard.size else 0.0


def _sounding(rms: np.ndarray) -> np.ndarray:
    """Which of these levels count as sounding: bool, as long."""
    loud = float(np.percentile(rms, 98)) if rms.size else 0.0
    loud = max(loud, float(rms.max(initial=0.0)) * 0.25)  # a short click in a long silence
    if loud <= _SILENT:
        return np.zeros(rms.size, bool)
    over_floor = float(np.percentile(rms, 10)) * _factor(_OVER_FLOOR_DB)
    least = max(loud * _factor(-_HEARD_DB), min(over_floor, loud * _factor(-_SURELY_DB)), _SILENT)
    return rms > least


def _factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Played `factor` times as fast, pitch and all, by linear interpolation."""
    n = max(1, round(samples.size / factor))
    places = np.arange(n) * factor
    faster: np.ndarray = np.interp(places, np.arange(samples.size), samples).astype(np.float32)
    return faster


def with_tone(samples: np.ndarray, low_db: float, high_db: float) -> np.ndarray:
    """Shelves: `low_db` under about 300 Hz, `high_db` over about 3 kHz, sloping between."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(samples.size, 1 / RATE_HZ), 1.0) / 950)
    share = 1 / (1 + np.exp(-octaves * 1.6))
    gain = 10 ** ((low_db * (1 - share) + high_db * share) / 20)
    return np.fft.irfft(spectrum * gain, samples.size).astype(np.float32)


def in_room(samples: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Convolved with a room's impulse response from its direct sound on; as long and as loud as before."""
    first = int(np.argmax(np.abs(room)))
    response = room[first:]
    size = 1 << (samples.size + response.size - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    wet = wet[: samples.size]
    was, now = np.sqrt((samples**2).mean()), np.sqrt((wet**2).mean())
    heard: np.ndarray = (wet * (was / now if now > 0 else 0.0)).astype(np.float32)
    return heard


def coloured_noise(n: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with a power of 1 / frequency^slope (0 white, 1 pink, 2 brown), RMS 1, float32 [n]."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 20.0)
    noise = np.fft.irfft(spectrum * frequencies ** (-slope / 2), n)
    even: np.ndarray = (noise / max(np.sqrt((noise**2).mean()), 1e-12)).astype(np.float32)
    return even


def tones(n: int, rng: np.random.Generator) -> np.ndarray:
    """A steady tone, beeps, a sweep or hum with harmonics, at random; float32 [n], peak about 1."""
    time_s = np.arange(n) / RATE_HZ
    frequency = float(np.exp(rng.uniform(np.log(80), np.log(4000))))
    kind = rng.integers(4)
    if kind == 3:
        hum_hz = float(rng.choice([50.0, 60.0]))
        shares = rng.uniform(0, 1, 6) / np.arange(1, 7)
        parts = [s * np.sin(2 * np.pi * hum_hz * (k + 1) * time_s) for k, s in enumerate(shares)]
        hum: np.ndarray = np.sum(parts, axis=0) / max(shares.sum(), 1e-6)
        return hum.astype(np.float32)
    if kind == 2:
        octaves = rng.uniform(-1, 1) / max(n / RATE_HZ, 1e-3)
        phase = 2 * np.pi * np.cumsum(frequency * 2 ** (octaves * time_s)) / RATE_HZ
        sweep: np.ndarray = np.sin(phase).astype(np.float32)
        return sweep
    tone = np.sin(2 * np.pi * frequency * time_s)
    if kind == 1:
        period_s, share = rng.uniform(0.2, 2.0), rng.uniform(0.1, 0.6)
        tone = tone * ((time_s % period_s) < share * period_s)
    return tone.astype(np.float32)
