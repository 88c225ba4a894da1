"""A package takes the place of an older one, and of nothing else; what fails leaves that one."""

import contextlib
import json
import math
import pathlib

import numpy as np
import pytest
from packages import contents

from fedkeyboard import files, model
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.tflite_export import golden, package, parity, verify
from fedkeyboard.tflite_export import manifest as manifests

pytestmark = pytest.mark.usefixtures("probed_once")


def test_an_older_package_is_replaced(export, package_in, tmp_path, make_weights, sizes):
    directory = tmp_path / "export"
    before = package_in(directory)
    # A file that an older version's manifest has.
    (directory / "of_an_older_version.txt").write_text("old")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["of_an_older_version.txt"] = {}
    manifest["format"]["version"] = 1
    (directory / "manifest.json").write_text(json.dumps(manifest))
    export(directory, weights=make_weights(sizes, seed=1))
    after = contents(directory)
    assert set(after) == set(before)
    assert after["model_infer.tflite"] != before["model_infer.tflite"]
    assert list(tmp_path.iterdir()) == [directory]


def test_an_empty_directory_and_a_link_are_filled(export, tmp_path):
    directory, link = tmp_path / "export", tmp_path / "latest"
    directory.mkdir()
    link.symlink_to(directory)
    export(link)
    assert link.is_symlink() and manifests.load(link) == manifests.load(directory)


@pytest.mark.parametrize("manifest", [None, "{}", "no json", "[]", '{"format": {"name": "x"}}'])
def test_a_directory_of_something_else_is_left_alone(export, tmp_path, manifest):
    directory = tmp_path / "thesis"
    directory.mkdir()
    (directory / "chapter1.txt").write_text("mine")
    if manifest is not None:
        (directory / "manifest.json").write_text(manifest)
    before = contents(directory)
    with pytest.raises(UserError, match="thesis: holds .* not a phone package's"):
        export(directory)
    assert contents(directory) == before
    with pytest.raises(UserError, match="is a file"):
        export(directory / "chapter1.txt")


def refuse(*_):
    raise RunFailure("refused")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (parity, "check"),
        (verify.convert, "check_operators"),
        (golden, "examples"),
        (package.importlib.metadata, "version"),
    ],
)
def test_a_failed_export_leaves_the_old_package(
    export, package_in, tmp_path, monkeypatch, place, name
):
    directory = tmp_path / "export"
    before = package_in(directory)
    monkeypatch.setattr(place, name, refuse)
    with pytest.raises(RunFailure, match="refused"):
        export(directory)
    assert contents(directory) == before
    assert list(tmp_path.iterdir()) == [directory]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["old", "export"])
def test_a_failed_swap_leaves_the_old_package(
    export, package_in, tmp_path, monkeypatch, failing, error
):
    directory = tmp_path / "export"
    before = package_in(directory)
    rename, failed = pathlib.Path.rename, []

    def rename_badly(self, to):
        if pathlib.Path(to).name == failing and not failed:
            failed.append(to)
            raise error
        return rename(self, to)

    monkeypatch.setattr(pathlib.Path, "rename", rename_badly)
    expected = RunFailure if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is RunFailure else None):
        export(directory)
    assert failed
    assert contents(directory) == before
    assert list(tmp_path.iterdir()) == [directory]


def test_what_a_killed_process_left_is_taken_up(export, package_in, tmp_path, monkeypatch):
    directory = tmp_path / "export"
    before = package_in(directory)
    left = tmp_path / ".export.abc.part"
    (left / "new").mkdir(parents=True)
    directory.rename(left / "old")
    busy = tmp_path / ".export.def.part"
    (busy / "new").mkdir(parents=True)
    monkeypatch.setattr(verify, "verify", refuse)
    with files.locked(busy), pytest.raises(RunFailure, match="refused"):
        export(directory)
    assert contents(directory) == before
    assert sorted(tmp_path.iterdir()) == [busy, directory]


