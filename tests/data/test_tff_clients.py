import collections
import sqlite3

import numpy as np
import pytest

from fedkeyboard.data.messages import Message
from fedkeyboard.data.tff_clients import tff_file

SECRETS = ("anna", "hello there")


def read(path, text=None, time=None, split=None):
    return list(tff_file(path, text, time, split))


@pytest.fixture(scope="module")
def example():
    """Returns the proto of an example, serialised."""
    import tensorflow as tf

    def feature(value):
        values = value if isinstance(value, list) else [value]
        if not values:
            return tf.train.Feature()
        if isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def serialised(**features):
        features = {name: feature(value) for name, value in features.items()}
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    return serialised


@pytest.fixture
def file(tmp_path_factory):
    """Writes a file with the tables of TFF's `sql_client_data_utils`."""
    path = tmp_path_factory.mktemp("files") / "messages"

    def write(*rows):
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TABLE examples (split_name TEXT, client_id TEXT, "
                "serialized_example_proto BLOB)"
            )
            connection.execute(
                "CREATE TABLE client_metadata (client_id TEXT, split_name TEXT, "
                "num_examples INTEGER)"
            )
            connection.executemany("INSERT INTO examples VALUES (?, ?, ?)", rows)
            counts = collections.Counter((client, split) for split, client, _ in rows)
            connection.executemany(
                "INSERT INTO client_metadata VALUES (?, ?, ?)",
                ((*each, count) for each, count in counts.items()),
            )
        connection.close()
        return path

    return write


def test_stack_overflow_as_tff_has_it(tmp_path):
    import tensorflow_federated as tff

    synthetic = tff.simulation.datasets.stackoverflow.get_synthetic()
    path = str(tmp_path / "stackoverflow.sqlite")
    tff.simulation.datasets.save_to_sql_client_data(
        synthetic.client_ids, synthetic.create_tf_dataset_for_client, path
    )
    expected = []
    for client in synthetic.client_ids:
        for each in synthetic.create_tf_dataset_for_client(client).as_numpy_iterator():
            date = np.datetime64(each["creation_date"].decode().removesuffix(" UTC"), "ms")
            expected.append((client, date.astype(int) / 1000, each["tokens"].decode()))
    found = read(path)
    assert len(found) == 8
    assert [message[:3] for message in found] == expected
    titles = read(path, "title")
    assert titles[-1].text == "iterator pattern in vb . net ( c # would use yield ! )"
    assert {message.time for message in titles} == {None}


def test_splits(file, example):
    post = [example(tokens=text, creation_date=b"2018-01-01 00:00:00 UTC") for text in (b"a", b"b")]
    path = file(("train", "1", post[0]), ("test", "1", post[1]), ("heldout", "2", post[0]))
    new_year = 1514764800.0
    assert read(path) == [
        Message("1", new_year, "a", 1),
        Message("1", new_year, "b", 2),
        Message("2", new_year, "a", 3),
    ]
    assert read(path, split="test") == [Message("1", new_year, "b", 1)]


def test_no_such_split(file, example, refuses):
    path = file(("train", "1", example(tokens=b"a")), ("test", "1", example(tokens=b"a")))
    with refuses(path, 'no split "validation"', '"test", "train"'):
        read(path, split="validation")


def test_features_of_other_names_and_types(file, example):
    path = file(("train", "1", example(said=b"a \0 \xc3\xa9", when=1525262400, more=[1.0, 2.0])))
    assert read(path, "said", "when") == [Message("1", 1525262400.0, "a \0 \xe9", 1)]
    assert read(path, "said") == [Message("1", None, "a \0 \xe9", 1)]


def test_the_text_alone_may_be_of_stack_overflow(file, example):
    path = file(("train", "1", example(tokens=b"a", when=7)))
    assert read(path, time="when") == [Message("1", 7.0, "a", 1)]


@pytest.mark.parametrize(
    ("client", "features", "parts"),
    [
        ("anna", {"said": b"hello there"}, ['no feature "tokens"', '"said"', "--text-column"]),
        ("anna", {"tokens": b"hello there"}, ['no feature "creation_date"', "--time-column"]),
        ("anna", {"tokens": [b"hello there", b"friend"]}, ['"tokens" has 2 values']),
        ("anna", {"tokens": []}, ['"tokens" has 0 values']),
        ("anna", {"tokens": 7}, ['"tokens" is not a string']),
        ("anna", {"tokens": b"hello there \xe9"}, ['"tokens" is not a string in UTF-8']),
        ("anna", {"tokens": b"hello there", "creation_date": b"noon"}, ["is not a time"]),
        ("anna", {"tokens": b"hello there", "creation_date": b"\xff"}, ["is not a time"]),
        ("", {"tokens": b"hello there"}, ['"client_id" is empty']),
        (None, {"tokens": b"hello there"}, ['"client_id" is empty']),
    ],
)
def test_refuses(client, features, parts, file, example, refuses):
    good = example(tokens=b"fine", creation_date=b"2018-05-02")
    path = file(("train", "bob", good), ("train", client, example(**features)))
    with refuses(path, "example 2", *parts, secrets=SECRETS):
        read(path)


@pytest.mark.parametrize("proto", [b"hello there", b"\xff" * 9, "hello there", None, 7])
def test_no_example(proto, file, refuses):
    path = file(("train", "anna", proto))
    with refuses(path, "example 1 is no tf.train.Example", secrets=SECRETS):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"user,text\nanna,hello there\n"])
def test_not_sqlite(content, tmp_path, refuses):
    (tmp_path / "file").write_bytes(content)
    with refuses(tmp_path / "file", "not an SQLite file", secrets=SECRETS):
        read(tmp_path / "file")


def test_not_tffs_tables(tmp_path, refuses):
    with sqlite3.connect(tmp_path / "chat.db") as connection:
        connection.execute("CREATE TABLE examples (client_id, hello)")
    with refuses("chat.db", "no table examples", "client_id", "serialized_example_proto"):
        read(tmp_path / "chat.db")


def test_cut_short_or_damaged(few, file, example, refuses):
    rows = [("train", each.user, example(tokens=each.text.encode())) for each in few]
    path = file(*rows)
    whole = path.read_bytes()
    assert len(read(path, "tokens")) == len(few)
    for size in range(100, len(whole), len(whole) // 20):
        path.write_bytes(whole[:size])
        with refuses(path, "damaged or cut short"):
            read(path, "tokens")
    path.write_bytes(whole[:20_000] + b"\xff" * 4096 + whole[24_096:])
    with refuses(path, "damaged or cut short"):
        read(path, "tokens")


def test_missing_and_directory(tmp_path, refuses):
    with refuses("no such file"):
        read(tmp_path / "none.sqlite")
    with refuses("is a directory"):
        read(tmp_path)
    assert not list(tmp_path.iterdir())
