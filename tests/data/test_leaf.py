import itertools
import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data import json_text
from fedkeyboard.data.leaf import leaf_files
from fedkeyboard.data.messages import Message

SECRETS = ("anna", "hello there")


def layout(data, **more):
    """What LEAF's scripts write of users' data."""
    users = list(data)
    counts = [len(each["x"]) for each in data.values()]
    return {"users": users, "num_samples": counts} | more | {"user_data": data}


def samples(*given):
    return layout({"bob": {"x": list(given), "y": [0] * len(given)}})


def read(path):
    return list(leaf_files(path))


def texts(path):
    return [message.text for message in read(path)]


def reddit_sample(comment):
    """A comment as LEAF's data/reddit/source/preprocess.py cuts it."""
    tokens = ["<BOS>", *comment.split(), "<EOS>"]
    tokens += ["<PAD>"] * (-len(tokens) % 10)
    return [tokens[i : i + 10] for i in range(0, len(tokens), 10)]


def windows(lines):
    """A speaker's lines as LEAF's data/shakespeare/preprocess/shake_utils.py cuts them."""
    x, y = [], []
    for line in lines:
        padded = " " * 80 + line
        for i in range(len(line)):
            x.append(padded[i : i + 80])
            y.append(padded[i + 80])
    return {"x": x, "y": y}


def test_reddit(few, file):
    by_user = itertools.groupby(sorted(few), key=lambda message: message.user)
    by_user = {user: list(rows) for user, rows in by_user}
    data = {
        user: {
            "x": [reddit_sample(message.text) for message in rows],
            "y": [{"subreddit": "a", "created_utc": int(each.time), "score": 1} for each in rows],
        }
        for user, rows in by_user.items()
    }
    expected = [
        (message.user, message.time, " ".join(message.text.split()))
        for message in itertools.chain.from_iterable(by_user.values())
    ]
    found = read(file(json.dumps(layout(data))))
    assert [message[:3] for message in found] == expected
    assert [message.row for message in found] == list(range(1, len(few) + 1))


def test_reddit_before_it_was_cut(file):
    label = {"subreddit": "a", "created_utc": "1512086400", "score": 1}
    path = file(json.dumps(layout({"1": {"x": ["you are right ."], "y": [label]}})))
    assert read(path) == [Message("1", 1512086400.0, "you are right .", 1)]


def test_sent140(file):
    row = ["1467810369", "Mon Apr 06 22:19:45 PDT 2009", "NO_QUERY", "anna", "aw, that's a bummer."]
    path = file(json.dumps(layout({"anna": {"x": [row], "y": [0]}})))
    # 22:19:45 at 7 hours before UTC: date -d '2009-04-07 05:19:45 UTC' +%s
    assert read(path) == [Message("anna", 1239081585.0, "aw, that's a bummer.", 1)]


def test_shakespeare(few, file):
    lines = [" ".join(message.text.split()) + "\n" for message in few[:200]]
    data = {"ROMEO": windows(lines[:100]), "JULIET": windows(lines[100:])}
    path = file(json.dumps(layout(data, hierarchies=["a", "b"])))
    assert [text for text in texts(path) if text] == lines


def test_a_message_as_long_as_shakespeares_windows_is_a_message(file):
    assert texts(file(json.dumps(samples("a" * 80)))) == ["a" * 80]


def test_shakespeare_split_by_sample_is_refused(file, refuses):
    whole = windows(["hello there my friend\n"])
    torn = {name: values[:4] + values[5:] for name, values in whole.items()}
    path = file(json.dumps(layout({"anna": torn})))
    with refuses(path, "user 1, sample 5", "split", secrets=SECRETS):
        read(path)


def test_lists_of_words_strings_and_no_samples(file):
    assert texts(file(json.dumps(samples("a b", ["c", "d"], [["e"], ["f"]], [], "")))) == [
        *("a b", "c d", "e f"),
        *("", ""),
    ]
    assert texts(file(json.dumps(samples()))) == []
    assert texts(file('{"user_data": {}}')) == []


def test_a_directory_of_shards(tmp_path):
    for name, data in [("b", {"1": {"x": ["third"]}}), ("a", {"1": {"x": ["first", "second"]}})]:
        (tmp_path / f"{name}.json").write_text(json.dumps(layout(data)))
    (tmp_path / "notes.txt").write_text("mine")
    expected = [
        Message("1", None, text, i + 1) for i, text in enumerate(["first", "second", "third"])
    ]
    assert read(tmp_path) == expected


def test_a_directory_without_shards(tmp_path, refuses):
    with refuses(tmp_path, "no .json file"):
        read(tmp_path)


