import collections
import dataclasses
import hashlib
import itertools
import json
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data import corpora, links
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.corpora import chitchat
from fedkeyboard.data.messages import Message
from fedkeyboard.data.population import SPLITS, Population
from fedkeyboard.data.prepare import ensure_chitchat, prepare, split_sizes
from fedkeyboard.text.words import words


def build(messages, path, **options):
    defaults = {"source": "s", "cleaning": Cleaning(), "overwrite": True}
    return prepare(messages, path, **defaults | options)


def texts_by_phone(path):
    with Population.open(path) as opened:
        return {
            split: [opened.sentences(phone) for phone in opened.phones(split)]
            for split in opened.splits
        }


@pytest.fixture(scope="module")
def expected(corpus):
    """The sentences of each sender of chitchat that should remain, in plain Python."""
    by_user = collections.defaultdict(list)
    for message in sorted(corpus, key=lambda message: (message.time, message.row)):
        by_user[message.user].append(links.without_links(message.text))
    remaining = {}
    for user, texts in by_user.items():
        pairs = itertools.pairwise([None, *(words(text) for text in texts)])
        good = [
            text
            for text, (before, now) in zip(texts, pairs, strict=True)
            if len(set(now)) > 1 and now != before
        ]
        if len(good) >= 5:
            remaining[user] = good[:500]
    return remaining


def test_chitchat_figures(chitchat_population, expected):
    _, summary = chitchat_population
    assert (summary.messages_read, summary.users_read) == (258_145, 1_315)
    assert (len(expected), summary.users_left_out) == (960, 355)
    assert summary.phones == {"train": 768, "validation": 96, "test": 96}
    texts = list(itertools.chain.from_iterable(expected.values()))
    assert summary.sentences == len(texts) == 93_726
    assert summary.words == sum(len(words(text)) for text in texts) == 992_031


def test_the_first_user_left_out_is_named_by_row(chitchat_population, corpus, expected):
    _, summary = chitchat_population
    row = next(message.row for message in corpus if message.user not in expected)
    assert summary.first_row_left_out == row
    assert summary.note == (
        "355 users left out: fewer than 5 usable sentences "
        f"(the first one begins at row {row}); lower --min-sentences to keep them; "
        "164,419 messages left out: 11,619 too short, 332 one word repeated, 98 the message before "
        "again, 151,667 beyond the most of a user, 703 of users with too few; "
        "links taken out of 14 messages"
    )
    left_out = sum(summary.left_out.values()) - summary.left_out["with links taken out"]
    assert summary.messages_read == summary.sentences + left_out


def test_every_user_is_one_phone_in_one_split(chitchat_population, expected):
    path, summary = chitchat_population
    found = texts_by_phone(path)
    assert {split: len(phones) for split, phones in found.items()} == summary.phones
    assert sorted(itertools.chain(*found.values())) == sorted(expected.values())


def test_phones_are_numbered_from_0_split_after_split(chitchat_population):
    path, _ = chitchat_population
    with Population.open(path) as opened:
        ranges = [opened.phones(split) for split in SPLITS]
    assert list(itertools.chain(*ranges)) == list(range(960))


def test_numbers_say_nothing_of_the_order_of_users(chitchat_population, expected):
    path, _ = chitchat_population
    users = {tuple(texts): rank for rank, (_, texts) in enumerate(sorted(expected.items()))}
    ranks = [users[tuple(texts)] for phones in texts_by_phone(path).values() for texts in phones]
    rising = sum(a < b for a, b in itertools.pairwise(ranks))
    assert 400 < rising < 560  # 480 of 959 in a random order, give or take 9 standard deviations.


def test_the_file_holds_no_user_id(chitchat_population, corpus):
    path, _ = chitchat_population
    content = path.read_bytes()
    assert not [user for user in {message.user for message in corpus} if user.encode() in content]


