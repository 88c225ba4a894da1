"""The server's optimizers and schedules against their equations, written out in NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard.algorithms import schedules, server_optimizers

RATE, MOMENTUM, BETA_2, TAU, STEPS = 0.1, 0.8, 0.99, 1e-3, 40


def updates():
    """Forty noisy updates of three weights, of very different sizes."""
    return np.random.default_rng(5).normal(0.3, 1.0, (STEPS, 3)) * [1.0, 1e-2, 3e-4]


def ours(name, **settings):
    """The weights after each step from 0."""
    optimizer = server_optimizers.build(name, RATE, momentum=MOMENTUM, epsilon=TAU, **settings)
    state = optimizer.initialize(tf.TensorSpec([3]))
    weights, path = tf.zeros([3]), []
    for update in updates():
        state, weights = optimizer.next(state, weights, tf.constant(update, tf.float32))
        path.append(weights.numpy())
    return np.array(path)


def papers(name, *, corrected=True):
    """Reddi et al. 2020, algorithm 2; its `-x` is the weights', as updates are taken for gradients.

    With `corrected` each rate is Kingma and Ba's, as TFF's is.
    """
    x, m, path = np.zeros(3), np.zeros(3), []
    v = np.zeros(3) if name == "adam" else np.full(3, TAU**2)
    for t, delta in enumerate(updates(), start=1):
        beta_1 = 0.0 if name == "adagrad" else MOMENTUM
        m = beta_1 * m + (1 - beta_1) * delta
        if name == "adagrad":
            v = v + delta**2
        elif name == "yogi":
            v = v - (1 - BETA_2) * delta**2 * np.sign(v - delta**2)
        else:
            v = BETA_2 * v + (1 - BETA_2) * delta**2
        correction = 1.0
        if corrected and name != "adagrad":
            correction = math.sqrt(1 - BETA_2**t) / (1 - MOMENTUM**t)
        x = x - RATE * correction * m / (np.sqrt(v) + TAU)
        path.append(x)
    return np.array(path)


def test_sgd_and_momentum():
    expected = -RATE * np.cumsum(updates(), axis=0)
    np.testing.assert_allclose(ours("sgd"), expected, rtol=1e-5, atol=1e-7)
    v, x, path = np.zeros(3), np.zeros(3), []
    for delta in updates():
        v = MOMENTUM * v + delta
        x = x - RATE * v
        path.append(x)
    np.testing.assert_allclose(ours("momentum"), path, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "yogi"])
def test_adam_and_yogi_are_the_papers_with_kingmas_correction(name):
    np.testing.assert_allclose(ours(name), papers(name), rtol=1e-4, atol=1e-6)
    uncorrected = papers(name, corrected=False)
    assert np.abs(ours(name) - uncorrected).max() > 0.1 * np.abs(uncorrected).max()


def test_adagrad_is_the_papers_but_for_tau_beside_the_root():
    steps, expected = (
        np.diff(path, axis=0, prepend=0) for path in (ours("adagrad"), papers("adagrad"))
    )
    accumulated = TAU**2 + np.cumsum(updates() ** 2, axis=0)
    np.testing.assert_allclose(steps, expected * (1 + TAU / np.sqrt(accumulated)), rtol=1e-3)


def test_adamw_is_adam_and_shrinks_the_weights_beside_it():
    """Loshchilov and Hutter 2019, algorithm 2, line 12; their decay is ours times the rate."""
    decay, steps = 0.3, np.diff(papers("adam"), axis=0, prepend=0)
    x, path = np.zeros(3), []
    for step in steps:
        x = x + step - RATE * decay * x
        path.append(x)
    np.testing.assert_allclose(ours("adamw", weight_decay=decay), path, rtol=1e-4, atol=1e-6)


def test_a_weight_without_updates_stays():
    """No division by 0, whatever v begins with."""
    for name in ("adagrad", "adam", "yogi"):
        optimizer = server_optimizers.build(name, RATE)
        state = optimizer.initialize(tf.TensorSpec([]))
        _, weight = optimizer.next(state, tf.constant(1.0), tf.constant(0.0))
        assert float(weight) == 1.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"decay_rounds": 4}, [1 + math.cos(math.pi * r / 4) for r in range(4)] + [0, 0, 0]),
        ({"warmup_rounds": 4}, [0.5, 1, 1.5, 2, 2, 2, 2]),
        (
            {"warmup_rounds": 2, "decay_rounds": 6},
            [1, 2, *(1 + math.cos(math.pi * r / 4) for r in range(4)), 0],
        ),
    ],
)
def test_the_rate_of_each_round(settings, expected):
    schedule = schedules.schedule(2.0, **settings)
    rates = [float(schedule(tf.constant(done))) for done in range(7)]
    np.testing.assert_allclose(rates, expected, atol=1e-6)
    # The server's optimizer takes the same steps.
    scheduled = server_optimizers.build("sgd", 2.0, **settings)
    state, steps = scheduled.initialize(tf.TensorSpec([])), []
    for _ in range(7):
        state, moved = scheduled.next(state, tf.constant(0.0), tf.constant(-1.0))
        steps.append(float(moved))
    np.testing.assert_array_equal(steps, rates)


def test_a_constant_rate_has_no_schedule():
    assert schedules.schedule(2.0) is None
