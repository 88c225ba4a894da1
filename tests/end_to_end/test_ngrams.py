"""A run's n-grams, from its training users to what its package suggests."""

import json
import shutil

from commands import fails, process, succeeds

from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.simulation import runs


def test_a_run_has_what_enough_training_users_wrote(run):
    opened = runs.open_run(run)
    ngrams, least = opened.ngrams(), opened.config.ngrams.minimum_users
    assert least == opened.config.tokenizer.minimum_users
    with opened.open_population() as population:
        users = [
            {
                pair
                for row in opened.tokenizer.text(population.sentences(user), 2).words.tolist()
                for pair in zip(row, row[1:], strict=False)
                if pair[1]
            }
            for user in population.users("train")
        ]
    size = ngrams.trie.vocabulary
    pairs = {divmod(key, size) for key in ngrams.trie.keys[0].tolist()}
    assert len(pairs) > 50 and len(ngrams.codes) == 2
    for pair in pairs:
        assert sum(pair in of_user for of_user in users) >= least
    assert sum(sum(p in u for u in users) >= least for p in set().union(*users)) == len(pairs)
    assert (run / "export/ngrams.bin").read_bytes() == ngrams.dump()


def test_a_finished_run_loses_and_gets_its_ngrams(run, place):
    """By `--resume`, without training: figures without them are the model's, then as before."""
    copy = shutil.copytree(run, place / "lost")
    before = json.loads((copy / "metrics.json").read_text())
    resume = ("simulate", "--resume", "--out", copy)
    alone = process(*resume, "--set", "ngrams.order=0", cwd=place)
    assert alone.returncode == 0, alone.stderr
    assert runs.open_run(copy).ngrams() is None and not (copy / "ngrams.bin").exists()
    none = NGrams.none(len(runs.open_run(copy).tokenizer)).dump()
    assert (copy / "export/ngrams.bin").read_bytes() == none
    without = json.loads((copy / "metrics.json").read_text())
    assert without["perplexity"] > before["perplexity"]
    again = process(*resume, "--set", "ngrams.order=3", cwd=place)
    assert again.returncode == 0, again.stderr
    assert "n-grams     " in again.stderr
    assert json.loads((copy / "metrics.json").read_text()) == before
    assert (copy / "ngrams.bin").read_bytes() == (run / "ngrams.bin").read_bytes()


def test_a_model_that_is_still_alone_is_said_to_be(run, place):
    """As of a run that is stopped before its end; it is exported and evaluated as it is."""
    copy = shutil.copytree(run, place / "stopped")
    (copy / "ngrams.bin").unlink()
    done = process("export", copy, cwd=place)
    assert done.returncode == 0 and "this is the model alone" in done.stderr
    assert len((copy / "export/ngrams.bin").read_bytes()) < len((run / "ngrams.bin").read_bytes())


def test_damaged_ngrams_are_named(run, place):
    copy = shutil.copytree(run, place / "damaged")
    content = bytearray((copy / "ngrams.bin").read_bytes())
    content[-1] ^= 1
    (copy / "ngrams.bin").write_bytes(content)
    line = fails(1, "evaluate", copy)
    assert "ngrams.bin" in line and "--resume" in line


def test_the_package_suggests_by_them(run, place):
    """What it says differs from what it says without them, by the same weights."""
    copy = shutil.copytree(run / "export", place / "package")
    said = json.loads(succeeds("suggest", copy, "how are", "--json"))
    golden = json.loads((copy / "golden.json").read_text())["examples"]
    (example,) = (each for each in golden if each["text"] == "How are you")
    assert example["ngrams"]["kept"] < 1 and example["ngrams"]["added"]
    assert len(said) == 3 and all(0 < each["probability"] < 1 for each in said)
    (copy / "ngrams.bin").unlink()
    assert "ngrams.bin" in fails(2, "suggest", copy, "how are")
