"""A run and its phone package: what simulation and export have to tell each other."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from fedkeyboard.cli import options, output
from fedkeyboard.errors import UserError


def export(run: Any, out: pathlib.Path, **how: Any) -> Any:
    """Writes a run's package by `package.export`, and returns what was verified of it."""
    from fedkeyboard.tflite_export import package

    output.tell_if_alone(run)
    return package.export(
        out,
        weights=run.weights()[0],
        sizes=run.sizes,
        tokenizer=run.tokenizer,
        ngrams=run.ngrams(),
        training=run.training_record(),
        metrics=run.metrics(),
        **how,
    )


@contextlib.contextmanager
def unseen(
    run: Any,
    moved_to: pathlib.Path | None,
    split: str = "test",
    sentences: int = options.MEASURED_SENTENCES,
) -> Iterator[Any]:
    """Yields the text that an export measures its precisions on."""
    from fedkeyboard.simulation import assessment
    from fedkeyboard.tflite_export.package import Unseen

    with assessment.unseen_rows(run, moved_to, split, sentences, output.ERR) as rows:
        yield None if rows is None else Unseen(split, rows, sentences)


def suggest(model: pathlib.Path, text: str) -> list[tuple[str, float]]:
    """Suggests by the file that a run or package has, or by the weights of a run with sub-words."""
    from fedkeyboard.text.subwords import WORDS_FILE
    from fedkeyboard.text.tokenizer import VOCABULARY_FILE
    from fedkeyboard.tflite_export.phone import exported_files

    if (model / WORDS_FILE).exists():
        from fedkeyboard.simulation import assessment, runs

        return assessment.suggest(runs.open_run(model), text)
    file = exported_files.inference_file(model)
    return exported_files.suggest_words(file, file.with_name(VOCABULARY_FILE), text)


def suggest_to(
    personal: pathlib.Path, model: pathlib.Path, text: str, migrate: bool
) -> list[tuple[str, float]]:
    """Suggests to the user of a personal checkpoint."""
    from fedkeyboard.simulation import runs
    from fedkeyboard.text.subwords import WORDS_FILE
    from fedkeyboard.tflite_export import package
    from fedkeyboard.tflite_export.phone import phone
    from fedkeyboard.tflite_export.phone.opened import Package

    if (model / WORDS_FILE).exists():
        raise UserError(package.NO_SUBWORDS)
    return phone.suggest_to(Package(runs.package(model)[0]), text, personal, migrate=migrate)
