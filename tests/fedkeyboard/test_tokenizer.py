import collections

import numpy as np
import pytest
import sentencepiece

from fedkeyboard.errors import UserError
from fedkeyboard.tokenizer import BEGIN, END, PAD, SPECIAL, UNKNOWN, Tokenizer
from fedkeyboard.words import words


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
        [BEGIN, UNKNOWN, END, PAD, PAD],
    ]
    assert tiny_tokenizer.rows([], 4).shape == (0, 5)


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
