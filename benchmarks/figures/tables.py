"""Whole tables of the documents, each made of one result file."""

import statistics
from collections.abc import Iterator
from typing import Any

Values = dict[str, dict[str, Any]]

# What was wanted of the tuned experiment; set before it was measured.
AIMS = {
    "federated against kneser-ney": ("federated against Kneser-Ney", "1.05"),
    "federated against central": ("federated against all text in one place", "0.97"),
    "federated against local": ("federated against each phone alone", "1.5"),
    "personalized against federated": ("personalized against federated", "1.08"),
}
WORSE = ("users whom that makes worse, beyond noise", "2%")
# In bold, what `fedkeyboard.simulation.comparison.baselines` has.
CHOSEN_CENTRAL = {"epochs": 16, "dropout": 0.3, "weight_decay": 0.0}
CHOSEN_PERSONAL = {"learning_rate": 0.1, "batch_size": 16, "epochs": 3, "dropout": 0.0}

_MODELS = {
    "federated": "federated, {rounds:,} rounds",
    "central": "the same model, all text in one place",
    "kneser-ney": "Kneser-Ney trigram",
    "unigram": "the most frequent words",
}
_LAST = {
    "personalized": "federated, then personalized",
    "federated": "federated",
    "local": "each phone alone",
}
_RECALLS = ("top1_recall", "top3_recall", "top5_recall")
_KINDS = {"word": "words", "unigram": "pieces, unigram", "bpe": "pieces, bpe"}


def lines(name: str, values: Values) -> list[str]:
    """Returns a table's lines."""
    # Without the blank ones some readers take the markers for a part of the table.
    return ["", *TABLES[name](values), ""]


def _rows(*rows: tuple[str, ...]) -> Iterator[str]:
    """Yields the lines of a table, whose first row names the columns."""
    for i, row in enumerate(rows):
        yield "| " + " | ".join(row) + " |" if any(row[1:]) else "| " * len(row) + "|"
        if i == 0:
            yield "|---" * len(row) + "|"


def _figures(of: dict[str, float]) -> tuple[str, ...]:
    perplexity = of.get("perplexity")
    # Of phones alone it has no meaning: they have never seen most of the words.
    known = perplexity is not None and perplexity < 1000
    return (
        *(f"{of[name]:.1%}" for name in _RECALLS),
        f"{of['keystroke_savings']:.1%}",
        f"{perplexity:.1f}" if known else "-",
    )


def _default(values: Values) -> Iterator[str]:
    yield "```"
    yield from values["default"]["printed"]
    yield "```"


_HEADER = ("top-1 recall", "top-3", "top-5", "keystrokes saved", "perplexity")


def _quality_whole(values: Values) -> Iterator[str]:
    of = values["quality"]
    rows = []
    for name, title in _MODELS.items():
        seeds = [row["all_sentences"][name]["top1_recall"] for row in of["rows"]]
        top1, *others = _figures(of["whole"][name])
        # Only what is trained depends on a seed.
        if len(set(seeds)) > 1:
            top1 += f" ({', '.join(f'{100 * seed:.1f}' for seed in seeds)})"
        rounds = of["rows"][0]["settings"]["rounds"]["count"]
        rows.append((title.format(rounds=rounds), top1, *others))
    yield from _rows(("all test users, all sentences", *_HEADER), *rows)


def _quality_last(values: Values) -> Iterator[str]:
    of = values["quality"]
    users = of["personal_users"]
    yield from _rows(
        (f"{users} of them, last fifth of their sentences", *_HEADER),
        *((title, *_figures(of["last"][name])) for name, title in _LAST.items()),
    )


def _quality_ratios(values: Values) -> Iterator[str]:
    of = values["quality"]
    seeds = [f"seed {row['seed']}" for row in of["rows"]]
    rows = []
    for name, (title, aim) in AIMS.items():
        ratios = [
            ratio["ratio"]
            for row in of["rows"]
            for ratio in row["ratios"]
            if f"{ratio['model']} against {ratio['against']}" == name
        ]
        mean = of["mean_ratios"][name]
        places = 2 if mean > 2 else 3
        rows.append((title, *(f"{ratio:.{places}f}" for ratio in (*ratios, mean)), aim))
    worse = [row["personal"]["users_worse_beyond_noise"] for row in of["rows"]]
    worse.append(of["users_worse_beyond_noise"])
    rows.append((WORSE[0], *(_share(share) for share in worse), WORSE[1]))
    yield from _rows(("top-1 recall", *seeds, "mean", "aim"), *rows)


def _share(of: float) -> str:
    return f"{of:.1%}" if of else "0"


def _subwords(values: Values) -> Iterator[str]:
    by = values["subwords"]["by"]
    rows = []
    for kind, title in _KINDS.items():
        unknown = by[kind]["by_frequency"]["out of vocabulary"]["top3_recall"]
        figures = (f"{by[kind][name]:.2%}" for name in _RECALLS)
        rows.append((title, *figures, f"{unknown:.0%}"))
    entries = by["word"]["entries"]
    outside = f"of words outside the {entries:,}, top-3"
    yield from _rows(("entries", "top-1 recall", "top-3", "top-5", outside), *rows)


