"""The model against automatic differentiation of the plain recurrence over padded rows."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkeyboard import batches, model, packed
from fedkeyboard.text.tokenizer import BEGIN, PAD

SIZES = model.Sizes(vocabulary=30, embedding=5, units=7, length=6)


def some_weights(sizes=SIZES, seed=0):
    weights = model.initial_weights(sizes, seed)
    generator = np.random.default_rng(seed + 1)
    # Zero biases would hide errors in their gradients.
    return model.Weights(
        *(tf.constant(w + 0.1 * generator.normal(size=w.shape).astype(np.float32)) for w in weights)
    )


def some_rows(lengths, sizes=SIZES, seed=0, firsts=(BEGIN,)):
    generator = np.random.default_rng(seed)
    rows = np.full((len(lengths), sizes.length + 1), PAD, np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[0] = generator.choice(firsts)
        row[1 : length + 1] = generator.integers(2, sizes.vocabulary, length)
    return rows


def padded_logits(weights, rows):
    """The recurrence as written in the paper, a step for every column, padding too."""
    state = model.initial_state(weights, len(rows))
    logits = []
    for t in range(rows.shape[1] - 1):
        output, state = model.step(weights, rows[:, t], state)
        logits.append(output)
    return tf.stack(logits, axis=1)


def padded_loss_and_gradients(weights, rows):
    mask = tf.constant(rows[:, 1:] != PAD, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            rows[:, 1:], padded_logits(weights, rows)
        )
        loss = tf.math.divide_no_nan(tf.reduce_sum(losses * mask), tf.reduce_sum(mask))
    return loss, tape.gradient(loss, weights)


def numpy_step(weights, word, output, cell):
    """One step for one sentence in NumPy float64: the equations of the module's docstring."""
    w = [np.asarray(x, np.float64) for x in weights]
    embedding, input_kernel, recurrent_kernel, bias, projection, output_bias = w
    gates = embedding[word] @ input_kernel + output @ recurrent_kernel + bias
    forget, output_gate, candidate = np.split(gates, 3)
    forget, output_gate = 1 / (1 + np.exp(-forget)), 1 / (1 + np.exp(-output_gate))
    cell = forget * cell + (1 - forget) * np.tanh(candidate)
    output = (output_gate * np.tanh(cell)) @ projection
    return embedding @ output + output_bias, output, cell


def test_step_is_the_papers_equations():
    weights = some_weights()
    state = model.initial_state(weights, 1)
    output, cell = np.zeros(SIZES.embedding), np.zeros(SIZES.units)
    for word in (1, 9, 9, 4, 29):
        logits, state = model.step(weights, tf.constant([word]), state)
        expected, output, cell = numpy_step(weights, word, output, cell)
        np.testing.assert_allclose(logits[0], expected, atol=1e-6)
    np.testing.assert_allclose(state.cell[0], cell, atol=1e-6)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, SIZES.length), min_size=1, max_size=6),
    st.integers(0, 9),
    st.sampled_from([(BEGIN,), (BEGIN, 7, 9)]),
)
def test_gradients_are_those_of_automatic_differentiation(lengths, seed, firsts):
    weights, rows = some_weights(seed=seed), some_rows(lengths, seed=seed, firsts=firsts)
    loss, gradients = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows)))
    expected_loss, expected = padded_loss_and_gradients(weights, rows)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    for name, ours, theirs in zip(model.Weights._fields, gradients, expected, strict=True):
        theirs = tf.convert_to_tensor(theirs)
        np.testing.assert_allclose(ours, theirs, atol=1e-7, rtol=1e-4, err_msg=name)


def test_gradients_at_gboards_size():
    sizes = model.Sizes(vocabulary=10_000)
    lengths = [20, 3, 11, 1, 20, 7, 0, 5]
    weights, rows = some_weights(sizes), some_rows(lengths, sizes)
    assert sum(int(np.prod(w.shape)) for w in weights) == pytest.approx(1.42e6, rel=0.01)
    loss, gradients = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows)))
    expected_loss, expected = padded_loss_and_gradients(weights, rows)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    for name, ours, theirs in zip(model.Weights._fields, gradients, expected, strict=True):
        scale = float(tf.reduce_max(tf.abs(tf.convert_to_tensor(theirs))))
        np.testing.assert_allclose(
            ours, tf.convert_to_tensor(theirs), atol=1e-5 * scale, err_msg=name
        )


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, SIZES.length), min_size=1, max_size=6),
    st.integers(0, 9),
    st.sampled_from([(BEGIN,), (BEGIN, 7, 9)]),
)
def test_gradients_with_dropout_are_those_of_automatic_differentiation(lengths, seed, firsts):
    """The masks are made from those that were drawn; the rest is the padded recurrence."""
    weights, rows = some_weights(seed=seed), some_rows(lengths, seed=seed, firsts=firsts)
    batch = batches.pack(tf.constant(rows))
    dropout = model.Dropout(0.4, tf.constant([seed, 5]))
    loss, gradients = packed.loss_and_gradients(weights, batch, dropout=dropout)
    run = packed._run(weights, batch, dropout=dropout)
    if run.words.shape[0] == 0:
        return
    by_word = np.zeros([SIZES.vocabulary, SIZES.embedding], np.float32)
    by_word[run.words] = run.masks[0]
    columns = tf.unstack(tf.gather(run.masks[1], run.places), axis=1)
    at_outputs = tf.stack([batches.unpack(batch, c, tf.constant(rows)) for c in columns], axis=2)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        state, losses = model.initial_state(weights, len(rows)), 0.0
        for t in range(SIZES.length):
            words, targets = rows[:, t], rows[:, t + 1]
            x = tf.gather(weights.embedding * by_word, words)
            state, _ = model.advance(
                weights, tf.matmul(x, weights.input_kernel) + weights.bias, state
            )
            logits = model.logits(weights, state.output * at_outputs[:, t])
            losses += tf.reduce_sum(
                tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
                * tf.cast(targets != PAD, tf.float32)
            )
        expected_loss = losses / np.sum(rows[:, 1:] != PAD)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    theirs = tape.gradient(expected_loss, weights)
    for name, ours, other in zip(model.Weights._fields, gradients, theirs, strict=True):
        other = tf.convert_to_tensor(other)
        np.testing.assert_allclose(ours, other, atol=1e-7, rtol=1e-4, err_msg=name)