def test_of_what_others_are_making_nothing_is_taken_up(tmp_path):
    """Whichever of all that is found comes first."""
    busy = []
    with contextlib.ExitStack() as held:
        for number in range(8):
            beside = tmp_path / f".export.{number}.part"
            (beside / "new").mkdir(parents=True)
            if number % 2:
                held.enter_context(files.locked(beside))
                busy.append(beside)
        package._take_up(tmp_path / "export")
        assert sorted(tmp_path.iterdir()) == busy


def test_what_json_has_not_is_not_written(tmp_path):
    for name in ("golden.json", "manifest.json"):
        with pytest.raises(RunFailure, match=f"{name}: holds a number that JSON has not"):
            package._write_json(tmp_path / name, {"loss": math.nan})
    assert not list(tmp_path.iterdir())


def test_the_package_is_never_a_mixture(
    export, package_in, tmp_path, monkeypatch, make_weights, sizes
):
    directory = tmp_path / "export"
    package_in(directory)
    seen, rename = [contents(directory)], pathlib.Path.rename

    def watched(self, to):
        result = rename(self, to)
        seen.append(contents(directory) if directory.exists() else None)
        return result

    monkeypatch.setattr(pathlib.Path, "rename", watched)
    export(directory, weights=make_weights(sizes, seed=1))
    old, *between, new = seen
    assert between == [None] and new == contents(directory) != old


def test_what_does_not_fit_together_is_refused(export, tmp_path, weights, sizes):
    def assert_refused(kind, match, **changes):
        with pytest.raises(kind, match=match) as caught:
            export(tmp_path / "export", **changes)
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []

    other = model.Sizes(vocabulary=49, embedding=8, units=12, length=6)
    assert_refused(UserError, "tokenizer has 50 entries, the model 49", sizes=other)
    other = model.Sizes(vocabulary=50, embedding=8, units=13, length=6)
    assert_refused(UserError, r"input_kernel has the shape \(8, 36\), not \(8, 39\)", sizes=other)
    foreign = NGrams.none(49)
    assert_refused(UserError, "n-grams are of 49 entries, the model of 50", ngrams=foreign)
    nan = weights._replace(bias=np.full_like(weights.bias, np.nan))
    assert_refused(RunFailure, "bias is not finite", weights=nan)
    for one in (np.nan, np.inf, -np.inf):
        bias = np.insert(weights.bias[1:], 5, one)
        assert_refused(RunFailure, "bias is not finite", weights=weights._replace(bias=bias))
    assert_refused(RunFailure, "manifest.json: .*NaN", metrics={"perplexity": math.inf})


def test_a_vocabulary_of_two_words_is_refused(export, tmp_path, tokenizer, make_weights):
    few = model.Sizes(vocabulary=6, embedding=8, units=12, length=6)
    small = type(tokenizer)(tokenizer.model, tokenizer.vocabulary[:6])
    with pytest.raises(UserError, match="fewer than 3 words"):
        export(
            tmp_path / "export",
            sizes=few,
            tokenizer=small,
            ngrams=None,
            weights=make_weights(few),
        )


def test_a_vocabulary_of_three_words_is_enough(export, tmp_path, tokenizer, make_weights):
    few = model.Sizes(vocabulary=7, embedding=8, units=12, length=6)
    small = type(tokenizer)(tokenizer.model, tokenizer.vocabulary[:7])
    report = export(
        tmp_path / "export", sizes=few, tokenizer=small, ngrams=None, weights=make_weights(few)
    )
    assert report.passed


def test_an_unwritable_place_is_one_line(export, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailure, match="could not be written"):
        export(tmp_path / "file" / "export")


def test_what_lies_in_a_package_and_is_not_its_own_is_not_removed(export, package_in, tmp_path):
    directory = tmp_path / "export"
    package_in(directory)
    (directory / "update.npz").write_text("learned all night")
    with pytest.raises(UserError, match="holds update.npz, which is not a phone package's"):
        export(directory)
    assert (directory / "update.npz").read_text() == "learned all night"
