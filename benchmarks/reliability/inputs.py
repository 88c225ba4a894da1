"""Bad input by the hundred: settings, options, texts, populations, damaged runs.

Each must be refused in one line, or be taken and do what it says; nothing may hang or be an
internal error.
"""

import gzip
import itertools
import json
import lzma
import os
import pathlib
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.reliability import commands, ground
from benchmarks.reliability.cases import Case
from benchmarks.reliability.ground import Ground

Prepare = Callable[[pathlib.Path], object]

_VALUES = (
    *("0", "-1", "1e39", "-1e-39", "nan", "inf", "1" + "0" * 30, "1" * 5000, '"text"', "true"),
    *("[]", "{}", "", "1979-05-27", '"""', "1e-400", "0.5", "2147483648", "9223372036854775807"),
)
_KEYS = (
    *("seed", "tokenizer.vocabulary_size", "tokenizer.minimum_users", "model.embedding"),
    *("model.units", "model.length", "client.learning_rate", "client.batch_size"),
    *("client.epochs", "client.clipping_norm", "client.maximum_sentences", "client.dropout"),
    *("server.learning_rate", "server.momentum", "server.epsilon", "server.weight_decay"),
    *("server.warmup_rounds", "server.decay_rounds", "rounds.count", "rounds.cohort"),
    *("rounds.checkpoint_every", "rounds.validate_every", "rounds.validation_users"),
    *("rounds.validation_sentences", "fleet.over_selection", "fleet.cycle", "fleet.dropout"),
    *("fleet.deadline_minutes", "fleet.reuse_hours", "fleet.minimum_memory_gb"),
    *("runtime.threads", "runtime.concurrent_clients", "population.phones", "client.algorithm"),
    *("population.file", "tokenizer.kind", "fleet.sampling", "no.such.key", "model"),
)
_SMALL = ("--set", "rounds.count=1")


def cases(made: Ground, count: int, generator: np.random.Generator) -> Iterator[Case]:
    """Yields so many cases: the fixed ones, and settings drawn from all keys and values."""
    fixed = [*_options(), *_tomls(), *_texts(), *_populations(made), *_runs(made)]
    if count < len(fixed):
        fixed = [fixed[i] for i in generator.permutation(len(fixed))[:count]]
    settings = [
        (f"--set {key}={value[:20]}", (*ground.SIMULATE, *_SMALL, "--set", f"{key}={value}"), None)
        for key, value in itertools.product(_KEYS, _VALUES)
    ]
    drawn = [settings[i] for i in generator.permutation(len(settings))[: count - len(fixed)]]
    for number, (name, arguments, prepare) in enumerate([*fixed, *drawn]):
        yield Case(f"{number}: {name}", _attempt(made, arguments, prepare))


def _attempt(
    made: Ground, arguments: Sequence[str], prepare: Prepare | None
) -> Callable[[], tuple[str, str | None]]:
    def attempt() -> tuple[str, str | None]:
        with made.copy("tiny.toml", "tiny.sqlite", "messages.csv") as place:
            begins = arguments[:1] == ("simulate",)
            if "run" in arguments and not begins:
                shutil.copytree(made.directory / "run", place / "run")
            if prepare is not None:
                prepare(place)
            outcome = commands.run(arguments, place)
            fault = outcome.fault
            begun = (place / "run/config.toml").exists() and "diverged" not in outcome.err
            anew = begins and "--resume" not in arguments
            if not fault and anew and outcome.code == 2 and begun:
                fault = "refused, and a run directory left"
        return f"exit {outcome.code}", fault

    return attempt


