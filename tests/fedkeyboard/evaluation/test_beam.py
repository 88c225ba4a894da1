import itertools

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.evaluation import beam
from fedkeyboard.text.tokenizer import BEGIN, PAD, SPECIAL

# A lexicon of pieces in which most strings have several ways to be put together.
VOCABULARY = (*SPECIAL, "▁", "a", "b", "ab", "a▁", "b▁", "ba▁", "ab▁", "c▁")
SIZES = model.Sizes(len(VOCABULARY), embedding=5, units=7)


@pytest.fixture(scope="module")
def weights():
    """Of a model that is sure enough of some pieces that long words are among the likeliest."""
    weights = model.initial_weights(SIZES, 3)
    embedding = np.random.default_rng(3).normal(0, 3.0, weights.embedding.shape)
    return weights._replace(embedding=embedding.astype(np.float32))


def exhaustively(weights, read, at_most):
    """Every word of up to `at_most` pieces by its likeliest spelling, one step after another."""
    state = model.initial_state(weights, 1)
    for entry in read:
        logits, state = model.step(weights, np.array([entry]), state)
    found = {}

    def go_on(said, state, letters, pieces):
        for i in range(len(SPECIAL), len(VOCABULARY)):
            log_probability = said + log_softmax(logits_of[0])[i]
            piece = VOCABULARY[i]
            if piece.endswith("▁"):
                word = letters + piece[:-1]
                if word:
                    found[word] = max(found.get(word, -np.inf), log_probability)
            elif pieces + 1 < at_most:
                stack.append((log_probability, i, state, letters + piece, pieces + 1))

    stack, logits_of = [], [np.asarray(logits[0], np.float64)]
    go_on(0.0, state, "", 0)
    while stack:
        said, piece, before, letters, pieces = stack.pop()
        logits, after = model.step(weights, np.array([piece]), before)
        logits_of[0] = np.asarray(logits[0], np.float64)
        go_on(said, after, letters, pieces)
    return sorted(found.items(), key=lambda item: -item[1])


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum())


def joined(pieces):
    return "".join(VOCABULARY[i] for i in pieces if i != PAD)


def test_the_best_words_are_those_of_all_words(weights, monkeypatch):
    monkeypatch.setattr(beam, "PIECES", 5)
    contexts = [[BEGIN], *([BEGIN, *pair] for pair in itertools.product((8, 9, 12), (10, 11)))]
    states = [model.initial_state(weights, 1) for _ in contexts]
    for n, context in enumerate(contexts):
        for entry in context:
            _, states[n] = model.step(weights, np.array([entry]), states[n])
    together = model.State(*(tf.concat(values, axis=0) for values in zip(*states, strict=True)))
    found = beam.search(weights, beam.pieces(VOCABULARY), together, width=64)
    lengths = set()
    for context, likelihood, spelled, pieces in zip(contexts, *map(np.array, found), strict=True):
        expected = exhaustively(weights, context, 5)[: beam.WORDS]
        assert likelihood == pytest.approx([value for _, value in expected], abs=1e-4)
        assert spelled.tolist() == [beam.spelling(word) for word, _ in expected]
        assert list(map(joined, pieces)) == [f"{word}▁" for word, _ in expected]
        suggested = beam.suggest(weights, VOCABULARY, context[1:])
        for (word, probability), (found_word, value) in zip(suggested[:3], expected, strict=False):
            assert word == found_word and probability == pytest.approx(np.exp(value), abs=1e-4)
        lengths |= {len(word) for word, _ in expected}
    assert max(lengths) > 2, "all words of the test are one piece"


def test_a_narrow_beam_finds_words_with_their_likelihood(weights):
    context = model.read(weights, np.array([BEGIN]), model.initial_state(weights, 1))
    found = beam.search(weights, beam.pieces(VOCABULARY), context, width=2)
    words = {beam.spelling(word): p for word, p in exhaustively(weights, [BEGIN], 6)}
    for likelihood, spelled, pieces in zip(*(np.array(v)[0] for v in found), strict=True):
        assert likelihood <= words[spelled] + 1e-4
        assert beam.spelling(joined(pieces).removesuffix("▁")) == spelled
    assert np.all(np.diff(found.log_probability[0]) <= 0)


def test_fewer_words_than_asked_for():
    vocabulary = (*SPECIAL, "▁", "ab▁", "c▁", "d▁", "e▁")
    weights = model.initial_weights(model.Sizes(len(vocabulary), embedding=3, units=4), 0)
    found = beam.search(weights, beam.pieces(vocabulary), model.initial_state(weights, 3), width=4)
    finite = np.isfinite(found.log_probability)
    assert finite.tolist() == [[True] * 4 + [False]] * 3
    expected = sorted(map(beam.spelling, ("ab", "c", "d", "e")))
    assert sorted(np.array(found.spelling)[0, :4].tolist()) == expected
    assert {word for word, _ in beam.suggest(weights, vocabulary, [5, 6])} == {"ab", "c", "d", "e"}


def test_a_spelling_is_told_from_its_parts():
    table = beam.pieces(VOCABULARY)
    begun = beam.spelling("c")
    for i, piece in enumerate(VOCABULARY[4:], start=4):
        spelled = beam.spell(table, tf.constant([begun], tf.int64), tf.constant([i]))
        assert spelled.numpy().tolist() == [beam.spelling("c" + piece.removesuffix("▁"))]