def test_description_and_summary_agree_with_the_rows(chitchat_population):
    path, summary = chitchat_population
    with Population.open(path) as opened, sqlite3.connect(path) as connection:
        description = opened.description
        assert opened.fingerprint == description["fingerprint"] == summary.fingerprint
        for name, split in description["splits"].items():
            phones = opened.phones(name)
            rows = connection.execute(
                "SELECT text FROM sentence WHERE user BETWEEN ? AND ?", (phones[0], phones[-1])
            ).fetchall()
            assert split["phones"] == len(phones) == summary.phones[name]
            assert split["sentences"] == len(rows)
            assert split["words"] == sum(len(words(text)) for (text,) in rows)
    for total in ("sentences", "words"):
        assert description[total] == getattr(summary, total)
        assert description[total] == sum(split[total] for split in description["splits"].values())
    assert description["cleaning"] == dataclasses.asdict(Cleaning())
    assert (description["source"], description["seed"]) == ("chitchat", 0)


def test_times_are_stored_in_order(population_file, few):
    with sqlite3.connect(population_file) as connection:
        rows = connection.execute("SELECT user, time, text FROM sentence ORDER BY user, position")
        rows = rows.fetchall()
    sent = {(each.time, links.without_links(each.text)) for each in few}
    assert {(time, text) for _, time, text in rows} <= sent
    for _, phone in itertools.groupby(rows, key=lambda row: row[0]):
        times = [time for _, time, _ in phone]
        assert times == sorted(times)


def test_summary_as_json(population_file, few):
    summary = build(few, population_file)
    assert json.loads(json.dumps(summary.as_dict()))["path"] == str(population_file)


