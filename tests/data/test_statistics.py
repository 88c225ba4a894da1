import itertools
import json

import numpy as np
import pytest

from fedkeyboard.data import statistics
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import prepare
from fedkeyboard.text.words import words


@pytest.fixture(scope="module")
def opened(tiny_population):
    with Population.open(tiny_population) as population:
        yield population


def test_figures_are_those_of_the_text(opened):
    described = statistics.describe(opened, vocabulary_size=300)
    assert json.loads(json.dumps(described)) == described
    for split in opened.splits:
        counts = [
            sum(len(words(text)) for text in opened.sentences(phone))
            for phone in opened.phones(split)
        ]
        of = described["splits"][split]
        assert of["phones"] == of["users"] == of["phones_read"] == len(counts)
        assert of["words"]["mean"] == pytest.approx(np.mean(counts))
        assert of["words"]["p50"] == np.median(counts)
        at_least = of["histogram"]["at_least"]
        assert (
            of["histogram"]["phones"] == np.histogram(counts, [0, *at_least[1:], 10**9])[0].tolist()
        )
    totals = [of["words"]["mean"] * of["phones"] for of in described["splits"].values()]
    assert described["text_words"] == pytest.approx(sum(totals))


def test_out_of_vocabulary_rate(opened, tiny_tokenizer):
    described = statistics.describe(opened, vocabulary_size=300, minimum_users=2)
    known = set(tiny_tokenizer.vocabulary[4:])
    said = [
        word
        for phone in opened.phones("test")
        for text in opened.sentences(phone)
        for word in words(text)
    ]
    expected = np.mean([word not in known for word in said])
    assert described["splits"]["test"]["oov_rate"] == pytest.approx(expected)


def test_a_sample_is_drawn_by_seed(opened):
    described, again, other = (
        statistics.describe(opened, vocabulary_size=300, sample=12, seed=seed) for seed in (0, 0, 1)
    )
    assert described == again != other
    assert described["splits"]["train"]["phones_read"] == 12
    assert described["splits"]["train"]["phones"] == len(opened.phones("train"))


def test_all_are_read_once(opened, monkeypatch):
    count, sentences, read = len(opened.phones("train")), opened.sentences, []
    # Where there are as many as are asked for, nothing is drawn.
    described, again = (
        statistics.describe(opened, vocabulary_size=300, sample=most) for most in (count, 10**6)
    )
    assert described == again
    monkeypatch.setattr(opened, "sentences", lambda user: read.append(user) or sentences(user))
    statistics.describe(opened, vocabulary_size=300, sample=count - 1)
    assert len(set(read[: count - 1])) == count - 1


def test_a_phone_of_one_word(tmp_path):
    """Of a hundred, who say another one each."""
    said = ["".join(letters) for letters in itertools.product("abcdefghij", repeat=2)]
    messages = [Message(text, None, text, row) for row, text in enumerate(said, 1)]
    options = {"fractions": (0.98, 0.01, 0.01), "source": "s"}
    cleaning = Cleaning(minimum_sentences=1, minimum_words=1)
    prepare(messages, tmp_path / "it.sqlite", cleaning=cleaning, **options)
    with Population.open(tmp_path / "it.sqlite") as population:
        described = statistics.describe(population, vocabulary_size=300, minimum_users=1)
    assert [of["oov_rate"] for of in described["splits"].values()] == [0, 1, 1]


def test_real_users_differ_more_than_if_sentences_were_dealt(opened):
    differ = statistics.describe(opened, vocabulary_size=300)["heterogeneity"]
    assert differ["users"] > 10
    assert 0 < differ["divergence_if_dealt"] < 0.95 * differ["divergence"] < 1


def test_heterogeneity_of_known_users():
    generator = np.random.default_rng(0)
    same = [[[1, 2, 3, 4]] * 40 for _ in range(5)]
    assert statistics.heterogeneity(same, 10, generator)["divergence"] == pytest.approx(0, abs=1e-9)
    # Two users without a word in common: each is half of everybody.
    apart = [[[1] * 5] * 40, [[2] * 5] * 40]
    found = statistics.heterogeneity(apart, 10, generator)
    # The middle of (1, 0) and (1/2, 1/2) is (3/4, 1/4), of 0.811 bits; less half of 0 and 1 bit.
    assert found["divergence"] == pytest.approx(0.8113 - 0.5, abs=1e-4)
    assert found["divergence_if_dealt"] < 0.1
    assert statistics.heterogeneity([[[1, 2]]], 10, generator)["divergence"] is None


def test_few_users(opened, refuses):
    described = statistics.describe(opened, vocabulary_size=300, sample=1)
    assert described["vocabulary"]["users"] == 1
    with refuses(opened.path, "--minimum-users"):
        statistics.describe(opened, vocabulary_size=300, minimum_users=1000)