def test_users_are_read_one_by_one(file, refuses):
    whole = json.dumps(samples("hello there"), indent=1)
    messages = leaf_files(file(whole[:-3] + ', "anna": broken'))
    assert next(messages).text == "hello there"
    with refuses("after user 1"):
        next(messages)


@given(
    st.dictionaries(
        st.text(min_size=1).filter(str.strip), st.lists(st.text(), max_size=3), max_size=4
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(1, 40),
)
def test_any_text_comes_back_wherever_a_piece_ends(data, indent, ascii_only, piece):
    tree = layout({user: {"x": x, "y": [-1.5e3] * len(x)} for user, x in data.items()})
    content = json.dumps(tree | {"version": 12345}, indent=indent, ensure_ascii=ascii_only)
    with (
        tempfile.NamedTemporaryFile() as handle,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(json_text, "_LEAST_READ", piece)
        handle.write(content.encode())
        handle.flush()
        found = [(message.user, message.text) for message in leaf_files(handle.name)]
    assert found == [(user, text) for user, x in data.items() for text in x]


def test_every_cut_is_noticed(file, refuses):
    whole = json.dumps(samples("hello there", ["hello"]))
    for length in range(len(whole)):
        path = file(whole[:length])
        with refuses(path, "cut short", secrets=SECRETS):
            read(path)


BOB = '{"users": ["bob"], "user_data": {"bob": {"x": ["fine"], "y": [1]}, '


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["not LEAF's JSON", "user 0"]),
        ("\0\0", ["not LEAF's JSON"]),
        ("anna,hello there\n", ["not LEAF's JSON"]),
        ('["anna", "hello there"]', ["not LEAF's JSON"]),
        ('{"user": "anna", "text": "hello there"}\n' * 2, ["not LEAF's JSON", "--format jsonl"]),
        ('{"user": "anna", "text": "hello there"}', ["no user_data"]),
        ('{"user_data": [["anna", "hello there"]]}', ["not LEAF's JSON"]),
        ('{"user_data": {"anna": {"x": ["hello there"]}}} "anna"', ["not LEAF's JSON"]),
        (BOB + '"anna": {"x": ["hello there" "friend"]}}}', ["not LEAF's JSON", "after user 1"]),
        (BOB + '"anna": {"x": ["hello there\0"]}}}', ["not LEAF's JSON", "after user 1"]),
        (BOB + '"anna": {"x": ' + "[" * 200_000, ["not LEAF's JSON", "after user 1"]),
        (BOB.encode() + b'"anna": {"x": ["hello there \xe9"]}}}', ["not UTF-8"]),
        (BOB.encode("utf-16"), ["not UTF-8"]),
        (BOB + '"anna": ["hello there"]}}', ["user 2", 'no list "x"']),
        (BOB + '"anna": {"raw": "hello there"}}}', ["user 2", 'no list "x"']),
        (BOB + '"anna": {"x": "hello there"}}}', ["user 2", 'no list "x"']),
        (BOB + '"anna": {"x": ["hello there"], "y": []}}}', ["user 2", '"y"', "as long"]),
        (BOB + '" ": {"x": ["hello there"]}}}', ["user 2", "is empty"]),
        (BOB + '"anna\\udc00": {"x": ["hello there"]}}}', ["user 2", "surrogate"]),
        (BOB + '"anna": {"x": ["\\ud83d hello there"]}}}', ["user 2", "surrogate"]),
        (BOB + '"anna": {"x": ["hello there", 7]}}}', ["user 2, sample 2", "no text"]),
        (BOB + '"anna": {"x": [null]}}}', ["user 2, sample 1", "no text"]),
        (BOB + '"anna": {"x": [[0.5, 0.25]]}}}', ["user 2, sample 1", "no text"]),
        (BOB + '"anna": {"x": [[["a"], [["b"]]]]}}}', ["user 2, sample 1", "no text"]),
        (BOB + '"anna": {"x": [["7", "6 April", "q", "anna", "hello there"]]}}}', ["no text"]),
        (
            BOB + '"anna": {"x": ["hello there"], "y": [{"created_utc": "noon"}]}}}',
            ["user 2, sample 1", '"created_utc" is not a time'],
        ),
    ],
    ids=itertools.count(),  # Not the contents, of which one is long.
)
def test_refuses(content, parts, file, refuses):
    path = file(content)
    with refuses(path, *parts, secrets=SECRETS):
        read(path)


def test_a_missing_file(tmp_path, refuses):
    with refuses(tmp_path / "none.json", "no such file"):
        read(tmp_path / "none.json")