def _options() -> Iterator[tuple[str, tuple[str, ...], Prepare | None]]:
    for words in (
        *("", "simulat", "--verson", "simulate", "simulate --config", "simulate --config none"),
        *("simulate --config .", "simulate --config /dev/null", "simulate --resume --out none"),
        *("evaluate", "evaluate none", "evaluate .", "evaluate run --split all", "export none"),
        *("export run --precision int4", "export run --sentences 0", "verify none", "verify ."),
        *("suggest none hi", "suggest run", "personalize none", "personalize run --epochs x"),
        *("personalize run --learning-rate nan", "personalize run --learning-rate -1"),
        *("personalize run --epochs 1000000000000000000000", "personalize run --batch-size 0"),
        *(
            "update run none.txt --out u.npz",
            "update run tiny.toml --out .",
            "update run . --out u",
        ),
        *("update run tiny.toml --out u.npz --learning-rate 1e20", "aggregate run --out next"),
        *("update run tiny.toml --out u.npz --learning-rate nan", "aggregate run none --out next"),
        *("aggregate run tiny.toml --out next", "baseline none run", "baseline local none"),
        *("compare", "compare none", "compare run --out page.txt", "population stats none"),
        *("population stats tiny.toml", "population stats tiny.sqlite --sample 0", "sweep"),
        *("sweep --config tiny.toml", "sweep --config none", "fleet --config tiny.toml --rounds 0"),
        *("prepare --out x.sqlite", "prepare --input none --out x.sqlite", "prepare --input ."),
        *(
            "prepare --corpus chitchat --input messages.csv --out x",
            "prepare --corpus other --out x",
        ),
        *(
            "prepare --input messages.csv --out .",
            "prepare --input messages.csv --out messages.csv",
        ),
        *(
            "prepare --input messages.csv --out /proc/x.sqlite",
            "simulate --set a --config tiny.toml",
        ),
        *(
            f"prepare --input messages.csv --user-column who --text-column said --out x {more}"
            for more in ("--max-sentences 1", "--seed -1", "--phones 0", "--phones 99999999999")
        ),
    ):
        yield words or "nothing", tuple(words.split()), None
    newline = (*ground.SIMULATE, "--set", "seed=1\nrounds.count=7")
    yield "a line break in --set", newline, None


def _tomls() -> Iterator[tuple[str, tuple[str, ...], Prepare | None]]:
    contents: dict[str, bytes] = {
        "empty": b"",
        "no TOML": b"{",
        "binary": bytes(range(256)),
        "UTF-16": ground.SETTINGS.encode("utf-16"),
        "a 5,000-digit integer": b"seed = " + b"1" * 5000,
        "20,000 brackets": b"seed = " + b"[" * 20_000,
        "20,000 nested tables": b"[" + b".".join([b"a"] * 20_000) + b"]",
        "a key twice": b"seed = 1\nseed = 2",
        "8 MB": b"#" * (8 << 20),
        "NUL": ground.SETTINGS.encode() + b"\0",
        "an escape": b'seed = "\x1b[31m"',
        "a table for a number": b"[seed]\na = 1",
    }
    for name, content in contents.items():
        write = lambda place, content=content: (place / "bad.toml").write_bytes(content)  # noqa: E731
        yield f"TOML: {name}", ("simulate", "--config", "bad.toml", "--out", "run"), write
        yield f"sweep: {name}", ("sweep", "--config", "bad.toml", "--out", "tuned"), write
    for name, make in _SPECIAL.items():
        arguments = ("simulate", "--config", "bad.toml", "--out", "run")
        yield f"TOML: {name}", arguments, lambda place, make=make: make(place / "bad.toml")


_SPECIAL: dict[str, Callable[[pathlib.Path], object]] = {
    "a pipe": os.mkfifo,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a directory": lambda path: path.mkdir(),
    "a broken link": lambda path: path.symlink_to("nowhere"),
}


