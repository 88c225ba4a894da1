"""A tiny experiment, by the command line."""

import csv

SETTINGS = """
seed = 2
population.corpus = "chitchat"
tokenizer.vocabulary_size = 300
model = { embedding = 8, units = 16, length = 10 }
client = { learning_rate = 0.5, batch_size = 4, maximum_sentences = 12 }
server = { optimizer = "adam", learning_rate = 0.05 }
rounds = { count = 9, cohort = 4, checkpoint_every = 3, validate_every = 4, validation_users = 3 }
fleet = { over_selection = 1.25, minimum_reports = 2, deadline_minutes = 9, habits = {} }
"""


def simulate(population, out):
    return [
        *("simulate", "--config", "tiny.toml"),
        *("--population", population, "--out", out, "--json"),
    ]


def rounds(path):
    """The rows of rounds.csv without the wall-clock time."""
    with open(path / "rounds.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