def test_users_of_fewer_than_50_words_diverge_by_chance(opened):
    generator = np.random.default_rng(0)
    users = [[[1] * 49], [[2] * 50], [[3] * 20, [1] * 31]]
    found = statistics.heterogeneity(users, 4, generator)
    assert found["users"] == 2
    # Everybody has all words, of those who are told apart and of the one who is not.
    everybody = np.array([0, 80, 50, 20]) / 150

    def bits(of):
        return -sum(p * np.log2(p) for p in of if p)

    def divergence(one):
        return bits((one + everybody) / 2) - (bits(one) + bits(everybody)) / 2

    expected = [np.array([0, 0, 1, 0]), np.array([0, 31, 0, 20]) / 51]
    assert found["divergence"] == pytest.approx(np.mean([*map(divergence, expected)]))


def test_of_nobody_there_is_nothing_to_divide():
    with np.errstate(all="raise"):
        found = statistics.heterogeneity([], 4, np.random.default_rng(0))
    assert found == {"users": 0, "divergence": None, "divergence_if_dealt": None}


def test_by_default_it_is_drawn_by_the_first_seed(opened):
    assert statistics.describe(opened) == statistics.describe(opened, seed=0)
    assert statistics.describe(opened) != statistics.describe(opened, seed=1)


def test_a_histogram_by_powers_of_two():
    found = statistics._histogram([0, 1, 1, 2, 3, 4, 7, 8, 31])
    assert found == {"at_least": [1, 2, 4, 8, 16], "phones": [3, 2, 2, 1, 1]}
    assert statistics._histogram([]) == {"at_least": [], "phones": []}


def described_by_hand():
    numbers = {"mean": 1234.5, **{f"p{p}": 10.0 * p for p in (10, 25, 50, 75, 90)}}
    split = {
        "phones": 2000, "users": 40, "phones_read": 2000, "oov_rate": 0.0345,
        "sentences": numbers, "words": {name: 7 * value for name, value in numbers.items()},
    }  # fmt: skip
    return {
        "file": "it.sqlite", "source": "chats", "text_sentences": 93_726, "text_words": 992_031,
        "bytes": 1_234_567_890_000, "vocabulary": {"entries": 10_000, "users": 768},
        "multiplied": False, "left_out": {},
        "splits": {"train": split, "validation": split | {"phones": 1}, "test": dict(split)},
        "heterogeneity": {"users": 3, "divergence": 0.41234, "divergence_if_dealt": 0.3},
    }  # fmt: skip


def test_text_for_a_reader():
    described = described_by_hand()
    table = statistics.rows(described)
    assert table[:4] == [
        ("phones", "2,000", "1", "2,000"),
        ("real users", "40", "40", "40"),
        ("sentences a phone, mean", *["1,234"] * 3),
        ("sentences a phone, 10%", *["100"] * 3),
    ]
    assert table[8:10] == [
        ("words a phone, mean", *["8,642"] * 3),  # Of a half, the even one.
        ("words a phone, 10%", *["700"] * 3),
    ]
    assert table[-2:] == [
        ("words a phone, 90%", *["6,300"] * 3),
        ("out of vocabulary", *["3.5%"] * 3),
    ]
    first, *rest = statistics.sentences(described)
    assert first == ("it.sqlite: chats, 93,726 sentences, 992,031 words of text, 1,234,567.9 MB")
    assert rest == [
        "vocabulary: 10,000 entries, learned on 768 training users",
        "how users differ: a user's words diverge from everybody's by 0.412 bits "
        "(Jensen-Shannon), and by 0.300 if sentences were dealt to users at random",
    ]
    described["multiplied"], described["left_out"] = True, {"too short": 11_619, "repeats": 2}
    described["splits"]["test"]["phones_read"] = 500
    described["heterogeneity"]["divergence"] = None
    assert statistics.sentences(described)[2:] == [
        "the 2,000 training phones are voices of 40 real users",
        "messages left out, or changed, when it was made: 11,619 too short, 2 repeats",
        "figures per phone: of 500 phones drawn of a split",
    ]


def test_bars_for_a_reader():
    found = statistics.bars({"at_least": [1, 2, 4, 1024], "phones": [0, 450, 0, 5000]})
    assert found == [
        ("from 2", "450", "█" * 3), ("from 4", "0", ""), ("from 1,024", "5,000", "█" * 30)
    ]  # fmt: skip
    assert statistics.bars({"at_least": [1, 2], "phones": [2, 1]}) == [
        ("from 0", "2", "█" * 30), ("from 2", "1", "█" * 15)
    ]  # fmt: skip


def test_text_of_a_population(opened):
    described = statistics.describe(opened, vocabulary_size=300)
    assert all(len(row) == 4 for row in statistics.rows(described))
    assert len(statistics.bars(described["splits"]["train"]["histogram"])) > 3
    assert any("diverge" in line for line in statistics.sentences(described))