def _texts() -> Iterator[tuple[str, tuple[str, ...], Prepare | None]]:
    row = b'{"user": "a", "text": "some words here"}\n'
    header = b"user,text\n"
    contents: dict[str, bytes] = {
        "empty.csv": b"",
        "header.csv": header,
        "binary.csv": bytes(range(256)) * 50,
        "headerless.csv": b"anna,hello you\nbob,and you too\n" * 10,
        "quote.csv": header + b'a,"never closed\n' * 100,
        "fields.csv": header + b"a,b,c,d\n" * 10,
        "latin.csv": header + "a,grüße an alle\n".encode("latin-1") * 10,
        "utf16.csv": (header.decode() + "a,some words\n" * 10).encode("utf-16"),
        "twice.csv": b"user,user,text\na,b,c d e\n",
        "nul.csv": header + b"a,some\0words\n",
        "long.csv": header + b"a," + b"x" * (3 << 20) + b"\n",
        "empty.jsonl": b"",
        "no.jsonl": b"no json\n",
        "deep.jsonl": b'{"user": "a", "text": ' + b"[" * 100_000 + b"\n",
        "digits.jsonl": b'{"user": ' + b"1" * 6000 + b', "text": "some words"}\n',
        "half.jsonl": b'{"user": "a", "text": "\\ud800 words"}\n' * 10,
        "array.jsonl": b"[1]\n" * 10,
        "keys.jsonl": b'{"anna": "hello there"}\n' * 10,
        "one.jsonl": row * 3,
        "no.parquet": b"PAR1" + b"\0" * 100 + b"PAR1",
        "no.json": b"{",
        "deep.json": b"[" * 100_000,
        "leaf.json": b'{"users": ["a"], "num_samples": [1], "user_data": {"a": {"x": [[]]}}}',
        "users.json": b'{"users": 5}',
        "no.sqlite": b"SQLite format 3\0" + b"\xff" * 5000,
        "short.db": b"SQLite format 3\0",
        "cut.csv.gz": gzip.compress(header + b"a,some words\n" * 1000)[:100],
        "no.csv.gz": b"no gzip",
        "line.csv.gz": gzip.compress(header + b"a," + b"x" * (50 << 20), 1),
        "no.jsonl.xz": lzma.compress(b"no json\n" * 10),
        "cut.jsonl.xz": lzma.compress(row * 1000)[:60],
        "no.csv.zst": b"\x28\xb5\x2f\xfd" + b"\xff" * 50,
        "no.zip": b"PK\x03\x04" + b"\0" * 50,
        "messages.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cc">]><smses>&b;</smses>',
        "no.xml": b"<smses><sms",
        "chat.txt": b"no chat at all\n" * 10,
        "no.ending": row * 10,
        "times.csv": b"user,text,time\na,some words here,yesterday\n" * 5,
    }
    for name, content in contents.items():
        arguments = ("prepare", "--input", name, "--out", "out.sqlite", "--json")
        if name == "times.csv":
            arguments += ("--time-column", "time")
        yield (
            f"text: {name}",
            arguments,
            lambda place, name=name, content=content: (place / name).write_bytes(content),
        )
    for ending in ("csv", "jsonl", "parquet", "json", "sqlite"):
        for name, make in _SPECIAL.items():
            if name == "a pipe":
                continue  # It may be read, and nobody writes into this one.
            yield (
                f"text: {name}, .{ending}",
                ("prepare", "--input", f"bad.{ending}", "--out", "out.sqlite"),
                lambda place, make=make, ending=ending: make(place / f"bad.{ending}"),
            )

    def zipped(place: pathlib.Path) -> None:
        with zipfile.ZipFile(place / "two.zip", "w") as archive:
            archive.writestr("a.csv", "user,text\n")
            archive.writestr("b.csv", "user,text\n")

    yield "text: two members", ("prepare", "--input", "two.zip", "--out", "o.sqlite"), zipped