def _central_settings(values: Values) -> Iterator[str]:
    tried = values["baseline_settings"]["central"]
    rows = []
    for row in tried:
        settings = row["settings"]
        title = f"{settings['epochs']} epochs, dropout {settings['dropout']}"
        if settings["weight_decay"]:
            title += f", AdamW's decay {settings['weight_decay']}"
        perplexity, recall = f"{row['perplexity']:.1f}", f"{row['top1_recall']:.2%}"
        rows.append((_bold(title, settings, CHOSEN_CENTRAL), str(row["epoch"]), perplexity, recall))
    of = tried[0]["settings"]
    title = f"all text in one place: Adam, rate {of['learning_rate']}, batch {of['batch_size']}"
    yield from _rows((title, "best epoch", "perplexity", "top-1 recall"), *rows)


def _personal_settings(values: Values) -> Iterator[str]:
    tried = values["baseline_settings"]["personalized"]
    usual = statistics.mode(row["settings"]["batch_size"] for row in tried)
    rows = []
    for row in tried:
        settings = row["settings"]
        epochs = settings["epochs"]
        title = f"rate {settings['learning_rate']}, {epochs} epoch{'s' * (epochs > 1)}"
        if settings["batch_size"] != usual:
            title += f", batch {settings['batch_size']}"
        if settings["dropout"]:
            title += f", dropout {settings['dropout']}"
        rows.append(
            (
                _bold(title, settings, CHOSEN_PERSONAL),
                _share(row["relative_gain"]),
                f"{row['users_worse']:.0%}",
                _share(row["users_worse_beyond_noise"]),
            )
        )
    clipping = tried[0]["settings"]["clipping_norm"]
    title = f"trained on by each user: SGD, batch {usual}, clipping {clipping}"
    yield from _rows((title, "gain in top-1 recall", "users worse off", "beyond noise"), *rows)


def _bold(title: str, settings: dict[str, Any], chosen: dict[str, Any]) -> str:
    return f"**{title}**" if chosen.items() <= settings.items() else title


def _phone(values: Values) -> Iterator[str]:
    header = ("file", "stored as", "bytes", "`step`, p50 / p99 ms", "`train`, 8 sentences, p50 ms")
    rows = []
    for kind in ("infer", "train"):
        by = values["phone"]["by"][kind]
        for stored in sorted(by, key=lambda name: by[name]["bytes"]):
            row, of = by[stored], by[stored]["milliseconds"]
            step = f"{of['step']['p50']:.3f} / {of['step']['p99']:.3f}"
            train = f"{of['train, 8 sentences']['p50']:.1f}" if kind == "train" else "-"
            rows.append((f"`{row['file']}`", stored, f"{row['bytes']:,}", step, train))
    yield from _rows(header, *rows)


def _engine(values: Values) -> Iterator[str]:
    by = values["engine"]["by"]
    cohorts = list(by)
    each = by[cohorts[0]]
    first = ("fedkeyboard", "fedkeyboard, bfloat16")
    others = sorted((name for name in each if name not in first), key=lambda of: each[of]["times"])
    rows = []
    for name in (*first, *others):
        figures = (by[cohort].get(name) for cohort in cohorts)
        cells = (f"{of['seconds_per_round']:.2f} ({of['times']:.2f})" for of in figures if of)
        rows.append((name, *cells))
    ceiling = (f"{by[cohort]['fedkeyboard']['fraction_of_ceiling']:.2f}" for cohort in cohorts)
    rows.append(("of the ceiling, fedkeyboard", *ceiling))
    yield from _rows(("seconds a round (times as long as fedkeyboard)", *cohorts), *rows)


def _memory(values: Values) -> Iterator[str]:
    of = values["memory"]
    see = "see [performance](../docs/performance.md#memory)"
    (few, least), (many, most) = sorted(of["peaks"].items())
    (early, before), (late, after) = sorted(of["after"].items())
    yield from _rows(
        ("memory", "MB"),
        (f"peak of a round, {few:,} phones", f"{least:,}"),
        (f"peak of a round, {many:,} phones", f"{most:,} ({of['peak_ratio']:.2f} times)"),
        (f"default experiment, after {early:,} rounds", f"{before:,}"),
        (
            f"default experiment, after {late:,} rounds",
            f"{after:,} ({of['after_ratio']:.2f} times; {see})",
        ),
    )


TABLES = {
    "default": _default,
    "quality-whole": _quality_whole,
    "quality-last-fifth": _quality_last,
    "quality-ratios": _quality_ratios,
    "subwords": _subwords,
    "central-settings": _central_settings,
    "personal-settings": _personal_settings,
    "phone": _phone,
    "engine": _engine,
    "memory": _memory,
}
# Of which file a table is.
SOURCES = {
    name: name.partition("-")[0] if name.startswith("quality") else name for name in TABLES
} | {"central-settings": "baseline_settings", "personal-settings": "baseline_settings"}
