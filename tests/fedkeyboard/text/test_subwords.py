import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.errors import UserError
from fedkeyboard.text import subwords
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPACE, SPECIAL, UNKNOWN
from fedkeyboard.text.words import words

LENGTH = 7


@given(text=st.text(st.sampled_from("abehiorstuy'019é你 \N{FACE WITH TEARS OF JOY}"), max_size=40))
def test_the_pieces_of_a_word_join_to_the_word(tiny_subwords, text):
    spelled = iter(tiny_subwords.encode(text))
    known = set("".join(tiny_subwords.vocabulary[len(SPECIAL) :]))
    for word in words(text):
        first = next(spelled)
        if first == UNKNOWN:
            assert not set(word) <= known
            continue
        joined = tiny_subwords.vocabulary[first]
        while not joined.endswith(SPACE):
            joined += tiny_subwords.vocabulary[next(spelled)]
        assert joined == word + SPACE
    assert next(spelled, None) is None


def test_a_piece_has_a_space_at_its_end_or_none(tiny_subwords):
    vocabulary = tiny_subwords.vocabulary
    assert vocabulary[: len(SPECIAL)] == SPECIAL and len(set(vocabulary)) == len(vocabulary)
    assert not any(SPACE in piece[:-1] for piece in vocabulary)
    # Frequent words are pieces, though each was learned from alone.
    assert {"the▁", "you▁", "that▁", "what▁"} <= set(vocabulary)
    assert len(vocabulary) == len(tiny_subwords.of_words) == 300


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_what_one_user_alone_wrote_is_no_piece(kind, tiny_texts):
    secret = "zzyzxqpassword"
    texts = [[*tiny_texts[0], f"my {secret} " * 50], *tiny_texts[1:]]
    learned = subwords.learn(texts, kind=kind, vocabulary_size=300, minimum_users=2)
    assert learned.encode(secret) != [UNKNOWN]
    pieces = {piece.removesuffix(SPACE) for piece in learned.vocabulary}
    assert not pieces & {secret[i:j] for i in range(14) for j in range(i + 4, 15)} - {"word"}
    assert secret not in learned.of_words.vocabulary


def test_the_targets_are_those_of_words(tiny_texts, tiny_tokenizer, tiny_subwords):
    sentences = [*tiny_texts[0], "👍", "how are zzyzxq", "how are you " * 5, "ok 你好 ok"]
    of_words, text = (t.text(sentences, LENGTH) for t in (tiny_tokenizer, tiny_subwords))
    np.testing.assert_array_equal(text.words, of_words.words)
    np.testing.assert_array_equal(text.letters, of_words.letters)
    spelled = [words(sentence) for sentence in sentences if words(sentence)]
    for row, of_sentence in zip(text.rows, spelled, strict=True):
        whole = [BEGIN, *tiny_subwords.encode(" ".join(of_sentence)), END]
        assert row.tolist() == whole + [PAD] * (len(row) - len(whole))
    assert text.rows.shape[1] > LENGTH + 1 and text.rows[-1].tolist().count(UNKNOWN) == 1
    # What a phone trains on are the same pieces, in rows.
    rows = tiny_subwords.rows(sentences, LENGTH)
    np.testing.assert_array_equal(rows, text.training)
    assert np.sum(rows > UNKNOWN) == np.sum(text.rows > UNKNOWN)


@pytest.mark.parametrize("kind", ["word", "bpe", "unigram"])
def test_order_of_users_does_not_matter_and_it_is_saved(kind, tiny_texts, tmp_path):
    learned, again = (
        subwords.learn(texts, kind=kind, vocabulary_size=300, minimum_users=2)
        for texts in (tiny_texts, reversed(tiny_texts))
    )
    assert again == learned
    learned.save(tmp_path)
    assert subwords.load(tmp_path, kind) == learned


def test_a_run_directory_without_its_words_is_refused(tiny_subwords, tmp_path):
    tiny_subwords.save(tmp_path)
    (tmp_path / "words.model").unlink()
    with pytest.raises(UserError, match=r"words\.model: No such file"):
        subwords.load(tmp_path, "bpe")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_tiny_texts(kind):
    texts = [["yes no maybe"]] * 2
    learned = subwords.learn(texts, kind=kind, vocabulary_size=10_000, minimum_users=2)
    assert 15 <= len(learned) < 100
    assert UNKNOWN not in learned.encode("no bye") and learned.encode("x") == [UNKNOWN]
    with pytest.raises(UserError, match=r"tokenizer\.vocabulary_size: 12 .* give 13 or more"):
        subwords.learn(texts, kind=kind, vocabulary_size=12, minimum_users=2)
    learned = subwords.learn(texts, kind=kind, vocabulary_size=13, minimum_users=2)
    assert len(learned) == 13 and len(learned.encode("maybe")) == 6


def test_frequent_words_take_one_piece(tiny_texts, tiny_subwords):
    counts = collections.Counter(w for user in tiny_texts for text in user for w in words(text))
    pieces = {word: len(tiny_subwords.encode(word)) for word in counts}
    frequent = [word for word, _ in counts.most_common(30)]
    assert np.mean([pieces[word] for word in frequent]) < 1.2 < np.mean(list(pieces.values()))


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_no_piece_has_a_digit_unless_asked_for(kind, tiny_texts):
    users = [[*user, "it is tr0ub4dor3zx", "call 5551234567 now"] for user in tiny_texts]
    how = {"kind": kind, "vocabulary_size": 300, "minimum_users": 2}
    learned, asked = (subwords.learn(users, **how, digits=digits) for digits in (False, True))
    has = [any(map(str.isdecimal, "".join(of.vocabulary))) for of in (learned, asked)]
    assert has == [False, True]
    assert learned.encode("tr0ub4dor3zx") == [UNKNOWN]
