"""Local training against a plain loop of automatic differentiation and TensorFlow's clipping."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining, train
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config

SIZES = model.Sizes(vocabulary=300, embedding=6, units=9, length=8)


@pytest.fixture(scope="module")
def rows(tiny_texts, tiny_tokenizer):
    user = max(tiny_texts, key=len)
    return tiny_tokenizer.rows(user[:21], SIZES.length)[:21]


def plain_training(weights, rows, settings):
    variables = [tf.Variable(w) for w in weights]
    loss_sum = targets = steps = 0
    for _ in range(settings.epochs):
        for first in range(0, len(rows), settings.batch_size):
            batch = rows[first : first + settings.batch_size]
            mask = tf.constant(batch[:, 1:] != 0, tf.float32)
            with tf.GradientTape() as tape:
                named = model.Weights(*variables)
                state = model.initial_state(named, len(batch))
                total = 0.0
                for t in range(SIZES.length):
                    logits, state = model.step(named, batch[:, t], state)
                    total += tf.reduce_sum(
                        mask[:, t] * model.cross_entropy(logits, batch[:, t + 1])
                    )
                loss = total / tf.reduce_sum(mask)
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
            gradients, _ = tf.clip_by_global_norm(gradients, settings.clipping_norm)
            with tf.GradientTape() as tape:
                distance = sum(
                    tf.reduce_sum(tf.square(v - w_0))
                    for v, w_0 in zip(variables, weights, strict=True)
                )
                proximal = settings.proximal_strength / 2 * distance
            pulls = tape.gradient(proximal, variables)
            for variable, gradient, pull in zip(variables, gradients, pulls, strict=True):
                variable.assign_sub(settings.learning_rate * (gradient + pull))
            loss_sum += float(total)
            targets += float(tf.reduce_sum(mask))
            steps += 1
    return variables, loss_sum, targets, steps


@pytest.mark.parametrize("clipping_norm", [5.0, 0.05])
@pytest.mark.parametrize(("epochs", "proximal_strength"), [(1, 0.0), (2, 0.0), (2, 0.7)])
def test_is_sgd_over_batches(rows, epochs, proximal_strength, clipping_norm):
    initial = model.Weights(*map(tf.constant, model.initial_weights(SIZES, 4)))
    settings = LocalTraining(
        0.5,
        batch_size=8,
        epochs=epochs,
        clipping_norm=clipping_norm,
        proximal_strength=proximal_strength,
    )
    trained = tf.function(lambda: train(initial, tf.constant(rows), settings), autograph=False)()
    expected, loss_sum, targets, steps = plain_training(initial, rows, settings)
    for name, ours, theirs in zip(model.Weights._fields, trained.weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6, err_msg=name)
    assert float(trained.tally.loss_sum) == pytest.approx(loss_sum, rel=1e-5)
    assert (float(trained.tally.targets), int(trained.tally.steps)) == (targets, steps)
    assert steps == 3 * epochs


def test_no_sentences_no_change(rows):
    initial = model.Weights(*map(tf.constant, model.initial_weights(SIZES, 4)))
    trained = train(initial, tf.constant(rows[:0]), LocalTraining(0.5))
    assert all(np.array_equal(a, b) for a, b in zip(initial, trained.weights, strict=True))
    assert int(trained.tally.steps) == 0


def test_a_gradient_that_is_not_finite_is_told(rows):
    weights = model.initial_weights(SIZES, 4)
    initial = model.Weights(*map(tf.constant, weights))
    settings = LocalTraining(0.5, batch_size=8)
    assert bool(train(initial, tf.constant(rows), settings).tally.finite)
    broken = initial._replace(projection=tf.fill(weights.projection.shape, np.float32("inf")))
    assert not bool(train(broken, tf.constant(rows), settings).tally.finite)


@pytest.mark.parametrize("name", ["learning_rate", "batch_size", "epochs", "clipping_norm"])
@pytest.mark.parametrize("value", [0, -1, 1e39, float("nan")])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        LocalTraining(**{"learning_rate": 0.5, name: value})


@pytest.mark.parametrize(("name", "most"), [("batch_size", 10**6), ("epochs", 1000)])
def test_training_has_an_end(name, most):
    LocalTraining(0.5, **{name: most})
    with pytest.raises(UserError, match=f"{name}: {most + 1} given, must be at most {most}"):
        LocalTraining(0.5, **{name: most + 1})


def test_what_a_phone_does_by_default():
    """Once over its sentences, without proximal term and dropout."""
    ours, client = LocalTraining(0.5), config.Client()
    assert (ours.batch_size, ours.epochs, ours.clipping_norm) == (16, 1, 5)
    assert (client.batch_size, client.epochs, client.clipping_norm) == (16, 1, 5)
    assert (ours.proximal_strength, ours.dropout, ours.precision) == (0, 0, tf.float32)


@pytest.mark.parametrize("name", ["learning_rate", "clipping_norm"])
def test_rates_and_norms_are_numbers_that_float32_has(name):
    least, most = 1e-30, float(np.finfo(np.float32).max)
    for value in (least, most):
        assert getattr(LocalTraining(**{"learning_rate": 0.5, name: value}), name) == value
    for value in (0.99 * least, np.nextafter(most, np.inf)):
        with pytest.raises(UserError, match=name):
            LocalTraining(**{"learning_rate": 0.5, name: value})


def test_noise_is_a_sum_over_the_places_of_ids():
    """What a phone and a simulation draw alike; NumPy's int64 wraps as TensorFlow's does."""
    rows = np.array([[1, 7, 2, 0], [1, 2**20, 9, 2]], np.int32)
    sum_of = sum(int(n) * place for place, n in enumerate(rows.ravel(), 1)) * 2_654_435_761
    expected = (sum_of + 2**63) % 2**64 - 2**63
    assert int(LocalTraining(0.5).noise(tf.constant(rows))) == expected


@pytest.mark.parametrize(("count", "batches"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_the_last_batch_may_have_fewer(count, batches):
    settings = LocalTraining(0.5, batch_size=8)
    assert int(settings.batches_of(tf.zeros([count, 5], tf.int32))) == batches


def test_clipping_by_hand():
    clip = LocalTraining(0.5, clipping_norm=2.0).clip
    factors = [float(clip(tf.constant(norm))) for norm in (0.0, 1.0, 2.0, 8.0)]
    assert factors == [1, 1, 1, 0.25]


def test_a_negative_proximal_strength_is_refused():
    with pytest.raises(UserError, match="proximal_strength"):
        LocalTraining(0.5, proximal_strength=-0.1)


def test_dropout_follows_from_the_sentences_and_their_order(rows):
    initial = model.Weights(*map(tf.constant, model.initial_weights(SIZES, 4)))
    settings = LocalTraining(0.5, batch_size=8, dropout=0.3)
    one, same = (train(initial, tf.constant(rows), settings) for _ in range(2))
    for ours, again in zip(one.weights, same.weights, strict=True):
        np.testing.assert_allclose(ours, again, atol=1e-7)
    # A batch of the same sentences drops others where it comes at another time.
    twice = np.concatenate([rows[:8], rows[:8]])
    slow = LocalTraining(1e-9, batch_size=8, dropout=0.3)
    first, both = (train(initial, tf.constant(r), slow).tally.loss_sum for r in (rows[:8], twice))
    without = train(initial, tf.constant(rows[:8]), LocalTraining(1e-9, batch_size=8)).tally
    assert len({float(first), float(both - first), float(without.loss_sum)}) == 3
    assert float(first) == pytest.approx(float(without.loss_sum), rel=0.01)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_that_is_no_share_is_refused(dropout):
    with pytest.raises(UserError, match="dropout"):
        LocalTraining(0.5, dropout=dropout)
