import collections

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.errors import UserError
from fedkeyboard.text.tokenizer import (
    BEGIN,
    END,
    MOST_WORDS,
    PAD,
    SPECIAL,
    UNKNOWN,
    Tokenizer,
    packed,
)
from fedkeyboard.text.vocabulary import default_minimum_users
from fedkeyboard.text.words import words


def test_vocabulary_is_the_most_frequent_words_that_several_users_wrote(tiny_texts):
    learned = Tokenizer.learn(tiny_texts, vocabulary_size=50, minimum_users=3)
    counts = collections.Counter(w for user in tiny_texts for text in user for w in words(text))
    writers = collections.Counter(
        w for user in tiny_texts for w in {w for text in user for w in words(text)}
    )
    shared = {w: n for w, n in counts.items() if writers[w] >= 3}
    chosen = learned.vocabulary[len(SPECIAL) :]
    assert learned.vocabulary[: len(SPECIAL)] == SPECIAL
    assert len(chosen) == 50 - len(SPECIAL) and set(chosen) <= set(shared)
    least = min(shared[w] for w in chosen)
    assert all(w in chosen for w, n in shared.items() if n > least)
    assert [shared[w] for w in chosen] == sorted((shared[w] for w in chosen), reverse=True)


def test_encode_is_sentencepiece_but_for_neighbouring_unknown_words(tiny_texts, tiny_tokenizer):
    processor = sentencepiece.SentencePieceProcessor(model_proto=tiny_tokenizer.model)
    compared = 0
    for text in (text for user in tiny_texts for text in user):
        ids = tiny_tokenizer.encode(text)
        merged = [
            i for n, i in enumerate(ids) if not (n and i == UNKNOWN and ids[n - 1] == UNKNOWN)
        ]
        assert processor.encode(" ".join(words(text))) == merged
        compared += ids != merged
    assert compared, "no text had two unknown words in a row"


def test_a_word_of_the_vocabulary_keeps_its_id_in_any_spelling(tiny_tokenizer):
    for i, word in enumerate(tiny_tokenizer.vocabulary[4:], start=4):
        assert tiny_tokenizer.encode(f"  {word.upper()}!? 🎉") == [i]


def test_rows(tiny_tokenizer):
    i, you = tiny_tokenizer.encode("i you")
    rows = tiny_tokenizer.rows(["I, you", "👍", "you " * 9, "zzzz"], 4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [
        [BEGIN, i, you, END, PAD],
        [BEGIN, you, you, you, you],
        [BEGIN, you, you, you, you],
        [BEGIN, you, END, PAD, PAD],
        [BEGIN, UNKNOWN, END, PAD, PAD],
    ]
    assert tiny_tokenizer.rows([], 4).shape == (0, 5)


def test_a_long_message_becomes_rows_of_whole_sentences(tiny_tokenizer):
    i, you = tiny_tokenizer.encode("i you")
    message = "You. I you? " + "i " * 6 + "! You, you. I"
    assert tiny_tokenizer.rows([message], 5).tolist() == [
        [BEGIN, you, i, you, END, PAD],
        [BEGIN, i, i, i, i, i],
        [BEGIN, i, you, you, i, END],
    ]
    # One that fits is one row, however many sentences it has.
    assert tiny_tokenizer.rows(["You. I! You? I"], 4).tolist() == [[BEGIN, you, i, you, i]]


@given(
    st.lists(
        st.lists(st.lists(st.integers(4, 99), min_size=1, max_size=9), max_size=9), max_size=6
    ),
    st.integers(1, 7),
)
def test_packed_keeps_all_entries_and_cuts_sentences_only_if_they_do_not_fit(sentences, length):
    rows = packed(sentences, length)
    assert all(0 < len(row) <= length for row in rows)
    flat = [[i for word in sentence for i in word] for sentence in sentences]
    assert [i for row in rows for i in row] == [i for sentence in flat for i in sentence]
    ends = set(np.cumsum([len(row) for row in rows]))
    begin = 0
    for sentence in flat:
        inside = [end for end in ends if begin < end < begin + len(sentence)]
        assert not inside or len(sentence) > length
        begin += len(sentence)


def test_to_evaluate_on_a_message_is_whole(tiny_tokenizer):
    text = tiny_tokenizer.text(["i you", "!", "you " * 45, "you " * (MOST_WORDS + 5)], 20)
    assert np.count_nonzero(text.letters, axis=1).tolist() == [2, 45, MOST_WORDS]
    assert text.words[1, 46] == END and END not in text.words[2]
    assert text.rows is text.words
    assert text.training.shape == (1 + 3 + 51, 21)
    assert text.message.tolist() == [0, 1, 1, 1, *[2] * 51]
    later = text.part(1, 2)
    assert later.message.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(later.training, text.training[1:4])
    np.testing.assert_array_equal(later.words, text.words[1:2])


def test_order_of_users_does_not_matter(tiny_texts, tiny_tokenizer):
    again = Tokenizer.learn(reversed(tiny_texts), vocabulary_size=300, minimum_users=2)
    assert again.vocabulary == tiny_tokenizer.vocabulary


def test_saved_and_loaded(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tiny_tokenizer
    lines = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(lines) == tiny_tokenizer.vocabulary


def test_bad_models_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.model: No such file"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"tokenizer\.model: not a SentencePiece model"):
        Tokenizer.load(tmp_path)


def test_no_shared_word_is_an_error():
    with pytest.raises(UserError, match=r"tokenizer\.minimum_users"):
        Tokenizer.learn([["one two"], ["three four"]], vocabulary_size=100, minimum_users=2)


def test_mashed_keys_are_no_word():
    texts = [["yes no maybe " + "x" * 5000]] * 2
    learned = Tokenizer.learn(texts, vocabulary_size=100, minimum_users=2)
    assert sorted(learned.vocabulary[4:]) == ["maybe", "no", "yes"]


SECRETS = ("tr0ub4dor3zx", "5551234567", "gb29nwbk60161331926819", "4111", "2024", "cs235", "7")


def test_what_two_users_share_and_what_has_digits_is_no_entry(tiny_texts):
    """A password, telephone, account and card numbers, typed by some of 300 users."""
    users = [list(tiny_texts[i % len(tiny_texts)]) for i in range(300)]
    for user in users[:2]:
        user += ["my pass phrase is xylophagous", "and that is xylophagous"]
    for user in users[:50]:
        user += [f"it is {secret}" for secret in SECRETS]
    fewest = default_minimum_users(len(users))
    learned = Tokenizer.learn(users, vocabulary_size=10_000, minimum_users=fewest)
    assert "xylophagous" not in learned.vocabulary
    assert not any(character.isdecimal() for word in learned.vocabulary for character in word)
    asked = Tokenizer.learn(users, vocabulary_size=10_000, minimum_users=2, digits=True)
    assert {*SECRETS, "xylophagous"} <= set(asked.vocabulary)


@given(st.integers(1, 10**8), st.integers(0, 10**8))
def test_the_more_users_the_more_must_share_a_word(users, more):
    assert 3 <= default_minimum_users(users) <= default_minimum_users(users + more)
    assert [default_minimum_users(n) for n in (300, 900, 901, 10_000, 10**6)] == [3, 3, 4, 10, 100]
