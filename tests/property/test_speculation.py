"""A draft never changes a text: greedy or sampled, timed and prompted, in batches, on both engines."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.checkpoint.geometry import Geometry
from tercet.decoding.drafts import DecoderDraft, Guess, HeadDraft, NgramDraft
from tercet.decoding.loop import Decoded, decode
from tercet.decoding.options import DecodeOptions
from tercet.decoding.pace import Known, Pace
from tercet.decoding.speculate import DraftedDecoder
from tercet.engine.onnx import FLOAT32, OnnxDecoder
from tercet.engine.onnx_draft import OnnxDrafter
from tercet.engine.protocol import Projections

GEOMETRY = Geometry(
    n_mels=80,
    width=16,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
    n_audio_ctx=30,
    n_text_ctx=40,
)
LENGTHS = (30, 30, 12, 30, 7, 30, 3, 21)  # frames of the windows
VOICES = [
    np.random.default_rng(frames + at).normal(size=(frames, 16)).astype(np.float32)
    for at, frames in enumerate(LENGTHS)
]
LANGUAGES = ("en", "de", "fr", "haw", "zh", "en", None, "ja")
SURENESS = 4
Run = Callable[..., list[Decoded]]


@dataclass
class Oracle:
    """Guesses what was written before, but for some errors: so every pattern of acceptance occurs."""

    texts: dict[int, tuple[int, ...]]
    chances: np.random.Generator
    name: str = "oracle"

    def open(self, session, windows, rows):
        return OracleProposer(self, list(rows))


@dataclass
class OracleProposer:
    oracle: Oracle
    rows: list[int]

    def propose(self, texts, hidden, most, goes_on):
        assert len(texts) == len(self.rows) == hidden.shape[0]
        return [
            self.guess(self.oracle.texts[row], list(text), count)
            for row, text, count in zip(self.rows, texts, most, strict=True)
        ]

    def guess(self, whole, text, count) -> Guess:
        guess, chances = Guess(), self.oracle.chances
        ways = range(len(whole), 0, -1)
        written = next((n for n in ways if text[-n:] == list(whole[:n])), 0)
        for token in whole[written : written + chances.integers(0, count + 1)]:
            is_wrong = chances.random() < 0.3
            guess.add(int(chances.integers(50000)) if is_wrong else token, 0.9)
        return guess

    def reorder(self, rows):
        self.rows = [self.rows[row] for row in rows]


@pytest.fixture(scope="module")
def engines(random_checkpoint, random_draft):
    """By name: decoder, voices, and drafts that know nothing of the text."""
    checkpoint = random_checkpoint(GEOMETRY, seed=3)
    # Surer of itself and of the end than random weights are, so that texts differ in length.
    checkpoint.arrays["model.decoder.layer_norm.weight"] *= SURENESS
    checkpoint.arrays["model.decoder.embed_tokens.weight"][50257] *= 4
    smaller = random_checkpoint(replace(GEOMETRY, decoder_layers=1), seed=4)
    head = random_draft(GEOMETRY, 300)
    onnx = OnnxDecoder(checkpoint, FLOAT32, threads=1)
    drafts = [
        HeadDraft("head", OnnxDrafter(head, checkpoint, FLOAT32, threads=1)),
        DecoderDraft("smaller", OnnxDecoder(smaller, FLOAT32, threads=1)),
        NgramDraft(),
    ]
    found = {"onnx": (onnx, VOICES, drafts)}
    try:
        import torch
    except ModuleNotFoundError:
        return found
    from tercet.model import load_torch
    from tercet.model.draft import TorchDrafter

    _, decoder = load_torch(checkpoint, threads=1)
    _, other = load_torch(smaller, threads=1)
    drafter = TorchDrafter(head, decoder, device="cpu", dtype="float32")
    drafts = [HeadDraft("head", drafter), DecoderDraft("smaller", other), NgramDraft()]
    return {**found, "torch": (decoder, [torch.from_numpy(each) for each in VOICES], drafts)}


@pytest.fixture(scope="module")
def write(byte_tokenizer) -> Run:
    """`write(decoder, voices, rows, timed, heat, seed)`: what is written for these rows as one batch."""

    def run(decoder, voices, rows, timed, heat, seed):
        return decode(
            decoder,
            Projections(decoder, [voices[row] for row in rows]),
            byte_tokenizer(51865),
            DecodeOptions(without_timestamps=not timed, suppress_blank=False),
            languages=[LANGUAGES[row] for row in rows],
            prompts=[list(range(300, 300 + row)) for row in rows],
            temperature=heat,
            row_keys=rows,
            seed=seed,
        )

    return run


def check_same(wanted: list[Decoded], found: list[Decoded]) -> None:
    for one, other in zip(wanted, found, strict=True):
        assert one.tokens == other.tokens
        assert one.language == other.language
        np.testing.assert_allclose(one.avg_logprob, other.avg_logprob, atol=1e-5)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.integers(0, 7), min_size=1, max_size=8),
    timed=st.booleans(),
    heat=st.sampled_from([0.0, 0.0, 0.7]),
    most=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_the_text_is_that_of_plain_decoding(engines, write, engine, rows, timed, heat, most, seed):
    if engine not in engines:
        pytest.skip("torch is not installed")
    decoder, voices, drafts = engines[engine]
    asked = (voices, rows, timed, heat, seed)
    wanted = write(decoder, *asked)
    texts = {at: each.tokens for at, each in enumerate(wanted)}
    oracle = Oracle(texts, np.random.default_rng(seed))
    for draft in (oracle, *drafts):
        pace = Pace(is_adaptive=False, most=most)
        check_same(wanted, write(DraftedDecoder(decoder, draft, pace), *asked))
        assert pace.tally.accepted <= pace.tally.guessed
        if draft is oracle and len(rows) == 1 and len(wanted[0].tokens) > 12:
            assert pace.tally.accepted > 0, "nothing was ever accepted: the test shows nothing"


class Watching(OracleProposer):
    """Keeps what it is told."""

    def propose(self, texts, hidden, most, goes_on):
        self.oracle.told += [
            (row, list(text), np.array(state.tolist()))
            for row, text, state in zip(self.rows, texts, hidden, strict=True)
        ]
        return super().propose(texts, hidden, most, goes_on)


def test_a_draft_is_told_what_each_rows_last_token_was_chosen_from(engines, write):
    """After any number of right and wrong guesses, and after rows have left."""
    for name, (decoder, voices, _) in engines.items():
        rows = [0, 1, 2, 3] if name == "torch" else [0]
        wanted = write(decoder, voices, rows, False, 0.0, 0)
        texts = {at: each.tokens for at, each in enumerate(wanted)}
        oracle = Oracle(texts, np.random.default_rng(2))
        oracle.told = []
        oracle.open = lambda session, windows, numbers, o=oracle: Watching(o, list(numbers))
        drafted = DraftedDecoder(decoder, oracle, Pace(is_adaptive=False, most=3))
        check_same(wanted, write(drafted, voices, rows, False, 0.0, 0))
        assert len(oracle.told) > 2 * len(rows)
        for row, text, state in oracle.told:
            session = decoder.open([decoder.project(voices[rows[row]])])
            session.step(np.array([text[:-1]], np.int64))
            np.testing.assert_allclose(session.hidden()[0, -1].tolist(), state, atol=1e-4)


def test_where_costs_are_known_a_window_is_drafted_alike_whatever_went_before(engines, write):
    """How many rounds, guesses and right ones: neither a clock nor other windows change them."""
    for decoder, voices, drafts in engines.values():
        for draft in drafts:

            def tally(*rows: int, by=decoder, heard=voices, draft=draft) -> tuple[int, ...]:
                pace = Pace(known=Known(draft=0.2, verify=0.1))
                drafted = DraftedDecoder(by, draft, pace)
                before: tuple[int, ...] = ()
                for row in rows:
                    before = (pace.tally.rounds, pace.tally.guessed, pace.tally.accepted)
                    write(drafted, heard, [row], False, 0.0, 0)
                now = (pace.tally.rounds, pace.tally.guessed, pace.tally.accepted)
                return tuple(one - other for one, other in zip(now, before, strict=True))

            assert tally(0, 3, 2, 1) == tally(2, 1) == tally(0, 1)


def test_what_is_guessed_rightly_costs_no_step(engines, write):
    """An oracle without errors: a text of n tokens takes n / (most + 1) steps, and a few more."""
    sure = type("Sure", (), {"integers": lambda *args: args[-1] - 1, "random": lambda _: 1.0})()
    for decoder, voices, _ in engines.values():
        texts = [write(decoder, voices, [row], False, 0.0, 0)[0] for row in range(8)]
        row = max(range(8), key=lambda each: len(texts[each].tokens))
        n = len(texts[row].tokens)
        assert n > 12, "all texts are too short to show anything"
        pace = Pace(is_adaptive=False, most=4)
        drafted = DraftedDecoder(decoder, Oracle({0: texts[row].tokens}, sure), pace)
        check_same([texts[row]], write(drafted, voices, [row], False, 0.0, 0))
        assert pace.tally.rounds <= n / 5 + 2
        assert pace.tally.accepted == pace.tally.guessed
