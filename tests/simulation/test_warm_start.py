"""A run that begins with another one's model: what each word keeps."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config_files, experiment, runs, warm_start
from fedkeyboard.text.tokenizer import UNKNOWN, Tokenizer

SETTINGS = [
    *("model.embedding=6", "model.units=9", "model.length=8"),
    "tokenizer.vocabulary_size=200",
]


@pytest.fixture(scope="module")
def other(tiny_texts, tiny_population, tmp_path_factory):
    """A run over the words of half of the users, with weights."""
    path = tmp_path_factory.mktemp("runs") / "other"
    settings = config_files.load("simulation/configs/chitchat.toml", SETTINGS)
    settings = experiment.on_population(settings, tiny_population)
    tokenizer = Tokenizer.learn(tiny_texts[::2], vocabulary_size=200, minimum_users=2)
    path.mkdir()
    settings.save(path / "config.toml")
    tokenizer.save(path)
    made = runs.open_run(path)
    drawn = model.initial_weights(made.sizes, 3)
    bias = np.random.default_rng(0).normal(size=len(tokenizer)).astype(np.float32)
    made.save_weights(drawn._replace(output_bias=bias), 5)
    return made


@pytest.fixture(scope="module")
def tokenizer(tiny_texts):
    """Over the words of the other half."""
    return Tokenizer.learn(tiny_texts[1::2], vocabulary_size=150, minimum_users=2)


@pytest.fixture(scope="module")
def sizes(tokenizer):
    return model.Sizes(vocabulary=len(tokenizer), embedding=6, units=9, length=8)


def test_words_keep_what_was_learned_of_them(other, tokenizer, sizes):
    learned, _ = other.weights()
    made = warm_start.weights(other, tokenizer, sizes, 1)
    assert [w.shape for w in made] == list(model.weight_shapes(sizes))
    places = {word: i for i, word in enumerate(other.tokenizer.vocabulary)}
    shared = [word for word in tokenizer.vocabulary if word in places]
    assert 50 < len(shared) == warm_start.known(other, tokenizer) < len(tokenizer)
    for i, word in enumerate(tokenizer.vocabulary):
        if word in places:
            np.testing.assert_array_equal(made.embedding[i], learned.embedding[places[word]])
            assert made.output_bias[i] == learned.output_bias[places[word]]
    for name in ("input_kernel", "recurrent_kernel", "bias", "projection"):
        np.testing.assert_array_equal(getattr(made, name), getattr(learned, name))


def test_new_words_share_the_unknown_words_probability(other, tokenizer, sizes, monkeypatch):
    """But for the noise that tells them apart."""
    drawn = model.initial_weights

    def without_noise(sizes, seed):
        whole = drawn(sizes, seed)
        return whole._replace(embedding=np.zeros_like(whole.embedding))

    made = warm_start.weights(other, tokenizer, sizes, 1)
    new = [i for i, w in enumerate(tokenizer.vocabulary) if w not in other.tokenizer.vocabulary]
    apart = made.embedding[new] - made.embedding[UNKNOWN]
    assert len(np.unique(apart.round(6), axis=0)) == len(new) > 10
    monkeypatch.setattr(model, "initial_weights", without_noise)
    made = model.Weights(*map(tf.constant, warm_start.weights(other, tokenizer, sizes, 1)))
    words = tf.constant([7], tf.int32)
    logits, _ = model.step(made, words, model.initial_state(made, 1))
    probabilities = tf.nn.softmax(logits).numpy()[0]
    assert probabilities[new].sum() == pytest.approx(probabilities[UNKNOWN], rel=1e-4)


def test_the_same_words_are_the_same_model(other):
    made = warm_start.weights(other, other.tokenizer, other.sizes, 1)
    for ours, theirs in zip(made, other.weights()[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.units=10", "has model.units = 9, and the experiment 10"),
        ("model.embedding=7", "--set model.embedding=6"),
        ("tokenizer.kind=bpe", "has tokenizer.kind = word"),
    ],
)
def test_a_model_of_other_sizes_is_none_to_begin_with(other, setting, said):
    config = config_files.load("simulation/configs/chitchat.toml", [*SETTINGS, setting])
    with pytest.raises(UserError, match=said):
        warm_start.source(other.path, config)
