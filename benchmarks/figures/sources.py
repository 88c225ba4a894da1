"""What figures come from: committed result files and experiments, by name, in handy keys.

A value has the place that it has in its file, as `str.format` writes it:
`{quality[mean_ratios][federated against local]:.2f}`. Where a file has rows in a list, or a text
tells what follows from two values, more keys stand beside those of the file.
"""

import collections
import json
import pathlib
import statistics
import tomllib
from collections.abc import Callable
from typing import Any

Value = dict[str, Any]

# Beside these, each file in `benchmarks/results/`, by its stem.
_OTHERS = {
    "reliability": "benchmarks/reliability/results.json",
    "chitchat": "simulation/configs/chitchat.toml",
    "chitchat_full": "simulation/configs/chitchat_full.toml",
    "gboard": "simulation/configs/gboard.toml",
    "characters": "fedkeyboard/text/characters.json",
}


def files(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the file of each name."""
    results = sorted((root / "benchmarks/results").glob("*.json"))
    # What a quick benchmark leaves here is not committed.
    of_stems = {path.stem: path for path in results if not path.stem.endswith("-quick")}
    return of_stems | {name: root / path for name, path in _OTHERS.items()}


def read(root: pathlib.Path) -> dict[str, Value]:
    """Returns the values of each file, by its name."""
    values = {}
    for name, path in files(root).items():
        text = path.read_text(encoding="utf-8")
        of = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        size = path.stat().st_size
        values[name] = of | {"file_kilobytes": size / 1e3, "file_megabytes": size / 1e6}
        values[name] |= _MORE.get(name, lambda _: {})(of)
    return values


def _engine(of: Value) -> Value:
    by: dict[str, Value] = collections.defaultdict(dict)
    for row in of["rows"]:
        ours = by[row["cohort"]].get("fedkeyboard", row)["seconds_per_round"]
        by[row["cohort"]][row["framework"]] = row | {
            "times": row["seconds_per_round"] / ours,
            "of_the_ceilings_time": 1 / row["fraction_of_ceiling"],
            "faster": ours / row["seconds_per_round"],
        }
    return {"by": dict(by), "rounds": len(of["rows"][0]["measurements"])}


def _memory(of: Value) -> Value:
    peaks = {row["phones"]: row["peak_memory_mb"] for row in of["by_cohort"]}
    after = {row["rounds"]: row["memory_mb"] for row in of["by_round"]}
    return {
        "peaks": peaks,
        "after": after,
        "few": min(peaks),
        "many": max(peaks),
        "early": min(after),
        "late": max(after),
        "first_mb": after[min(after)],
        "last_mb": after[max(after)],
        "peak_ratio": peaks[max(peaks)] / peaks[min(peaks)],
        "after_ratio": after[max(after)] / after[min(after)],
    }


def _bfloat16(of: Value) -> Value:
    recall = collections.defaultdict(list)
    for row in of["rows"]:
        recall["bfloat16" if row["bfloat16"] else "float32"].append(row["top1_recall"])
    return {"mean_recall": {name: statistics.mean(of) for name, of in recall.items()}}


def _fleet(of: Value) -> Value:
    built = {row["phones"]: row for row in of["build"]}
    text = built[min(built)]["megabytes"]
    draws: dict[int, Value] = collections.defaultdict(dict)
    for row in of["draw_and_read"]:
        # An attribute of `str.format` has no dot.
        draws[row["phones"]][row["config"].removesuffix(".toml")] = row["milliseconds"]
    return {
        "built": built,
        "draws": dict(draws),
        # The smallest file is as good as its text alone.
        "text_mb": text,
        "bytes_a_phone": (built[max(built)]["megabytes"] - text) * 1e6 / max(built),
    }


def _phone(of: Value) -> Value:
    by: dict[str, Value] = {"infer": {}, "train": {}}
    for row in of["rows"]:
        kind = row["file"].removeprefix("model_").removesuffix(".tflite")
        by[kind][row["stored"]] = row | {"megabytes": row["bytes"] / 1e6}
    recall = {name: value["top1_recall"] for name, value in of["accuracy"]["inference"].items()}
    steps = {
        kind: {name: row["milliseconds"]["step"]["p50"] for name, row in rows.items()}
        for kind, rows in by.items()
    }
    checks = by["infer"]["int8"]["checks"]
    return {
        "by": by,
        "int8_costs": recall["int8"] / recall["float32"] - 1,
        "package_mb": float(checks["files"].split()[2].replace(",", "")) / 1e6,
        "nats": float(checks["weights, inference"].split()[1]),
        "golden_texts": int(checks["golden texts"].split()[0]),
        "local_step": max(
            float(row["checks"]["a local step"].split()[2]) for row in by["train"].values()
        ),
        "learning_files_step": steps["train"]["int8"] / steps["infer"]["float32"],
    }


def _subwords(of: Value) -> Value:
    by = {row["kind"]: row for row in of["rows"]}
    for row in of["rows"]:
        # For a range of which only the end has its sign.
        ends = row["intervals"]["top1_recall"]
        row["intervals"]["top1_percent"] = [100 * end for end in ends]
    bands = by["word"]["by_frequency"]
    words = sum(band["targets"] for band in bands.values())
    unknown = bands["out of vocabulary"]["targets"]
    return {"by": by, "unknown_words": unknown, "unknown_share": unknown / words}


def _quality(of: Value) -> Value:
    whole, last = of["mean_figures"]["all_sentences"], of["mean_figures"]["last_fifth"]
    before, after = last["federated"], last["personalized"]
    return {
        "whole": whole,
        "last": last,
        "personal_users": of["rows"][0]["personal"]["users"],
        "weights": _weights(of["rows"][0]["settings"]),
        "perplexity_falls": 1 - after["perplexity"] / before["perplexity"],
        "top3_rises": after["top3_recall"] / before["top3_recall"] - 1,
    }


def _weights(settings: Value) -> Value:
    width, units = settings["model"]["embedding"], settings["model"]["units"]
    # The vocabulary's words, and the four special entries.
    entries = settings["tokenizer"]["vocabulary_size"] + 4
    # Embedding and output bias; three gates of input, output and bias; the projection.
    count = entries * (width + 1) + 3 * units * (2 * width + 1) + units * width
    return {"millions": count / 1e6, "megabytes": 4 * count / 1e6}


def _reliability(of: Value) -> Value:
    parts = [part for part in of.values() if isinstance(part, dict) and "cases" in part]
    # The rounds are one case more.
    faults = sum(part["faults"] for part in parts) + bool(of["rounds"]["fault"])
    return {"all_cases": sum(part["cases"] for part in parts) + 1, "all_faults": faults}


_MORE: dict[str, Callable[[Value], Value]] = {
    "engine": _engine,
    "memory": _memory,
    "bfloat16": _bfloat16,
    "fleet": _fleet,
    "phone": _phone,
    "subwords": _subwords,
    "quality": _quality,
    "reliability": _reliability,
}
