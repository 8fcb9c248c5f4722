"""Where recordings are cut for ichigo: the borders that its own way of cutting has."""

import numpy as np
import pytest

from tercet.compat.quiet_cuts import check_chunks, chunks_of, quietest
from tercet.errors import OptionError

RATE_HZ = 16000


def borders(samples, chunk=20.0, overlap=1.0, block=160000, **options):
    blocks = [samples[at : at + block] for at in range(0, len(samples), block)]
    chunks = list(chunks_of(blocks, chunk, overlap, **options))
    np.testing.assert_array_equal(samples, np.concatenate(chunks))
    return np.cumsum([len(chunk) for chunk in chunks]).tolist()


def independent_borders(samples, chunk=20.0, overlap=1.0):
    """The rule in its own words, on the whole recording at once."""
    found, begin = [], 0
    n, reach = int(chunk * RATE_HZ), int(overlap * RATE_HZ)
    while len(samples) - begin > n:
        low, high = begin + n - reach, min(begin + n + reach, len(samples))
        steps = [at for at in range(low, high) if (at - low) % 1600 == 0 and at + 1600 < high]
        powers = [float(np.mean(samples[at : at + 1600].astype(np.float64) ** 2)) for at in steps]
        begin = steps[powers.index(min(powers))]
        found.append(begin)
    return [*found, len(samples)]


@pytest.fixture
def speech():
    """Noise whose loudness wanders, with two known pauses."""

    def make(seconds, pauses_s=()):
        rng = np.random.default_rng(4)
        n = round(seconds * RATE_HZ)
        loudness = np.repeat(rng.uniform(0.1, 1.0, n // 800 + 1), 800)[:n]
        samples = (rng.normal(0, 0.1, n) * loudness).astype(np.float32)
        for start_s in pauses_s:
            samples[round(start_s * RATE_HZ) : round((start_s + 0.25) * RATE_HZ)] = 0
        return samples

    return make


def test_a_recording_of_one_chunk_is_not_cut(speech):
    assert [20 * RATE_HZ] == borders(speech(20))


def test_a_cut_is_at_the_first_silent_step_within_a_second_of_the_chunks_end(speech):
    # The pause begins at 19.33 s; steps lie at 19.0, 19.1, ...: the first that is all silence begins at 19.4.
    samples = speech(40.5, pauses_s=[19.33])
    assert round(19.4 * RATE_HZ) == borders(samples)[0]


def test_a_pause_further_away_does_not_count(speech):
    samples = speech(30, pauses_s=[18.5, 21.2])
    samples[round(20.3 * RATE_HZ) : round(20.4 * RATE_HZ)] *= 0.01
    assert [round(20.3 * RATE_HZ), 30 * RATE_HZ] == borders(samples)


@pytest.mark.parametrize("seconds", [20.01, 21.5, 64.0, 100.3])
@pytest.mark.parametrize(("chunk", "overlap"), [(20.0, 1.0), (12.5, 2.0), (7.0, 0.25)])
def test_borders_are_those_of_the_rule(speech, seconds, chunk, overlap):
    samples = speech(seconds)
    assert independent_borders(samples, chunk, overlap) == borders(samples, chunk, overlap)


@pytest.mark.parametrize("block", [777, 16000, 480001, 10**7])
def test_borders_do_not_depend_on_the_blocks(speech, block):
    samples = speech(65)
    assert independent_borders(samples) == borders(samples, block=block)


def test_a_short_end_joins_the_chunk_before_it_where_that_is_asked_for(speech):
    samples = speech(20.6, pauses_s=[19.7])
    assert [round(19.7 * RATE_HZ), round(20.6 * RATE_HZ)] == borders(samples)
    assert [round(20.6 * RATE_HZ)] == borders(samples, joins_short_end=True)


def test_an_end_of_a_second_joins_nothing(speech):
    samples = speech(20.7, pauses_s=[19.7])
    assert 2 == len(borders(samples, joins_short_end=True))


def test_nothing_is_joined_beyond_what_an_encoder_hears(speech):
    samples = speech(30.5, pauses_s=[29.7])
    assert 2 == len(borders(samples, 29.0, 1.0, joins_short_end=True))


def test_without_overlap_cuts_are_at_the_chunks_ends(speech):
    assert [10 * RATE_HZ, 20 * RATE_HZ, 25 * RATE_HZ] == borders(speech(25), 10.0, 0.0)


def test_a_reach_of_less_than_a_step_is_cut_in_its_middle():
    assert 1000 == quietest(np.ones(2000, np.float32), 400, 1600)


@pytest.mark.parametrize(
    ("chunk", "overlap"),
    [(0, 0), (5, 5), (20, 20), (30, 1), (-1, 0), (20, -1), ("20", 1), (20, np.nan)],
)
def test_what_would_lose_sound_or_never_end_is_refused(chunk, overlap):
    with pytest.raises(OptionError, match=r"chunk|overlap"):
        check_chunks(chunk, overlap)


def test_the_originals_own_sizes_are_allowed():
    assert check_chunks(20.0, 1.0) is None
    assert check_chunks(29, 1) is None