def test_dropout_drops_its_share_and_keeps_the_mean():
    drawn = [model.Dropout(0.3, tf.constant([1, i])).mask([400, 50], 0).numpy() for i in (2, 2, 3)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert np.mean(drawn[0] == 0) == pytest.approx(0.3, abs=0.02)
    assert np.unique(drawn[0]) == pytest.approx([0, 1 / 0.7])
    other = model.Dropout(0.3, tf.constant([1, 2])).mask([400, 50], 1).numpy()
    assert np.mean((drawn[0] == 0) == (other == 0)) == pytest.approx(0.58, abs=0.02)


def test_a_wider_cell_is_the_same_model():
    weights, rows = some_weights(), some_rows([6, 1, 4, 0, 6])
    batch = batches.pack(tf.constant(rows))
    wide = model.align(weights)
    assert wide.projection.shape == (16, SIZES.embedding)
    loss, gradients = packed.loss_and_gradients(wide, batch)
    expected_loss, expected = packed.loss_and_gradients(weights, batch)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    trimmed = model.trim(gradients, SIZES.units)
    for name, ours, theirs in zip(model.Weights._fields, trimmed, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7, err_msg=name)
    # The added units have no gradient, so that they stay what they are: nothing.
    for ours, trimmed_and_back in zip(gradients, model.align(trimmed), strict=True):
        np.testing.assert_array_equal(ours, trimmed_and_back)
    for ours, theirs in zip(model.trim(wide, SIZES.units), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bfloat16_rounds_the_products_only():
    sizes = model.Sizes(vocabulary=300)
    weights, rows = some_weights(sizes), some_rows([20, 3, 11, 1, 20, 7], sizes)
    batch = batches.pack(tf.constant(rows))
    loss, gradients = packed.loss_and_gradients(weights, batch, tf.bfloat16)
    expected_loss, expected = packed.loss_and_gradients(weights, batch)
    assert float(loss) == pytest.approx(float(expected_loss), rel=2e-3)
    for name, ours, theirs in zip(model.Weights._fields, gradients, expected, strict=True):
        assert ours.dtype == tf.float32
        difference = float(tf.norm(ours - theirs) / tf.norm(theirs))
        # 8 bits are 4e-3; float32 would differ by less than 1e-6.
        assert 1e-5 < difference < 2e-2, name


def test_a_target_of_no_probability_has_a_finite_loss():
    weights = some_weights()
    bias = np.zeros(SIZES.vocabulary, np.float32)
    bias[9] = -1e4
    weights = weights._replace(output_bias=tf.constant(bias))
    rows = some_rows([1])
    rows[0, 1] = 9
    loss, gradients = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows)))
    assert 80 < float(loss) < 90
    _, expected = padded_loss_and_gradients(weights, rows)
    np.testing.assert_allclose(gradients.output_bias, expected.output_bias, atol=1e-6)


@given(st.lists(st.integers(0, SIZES.length), min_size=1, max_size=8), st.integers(0, 9))
@settings(max_examples=50)
def test_pack_and_unpack(lengths, seed):
    rows = some_rows(lengths, seed=seed)
    batch = batches.pack(tf.constant(rows))
    assert int(tf.size(batch.targets)) == sum(lengths)
    assert batch.running.numpy().tolist() == [
        sum(length > t for length in lengths) for t in range(SIZES.length + 1)
    ]
    np.testing.assert_array_equal(batches.unpack(batch, batch.targets, rows), rows[:, 1:])
    inputs = np.where(rows[:, 1:] != PAD, rows[:, :-1], 0)
    np.testing.assert_array_equal(batches.unpack(batch, batch.inputs, rows), inputs)


@pytest.mark.parametrize("firsts", [(BEGIN,), (BEGIN, 7, 9)])
def test_forward_is_the_padded_recurrence(firsts):
    weights, rows = some_weights(), some_rows([6, 1, 4, 0, 6], firsts=firsts)
    batch = batches.pack(tf.constant(rows))
    logits = packed.forward(weights, batch)
    expected = padded_logits(weights, rows)
    for word in (0, 7, 29):
        np.testing.assert_allclose(
            batches.unpack(batch, logits[:, word], rows),
            np.where(rows[:, 1:] != PAD, expected[:, :, word], 0),
            atol=1e-6,
        )


def test_nothing_to_learn_from_padding():
    weights, rows = some_weights(), some_rows([0, 0])
    loss, gradients = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows)))
    assert float(loss) == 0
    assert all(not np.any(g) for g in gradients)
    loss, _ = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows[:0])))
    assert float(loss) == 0


def test_initial_weights_follow_the_seed():
    first, again, other = (model.initial_weights(SIZES, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.embedding, other.embedding)
    assert [w.shape for w in first] == list(model.weight_shapes(SIZES))
    np.testing.assert_array_equal(first.bias, [1.0] * SIZES.units + [0.0] * 2 * SIZES.units)
