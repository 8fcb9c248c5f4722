"""A draft's graph gives what the same head gives in torch, and proposes nothing beyond its shortlist."""

from dataclasses import replace

import numpy as np
import pytest

from tercet.checkpoint.heads import HeadArrays
from tercet.engine.onnx import PRECISIONS, OnnxDecoder
from tercet.engine.onnx_draft import OnnxDrafter


@pytest.fixture(scope="module")
def model(random_checkpoint, small_geometry):
    return random_checkpoint(replace(small_geometry, decoder_layers=2, n_text_ctx=80), seed=2)


def session_of(decoder, states):
    """A session whose rows have texts of different lengths."""
    session = decoder.open([decoder.project(each) for each in states])
    texts = np.random.default_rng(6).integers(0, decoder.geometry.vocab_size, (3, 6))[: len(states)]
    session.step(texts, counts=np.array([6, 2, 3])[: len(states)])
    return session


def steps_of(decoder, drafter, states):
    return drafter.open(session_of(decoder, states))


def inputs(model, rows: int):
    rng = np.random.default_rng(5)
    lengths = (40, 40, 13)[:rows]
    states = [rng.normal(size=(n, model.geometry.width)).astype(np.float32) for n in lengths]
    tokens = rng.integers(0, model.geometry.vocab_size, rows)
    hidden = rng.normal(size=(rows, model.geometry.width)).astype(np.float32)
    return states, tokens, hidden


@pytest.mark.parametrize(("shortlist", "rank"), [(20, 0), (60, 8)])
@pytest.mark.parametrize("rows", [1, 3])
def test_both_engines_guess_alike(model, random_draft, rows, shortlist, rank):
    torch = pytest.importorskip("torch")
    from tercet.model import load_torch
    from tercet.model.draft import TorchDrafter

    head = random_draft(model.geometry, shortlist, rank=rank)
    states, tokens, hidden = inputs(model, rows)
    onnx = OnnxDecoder(model, PRECISIONS["float32"], threads=1)
    ours = steps_of(onnx, OnnxDrafter(head, model, PRECISIONS["float32"], threads=1), states)
    _, decoder = load_torch(model, threads=1)
    drafter = TorchDrafter(head, decoder, device="cpu", dtype="float32")
    theirs = steps_of(decoder, drafter, [torch.from_numpy(each) for each in states])
    its_tokens, its_hidden = tokens, torch.from_numpy(hidden)
    for _ in range(4):
        tokens, shares, hidden = ours.step(tokens, hidden)
        its_tokens, its_shares, its_hidden = theirs.step(its_tokens, its_hidden)
        assert its_tokens.tolist() == tokens.tolist()
        assert set(tokens.tolist()) <= set(head.token_ids.tolist())
        assert (shares > 0).all()
        assert (shares <= 1).all()
        np.testing.assert_allclose(its_shares, shares, atol=1e-5)
        np.testing.assert_allclose(its_hidden.numpy(), hidden, atol=1e-4)


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_candidates_are_scored_exactly(model, random_draft, compute_type):
    """In a space that keeps everything, or where all are candidates, the guess is that of all tokens."""
    states, tokens, hidden = inputs(model, 3)
    width = model.geometry.width
    rotation, _ = np.linalg.qr(np.random.default_rng(8).normal(size=(width, width)))
    for shortlist, rank in ((20, 8), (60, width)):
        whole = random_draft(model.geometry, shortlist)
        near = random_draft(model.geometry, shortlist, rank=rank)
        kept = rotation.astype(np.float32)[:rank]
        arrays = {**whole.arrays.values, "narrow.weight": kept, "widen.weight": kept.T}
        near = replace(near, arrays=HeadArrays(arrays))
        assert min(32, shortlist) == near.candidates
        found = []
        for head in (whole, near):
            precision = PRECISIONS[compute_type]
            decoder = OnnxDecoder(model, precision, threads=1)
            steps = steps_of(decoder, OnnxDrafter(head, model, precision, threads=1), states)
            found.append(steps.step(tokens, hidden))
        (ids, shares, _), (its_ids, its_shares, _) = found
        assert ids.tolist() == its_ids.tolist()
        assert (its_shares > shares - 1e-3).all(), "of fewer tokens each one's share is larger"
        np.testing.assert_allclose(shares, its_shares, atol=1e-3 if shortlist == 20 else 0.3)