def _populations(made: Ground) -> Iterator[tuple[str, tuple[str, ...], Prepare | None]]:
    statements = {
        "a recursive view": "DROP TABLE sentence; CREATE VIEW sentence AS WITH RECURSIVE n(user, "
        "position, time, text) AS (SELECT 0, 0, NULL, 'a b' UNION ALL SELECT user, position + 1, "
        "time, text FROM n) SELECT * FROM n",
        "a trigger": "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END",
        "BLOB text": "UPDATE sentence SET text = CAST(x'ff00ff' AS BLOB)",
        "numbers for text": "UPDATE sentence SET text = 5",
        "text of 100 MB": "UPDATE sentence SET text = hex(zeroblob(50000000)) WHERE user = 0",
        "times of text": "UPDATE sentence SET time = 'now'",
        "no sentences": "DELETE FROM sentence",
        "no meta": "DELETE FROM meta",
        "meta no JSON": "UPDATE meta SET value = 'x'",
        "meta deep": "UPDATE meta SET value = replace(hex(zeroblob(50000)), '00', '[')",
        "10^18 phones": "UPDATE meta SET value = "
        "replace(value, '\"last\": ', '\"last\": 9999999999') WHERE key = 'splits'",
        "a fingerprint of bytes": "UPDATE meta SET value = x'00' WHERE key = 'fingerprint'",
        "another table": "CREATE TABLE more (a)",
    }
    readers = (
        ("population", "stats", "bad.sqlite"),
        (*ground.SIMULATE[:3], "--population", "bad.sqlite", "--out", "run", *_SMALL),
    )
    for (name, script), reader in itertools.product(statements.items(), readers):

        def change(place: pathlib.Path, script: str = script) -> None:
            shutil.copy2(place / "tiny.sqlite", place / "bad.sqlite")
            connection = sqlite3.connect(place / "bad.sqlite")
            connection.executescript(script)
            connection.close()

        yield f"population: {name}, {reader[0]}", reader, change
    for size in (0, 50, 100, 5000):

        def cut(place: pathlib.Path, size: int = size) -> None:
            content = (place / "tiny.sqlite").read_bytes()
            (place / "bad.sqlite").write_bytes(content[:size])

        yield f"population: cut to {size} bytes", readers[0], cut
    for name, make in _SPECIAL.items():
        yield (
            f"population: {name}",
            readers[0],
            lambda place, make=make: make(place / "bad.sqlite"),
        )


def _runs(made: Ground) -> Iterator[tuple[str, tuple[str, ...], Prepare | None]]:
    """A run whose files are gone, empty, cut or something else."""
    moved = ("--population", "tiny.sqlite")
    readers = {
        "config.toml": ("evaluate", "run", *moved),
        "population.json": ("evaluate", "run", *moved),
        "tokenizer.model": ("evaluate", "run", *moved),
        "vocabulary.txt": ("evaluate", "run", *moved),
        "weights.npz": ("export", "run", *moved),
        "metrics.json": ("export", "run", *moved),
        "rounds.csv": (*ground.RESUME, *moved),
        "export/manifest.json": ("suggest", "run", "how are"),
        "export/model_infer.tflite": ("suggest", "run", "how are"),
        "export/vocabulary.txt": ("suggest", "run", "how are"),
        "export/golden.json": ("verify", "run"),
        "export/model_train.tflite": ("update", "run", "tiny.toml", "--out", "u.npz"),
    }
    harms: dict[str, Callable[[pathlib.Path], object]] = {
        "gone": lambda path: path.unlink(),
        "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
        "JSON": lambda path: path.write_text(json.dumps({"a": [1] * 1000})),
        "/dev/zero": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        "a directory": lambda path: (path.unlink(), path.mkdir()),
    }
    for (name, reader), (harm, do) in itertools.product(readers.items(), harms.items()):
        if reader[:2] == ground.RESUME[:2]:
            copy = lambda place, name=name, do=do: (  # noqa: E731
                shutil.copytree(made.directory / "run", place / "run"),
                do(place / "run" / name),
            )
            yield f"run: {name} {harm}", reader, copy
        else:
            yield (
                f"run: {name} {harm}",
                reader,
                lambda place, name=name, do=do: do(place / "run" / name),
            )
