import functools

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms.templates import phone_data
from fedkeyboard.evaluation import beam, federated_evaluation, metrics, scoring, subword_scoring
from fedkeyboard.text.tokenizer import END, PAD, UNKNOWN
from fedkeyboard.text.words import words

LENGTH = 7


@pytest.fixture(scope="module")
def sizes(tiny_subwords):
    return model.Sizes(len(tiny_subwords), embedding=6, units=8, length=LENGTH)


@pytest.fixture(scope="module")
def weights(sizes, tiny_texts, tiny_subwords):
    weights = model.initial_weights(sizes, 5)
    # Frequent pieces are likelier, and the end is likeliest of all and must not be suggested.
    pieces = [piece for user in tiny_texts for text in user for piece in tiny_subwords.encode(text)]
    weights.output_bias[:] = np.log1p(np.bincount(pieces, minlength=sizes.vocabulary))
    weights.output_bias[END] = 10.0
    return weights


@pytest.fixture(scope="module")
def table(tiny_subwords):
    return beam.pieces(tiny_subwords.vocabulary)


def test_each_word_by_its_pieces_one_after_another(tiny_texts, tiny_subwords, weights, table):
    sentences = [*tiny_texts[0][:9], "ok 你好 you", "you " * 9]
    search = tf.function(functools.partial(beam.search, weights, table))
    text = tiny_subwords.text(sentences, LENGTH)
    scores = subword_scoring.SubwordScorer(weights, table).score(text)
    i, found = 0, 0
    for sentence in sentences:
        logits, state = model.step(weights, np.array([1]), model.initial_state(weights, 1))
        spelled = words(sentence)
        for word in [*spelled, None]:
            pieces = [END] if word is None else tiny_subwords.encode(word)
            assert scores.known[i] == (pieces[0] > UNKNOWN)
            likeliest = search(state).spelling[0].numpy().tolist()
            if scores.known[i]:
                spelling = beam.spelling(word)
                expected = likeliest.index(spelling) if spelling in likeliest else 5
                assert scores.rank[i] == expected
                found += expected < 5
            nats = 0.0
            for piece in pieces:
                said = np.asarray(logits[0], np.float64)
                nats += np.log(np.exp(said).sum()) - said[piece]
                logits, state = model.step(weights, np.array([piece]), state)
            assert scores.cross_entropy[i] == pytest.approx(nats, 1e-4)
            i += 1
    assert i == len(scores.rank) == np.sum(text.words[:, 1:] != PAD) and found > 3


def test_federated_evaluation_counts_as_evaluation_does(
    in_tff, tiny_texts, tiny_subwords, sizes, weights, table
):
    """A cohort with a phone of no sentence and one of more than are scored at once."""
    import tensorflow_federated as tff

    everything = [s for user in tiny_texts for s in user][:150]
    users = [tiny_subwords.text(t, LENGTH) for t in (*tiny_texts[:3], [], everything)]
    scorer = subword_scoring.SubwordScorer(weights, table)
    counted = scoring.count_users({"model": scorer}, users)["model"]
    expected = sum((user.total for user in counted), metrics.Counts())

    async def sums():
        rank = functools.partial(subword_scoring.rank, table=table)
        evaluate = federated_evaluation.computation(sizes, rank)
        result = evaluate(weights, [phone_data(user.rows) for user in users])
        return await tff.program.materialize_value(result)

    counts = in_tff(sums)
    assert counts.pop("cross_entropy") == pytest.approx(expected.cross_entropy, rel=1e-5)
    assert counts == {name: getattr(expected, name) for name in counts}
    assert counts["top3"] > counts["top1"] > 0