def test_eight_bits_stay_close(model, random_draft):
    head = random_draft(model.geometry, 20)
    states, tokens, hidden = inputs(model, 1)
    found = {}
    for name, precision in PRECISIONS.items():
        decoder = OnnxDecoder(model, precision, threads=1)
        steps = steps_of(decoder, OnnxDrafter(head, model, precision, threads=1), states)
        found[name] = steps.step(tokens, hidden)
    apart = np.abs(found["int8"][2] - found["float32"][2]).mean()
    assert apart < 0.05 * np.abs(found["float32"][2]).mean()


def test_a_row_does_not_feel_its_neighbours(model, random_draft):
    head = random_draft(model.geometry, 20)
    states, tokens, hidden = inputs(model, 3)
    decoder = OnnxDecoder(model, PRECISIONS["int8"], threads=1)
    drafter = OnnxDrafter(head, model, PRECISIONS["int8"], threads=1)
    together = steps_of(decoder, drafter, states).step(tokens, hidden)
    for row in range(3):
        session = session_of(decoder, states)
        session.reorder(np.array([row]))
        one = drafter.open(session).step(tokens[row : row + 1], hidden[row : row + 1])
        assert one[0][0] == together[0][row]
        np.testing.assert_allclose(one[2][0], together[2][row], atol=1e-5)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_it_recalls_the_text_that_is_verified_and_no_more(model, random_draft, engine):
    """Also where the text grows out of the memory that it began with."""
    head = random_draft(model.geometry, 20)
    states, tokens, hidden = inputs(model, 1)
    if engine == "onnx":
        decoder = OnnxDecoder(model, PRECISIONS["float32"], threads=1)
        drafter = OnnxDrafter(head, model, PRECISIONS["float32"], threads=1)
    else:
        torch = pytest.importorskip("torch")
        from tercet.model import load_torch
        from tercet.model.draft import TorchDrafter

        _, decoder = load_torch(model, threads=1)
        drafter = TorchDrafter(head, decoder, device="cpu", dtype="float32")
        states, hidden = [torch.from_numpy(each) for each in states], torch.from_numpy(hidden)

    def share(steps) -> float:
        return float(steps.step(tokens, hidden)[1][0])

    text = np.random.default_rng(7).integers(0, model.geometry.vocab_size, (1, 70))

    def fresh(n: int) -> float:
        session = decoder.open([decoder.project(states[0])])
        session.step(text[:, :n])
        return share(drafter.open(session))

    session = decoder.open([decoder.project(states[0])])
    session.step(text[:, :5])
    steps = drafter.open(session)
    first = share(steps)
    assert fresh(5) == pytest.approx(first, abs=1e-5)
    session.step(text[:, 5:70])
    grown = share(steps)
    assert fresh(70) == pytest.approx(grown, abs=1e-5)
    session.roll_back(np.array([5]))
    assert first == pytest.approx(share(steps), abs=1e-5)
    assert abs(first - grown) > 1e-4


def test_words_are_read_from_eight_bits_as_from_floats(random_draft, base_model):
    """The embedding of each token, however the checkpoint stores it."""
    from tercet.checkpoint import open_checkpoint
    from tercet.engine.onnx_draft import _Words

    checkpoint = open_checkpoint(base_model)
    name = "model.decoder.embed_tokens.weight"
    tokens = np.array([0, 50257, 51864])
    wanted = np.asarray(checkpoint.read(name), np.float32)[tokens]
    np.testing.assert_allclose(_Words(checkpoint).of(tokens), wanted, atol=1e-6)
