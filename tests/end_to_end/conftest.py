"""A population of real messages and a run on it, made by the commands; once a file of tests."""

import csv
import json
import pathlib

import pytest
from commands import process, succeeds
from tiny_runs import SETTINGS, simulate


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("place")
    (directory / "tiny.toml").write_text(SETTINGS)
    return directory


@pytest.fixture(scope="module")
def population(place, few_messages):
    """Made by `fedkeyboard prepare` from a CSV file of real messages."""
    with open(place / "messages.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["who", "said", "when"])
        writer.writerows((m.user, m.text, m.time) for m in few_messages)
    columns = ["--user-column", "who", "--text-column", "said", "--time-column", "when"]
    summary = json.loads(
        succeeds(
            "prepare",
            "--input",
            "messages.csv",
            "--out",
            "tiny.sqlite",
            *columns,
            "--max-sentences",
            40,
            "--json",
            cwd=place,
        )  # fmt: skip
    )
    assert summary["phones"]["train"] > 20
    return place / "tiny.sqlite"


@pytest.fixture(scope="module")
def run(place, population):
    result = json.loads(succeeds(*simulate(population, "unbroken"), run=process, cwd=place))
    assert result["run"] == str(pathlib.Path("unbroken"))
    return place / "unbroken"
