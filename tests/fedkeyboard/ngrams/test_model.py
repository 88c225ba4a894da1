import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkeyboard.ngrams import counts, fitting, model
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPECIAL

VOCABULARY = 12


def rows_of(messages):
    rows = [[BEGIN, *message, END] for message in messages]
    width = max(map(len, rows))
    return np.array([[*row, *[PAD] * (width - len(row))] for row in rows], np.int32)


def drawn(seed, count=40):
    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, VOCABULARY - 2)
    return [
        (generator.choice(VOCABULARY - 3, generator.integers(0, 7), p=shares / shares.sum()) + 3)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def made():
    """N-grams of four people, as they are and as tuples: what is said after some words."""
    users = [rows_of(drawn(seed)) for seed in range(4)]
    counted = counts.count(users, VOCABULARY, 4, 2)
    ngrams = fitting.ngrams(counted, fitting.fit(counted, []))
    q, known = {}, [(word,) for word in range(VOCABULARY)]
    for keys, codes in zip(ngrams.trie.keys, ngrams.codes, strict=True):
        nodes, words = np.divmod(keys, VOCABULARY)
        known = [(*known[node], word) for node, word in zip(nodes, words.tolist(), strict=True)]
        for ngram, code in zip(known, codes.tolist(), strict=True):
            q.setdefault(ngram[:-1], {})[ngram[-1]] = float(np.exp(code / -16))
    assert {len(before) for before in q} == {1, 2, 3}
    return ngrams, q


def mixed_by_hand(q, probabilities, before):
    """The module's equation, word by word."""
    mixed = list(probabilities)
    for length in (1, 2, 3):
        after = q.get(tuple(before[-length:]), {}) if len(before) >= length else {}
        mixed = [p * (1 - sum(after.values())) + after.get(w, 0) for w, p in enumerate(mixed)]
    return mixed


def some(count, seed=0):
    logits = np.random.default_rng(seed).normal(0, 2, (count, VOCABULARY)).astype(np.float32)
    return np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def test_each_target_is_mixed_as_the_equation_says(made):
    ngrams, q = made
    messages = drawn(9, 12)
    rows = rows_of(messages)
    said = some(sum(len(message) + 1 for message in messages))
    found = np.exp(ngrams.mixed(said, rows))
    place = 0
    for message in messages:
        for i in range(len(message) + 1):
            before = [BEGIN, *message[:i].tolist()]
            expected = mixed_by_hand(q, np.exp(said[place]).tolist(), before)
            np.testing.assert_allclose(found[place], expected, rtol=1e-5)
            place += 1
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_the_next_word_is_mixed_like_a_target(made):
    ngrams, q = made
    for message in drawn(10, 12):
        said = some(1, len(message))[0]
        expected = np.array(mixed_by_hand(q, np.exp(said).tolist(), [BEGIN, *message.tolist()]))
        suggested = ngrams.suggest(message.tolist(), said, 3)
        best = np.argsort(-expected[len(SPECIAL) :])[:3] + len(SPECIAL)
        assert [i for i, _ in suggested] == best.tolist()
        assert [p for _, p in suggested] == pytest.approx(expected[best].tolist())
        kept, words, added = ngrams.after(message.tolist())
        assert np.all(np.diff(words) > 0)
        again = np.exp(said) * kept
        again[words] += added
        np.testing.assert_allclose(again, expected, rtol=1e-6)


def test_of_equals_the_first_is_suggested(made):
    none = NGrams.none(VOCABULARY)
    even = np.full(VOCABULARY, -np.log(VOCABULARY), np.float32)
    assert [i for i, _ in none.suggest([5], even, 3)] == [4, 5, 6]


def test_without_ngrams_nothing_is_mixed():
    none = NGrams.none(VOCABULARY)
    rows = rows_of(drawn(3, 5))
    said = some(np.count_nonzero(rows[:, 1:]))
    np.testing.assert_allclose(none.mixed(said, rows), said, atol=1e-6)
    assert len(none) == 0 and none.after([5, 6])[0] == 1.0
    assert model.load(none.dump(), VOCABULARY).trie.order == 1


def test_a_file_is_read_as_it_was_written(made):
    ngrams, _ = made
    content = ngrams.dump()
    assert len(content) == ngrams.size()
    read = model.load(content, VOCABULARY)
    for name in ("words", "starts", "keys"):
        for one, other in zip(getattr(read.trie, name), getattr(ngrams.trie, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert read.dump() == content


def test_a_file_has_the_form_that_is_documented():
    """Bytes as docs/package.md says, of one message of one person; and of large vocabularies."""
    for vocabulary, number in ((8, "H"), (1 << 16, "H"), ((1 << 16) + 1, "I")):
        counted = counts.count([rows_of([[5]])], vocabulary, 3, 1)
        content = fitting.ngrams(counted, np.full((2, 5), 0.5)).dump()
        # <s> 5, 5 </s>; <s> 5 </s>
        head = struct.pack("<4sIIII", b"FKNG", vocabulary, 3, 2, 1)
        below = [1 if word in (BEGIN, 5) else 0 for word in range(vocabulary)]
        pairs = struct.pack(f"<{vocabulary}{number}2{number}", *below, 5, END)
        longer = struct.pack(f"<2{number}{number}", 1, 0, END)
        # Half of (1 - 1/2) / 1.
        code = round(16 * np.log(4))
        assert content == head + pairs + longer + bytes([code] * 3)


def test_probabilities_are_within_three_percent():
    q = np.geomspace(2e-7, 1, 1000)
    np.testing.assert_allclose(np.exp(model.encode(q) / -16), q, rtol=0.032)
    assert model.encode(np.array([0.0, 1.0])).tolist() == [255, 0]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda c: c[:-1], "shorter"),
        (lambda c: c + b"\0", "longer"),
        (lambda c: c[:10], "shorter"),
        (lambda c: b"", "shorter"),
        (lambda c: b"PK" + c[2:], "not n-grams"),
        (lambda c: c[:4] + struct.pack("<I", 99) + c[8:], "of 99 entries"),
        (lambda c: c[:8] + struct.pack("<I", 0) + c[12:], "n-grams of 0 words"),
        (lambda c: c[:8] + struct.pack("<I", 2**32 - 1) + c[12:], "words"),
        (lambda c: c[:12] + struct.pack("<I", 2**32 - 1) + c[16:], "shorter"),
        # One more below padding; a word beyond the vocabulary; its order; certainty twice.
        (lambda c: c[:24] + struct.pack("<H", 1) + c[26:], "damaged"),
        (lambda c: c[: 24 + 2 * VOCABULARY] + b"\xff\xff" + c[26 + 2 * VOCABULARY :], "damaged"),
        (lambda c: c[: 24 + 2 * VOCABULARY] + b"\x0b\x00" + c[26 + 2 * VOCABULARY :], "order"),
        (lambda c: c[:-20] + bytes(20), "more than 1"),
    ],
)
def test_damaged_files_are_refused(made, edit, says):
    with pytest.raises(ValueError, match=says):
        model.load(edit(made[0].dump()), VOCABULARY)


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_break_a_reader(made, data):
    """Whatever is read suggests probabilities."""
    content = bytearray(made[0].dump())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = model.load(bytes(content), VOCABULARY)
    except ValueError:
        return
    said = some(1)[0]
    probabilities = [p for _, p in read.suggest([5, 6, 3], said, VOCABULARY)]
    assert all(0 <= p <= 1 + 1e-9 for p in probabilities)