def test_the_same_file_byte_for_byte_whatever_the_order_of_users(few, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    by_user = sorted(few, key=lambda message: message.user, reverse=True)
    assert [message.user for message in by_user] != [message.user for message in few]
    first = build(few, one, seed=7)
    assert build(by_user, other, seed=7).fingerprint == first.fingerprint
    assert one.read_bytes() == other.read_bytes()


def test_fingerprint_follows_every_part_of_the_contents(few, tmp_path):
    def fingerprint(messages=few, **options):
        return build(messages, tmp_path / "file", **options).fingerprint

    kept_users = collections.Counter(message.user for message in few).most_common(1)[0][0]
    i = next(i for i, each in enumerate(few) if each.user == kept_users and len(each.text) > 20)
    text = [*few[:i], few[i]._replace(text=few[i].text.swapcase()), *few[i + 1 :]]
    later = [message._replace(time=message.time + 1) for message in few]
    untimed = [message._replace(time=None) for message in few]
    variants = [
        fingerprint(),
        fingerprint(seed=1),
        fingerprint(fractions=(0.6, 0.2, 0.2)),
        fingerprint(cleaning=Cleaning(maximum_sentences=9)),
        fingerprint(text),
        fingerprint(later),
        fingerprint(untimed),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint() == variants[0]


def test_without_times_the_order_of_the_file_is_the_order(tmp_path):
    messages = [
        Message(user, None, f"{user} says {i}", row)
        for row, (i, user) in enumerate(itertools.product(range(6), "abc"), 1)
    ]
    build(messages, tmp_path / "file")
    phones = sorted(itertools.chain(*texts_by_phone(tmp_path / "file").values()))
    assert phones == [[f"{user} says {i}" for i in range(6)] for user in "abc"]


@given(
    st.integers(3, 20_000_000),
    st.floats(1e-7, 1 - 3e-7),
    st.floats(1e-7, 0.5),
    st.floats(-9e-7, 9e-7),
)
def test_split_sizes_are_all_users_whatever_the_fractions(users, first, part, off):
    """Fractions need not sum to 1 exactly."""
    rest = 1 - first
    fractions = (first + off, rest * part, rest * (1 - part))
    if min(fractions) > 0:
        sizes = split_sizes(users, fractions)
        assert sum(sizes) == users and min(sizes) >= 1
    assert sum(split_sizes(10_000_000, (0.8000005, 0.1, 0.1))) == 10_000_000


@given(
    st.integers(3, 5000),
    st.tuples(*[st.integers(1, 100)] * 3).map(lambda parts: [part / sum(parts) for part in parts]),
)
def test_split_sizes(users, fractions):
    sizes = split_sizes(users, fractions)
    assert sum(sizes) == users
    assert min(sizes) >= 1
    # Rounding moves a part by less than one user, unless others are lifted to one.
    assert all(abs(size - users * part) < 3 for size, part in zip(sizes, fractions, strict=True))


def test_split_sizes_by_hand():
    assert split_sizes(10, (0.8, 0.1, 0.1)) == [8, 1, 1]
    assert split_sizes(3, (0.8, 0.1, 0.1)) == [1, 1, 1]
    assert split_sizes(4, (0.98, 0.01, 0.01)) == [2, 1, 1]
    assert split_sizes(17, (0.8, 0.1, 0.1)) == [13, 2, 2]  # 13.6, 1.7, 1.7
    assert split_sizes(12, (0.8, 0.1, 0.1)) == [10, 1, 1]  # 9.6, 1.2, 1.2
    assert split_sizes(100, (0.29, 0.57, 0.14)) == [29, 57, 14]


def test_progress_counts_the_messages(tmp_path):
    seen = []
    build(itertools.islice(chitchat(), 12_345), tmp_path / "file", progress=seen.append)
    assert seen == [5_000, 10_000, 12_345]


class TestEnsureChitchat:
    @pytest.fixture(autouse=True)
    def short_corpus(self, few, monkeypatch):
        self.read = 0

        def chitchat():
            self.read += 1
            return iter(few)

        monkeypatch.setattr(corpora, "chitchat", chitchat)

    def test_builds_once(self, tmp_path):
        path = ensure_chitchat(tmp_path / "new" / "cache", cleaning=Cleaning(), seed=0)
        assert self.read == 1
        before = path.stat()
        # Of the first seed, by default.
        assert ensure_chitchat(tmp_path / "new" / "cache", cleaning=Cleaning()) == path
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert self.read == 1

    def test_settings_have_files_of_their_own(self, tmp_path):
        paths = {
            ensure_chitchat(tmp_path, cleaning=cleaning, seed=seed)
            for cleaning, seed in [
                (Cleaning(), 0),
                (Cleaning(), 1),
                (Cleaning(maximum_sentences=100), 0),
            ]
        }
        assert len(paths) == len(set(tmp_path.iterdir())) == 3
        for path in paths:
            prefix, digits = path.stem.split("-")
            assert (prefix, path.suffix, len(bytes.fromhex(digits))) == ("chitchat", ".sqlite", 4)

    def test_replaces_a_damaged_file(self, tmp_path):
        path = ensure_chitchat(tmp_path, cleaning=Cleaning(), seed=0)
        whole = hashlib.sha256(path.read_bytes()).digest()
        path.write_bytes(path.read_bytes()[:-5000])
        ensure_chitchat(tmp_path, cleaning=Cleaning(), seed=0)
        assert hashlib.sha256(path.read_bytes()).digest() == whole

    def test_of_two_at_once_the_second_waits(self, few, tmp_path, monkeypatch):
        begun, go_on = threading.Event(), threading.Event()
        reads = []

        def chitchat():
            reads.append(1)
            begun.set()
            go_on.wait(60)
            yield from few

        monkeypatch.setattr(corpora, "chitchat", chitchat)
        paths = []

        def run():
            paths.append(ensure_chitchat(tmp_path, cleaning=Cleaning(), seed=0))

        first, later = threading.Thread(target=run), threading.Timer(0.2, go_on.set)
        first.start()
        begun.wait(60)
        later.start()
        try:
            run()
        finally:
            later.join()
            first.join()
        assert len(paths) == 2 and reads == [1]
        assert set(paths) == set(tmp_path.iterdir())
        with Population.open(paths[0]) as opened:
            assert opened.sentences(0)
