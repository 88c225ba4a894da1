"""Opens a phone package as a stranger would, and checks that it does what it says.

files       sizes and hashes are the manifest's, and nothing else is there
opening     a child process opens the files and runs them, as what is made to harm may crash
operators   LiteRT's builtin ones only
signatures  are the manifest's
settings    say how a phone trains in a round
golden      texts give the words, ids, n-grams and suggestions of `golden.json`, training its losses
weights     the files have the run's weights, as exactly as they are stored
training    one step in LiteRT gives the weights that the simulation's client work gives
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fedkeyboard import files, model
from fedkeyboard.algorithms import local_training
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.text import characters, spellings
from fedkeyboard.text.tokenizer import BEGIN, PAD, SPECIAL, VOCABULARY_FILE
from fedkeyboard.text.words import words
from fedkeyboard.tflite_export import golden, manifest, parity
from fedkeyboard.tflite_export.files import convert, storage, variables
from fedkeyboard.tflite_export.manifest import INFERENCE_FILE, TRAINING_FILE
from fedkeyboard.tflite_export.phone import probe
from fedkeyboard.tflite_export.phone.litert import LiteModel
from fedkeyboard.tflite_export.phone.opened import Package
from fedkeyboard.tflite_export.verified import Check, Report, Timing
from fedkeyboard.updates.update_file import weights_sha256

# Largest difference of a weight after one local step, LiteRT against TensorFlow.
STEP_TOLERANCE = 1e-6
# Mean divergence of int8 from the weights, in nats. That of an untrained model is several.
_INT8_TOLERANCE = 0.05
# Bytes of golden.json, and of what is computed of one of its texts: ours have some 20 KB and 10 MB.
_MOST_GOLDEN = 16 * files.MEGABYTE
_MOST_OF_TEXT = 1024 * files.MEGABYTE
_MOST_EXAMPLES = 10_000
# Texts and steps of golden.json's training: ours has 8 and 3.
_MOST_TRAINING = 100


def verify(directory: files.PathLike, weights: model.Weights | None = None) -> Report:
    """Verifies a package.

    Args:
      directory: The package.
      weights: Of the run that it was exported from; without them what needs them is left out.

    Raises:
      UserError: If it is no package that this version reads.
    """
    checks_of = _Checks(Package(directory))
    checks = [_checked("files", checks_of.check_files)]
    # What has other contents than its manifest says is not opened, nor what ends who opens it.
    if checks[0].passed:
        checks.append(_checked("opening", checks_of.check_opening))
    if all(check.passed for check in checks):
        checks += [
            _checked("operators", checks_of.check_operators),
            _checked("signatures", checks_of.check_signatures),
            _checked("training settings", checks_of.check_client),
            _checked("golden texts", checks_of.check_texts),
            _checked("golden n-grams", checks_of.check_ngrams),
            _checked("golden suggestions", checks_of.check_suggestions),
            _checked("golden training", checks_of.check_training),
            _checked("weights' name", checks_of.check_name),
        ]
        if weights is not None:
            checks += [
                _checked("weights, inference", lambda: checks_of.check_inference(weights)),
                _checked("weights, training", lambda: checks_of.check_learner(weights)),
            ]
        checks.append(_checked("a local step", checks_of.check_step))
    report = Report(checks, [], checks_of.bytes())
    return report._replace(timings=checks_of.timings()) if report.passed else report


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except UserError as error:
        return Check(name, False, str(error))
    # What a stranger's golden.json may raise that has not the keys and types of ours.
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        line = " ".join(str(error).split())
        return Check(name, False, f"cannot be checked: {type(error).__name__}: {line}")


class _Checks:
    """A package that is being verified. Each check returns what it saw, or raises."""

    def __init__(self, package: Package):
        self._package = package
        self._directory = package.path
        self._manifest = package.manifest

    def check_files(self) -> str:
        there = {path.name for path in self._directory.iterdir()} - {manifest.FILE}
        said = set(self._manifest.files)
        for name in sorted(said ^ there):
            raise RunFailure(f"{name}: {'missing' if name in said else 'not in the manifest'}")
        texts = (ngram_model.FILE, VOCABULARY_FILE, spellings.FILE, characters.FILE, golden.FILE)
        for name in (INFERENCE_FILE, TRAINING_FILE, *texts):
            if name not in said:
                raise RunFailure(f"{name}: not in the manifest")
        for name in self._manifest.files:
            self._package.checked(name)
        total = sum(file.bytes for file in self._manifest.files.values())
        return f"{len(said)} files, {total:,} bytes"

    def check_opening(self) -> str:
        probe.check(self._directory / INFERENCE_FILE, self._directory / TRAINING_FILE)
        return "every signature runs"

    def check_operators(self) -> str:
        for name in (INFERENCE_FILE, TRAINING_FILE):
            size = self._manifest.files[name].bytes
            convert.check_operators(files.read_bytes(self._directory / name, at_most=size))
        return "builtin only"

    def check_signatures(self) -> str:
        step, train = (of.signatures() for _, of in self._files())
        state = step["step"]["inputs"]
        sizes = self._package.sizes
        of_files = model.Sizes(
            vocabulary=self._package.inference.vocabulary,
            embedding=state["output"]["shape"][1],
            units=state["cell"]["shape"][1],
            length=train["train"]["inputs"]["mask"]["shape"][1],
        )
        if sizes != of_files:
            raise RunFailure(f"{manifest.FILE}: model is {sizes}, that of the files {of_files}")
        for name, exported in self._files():
            said = {
                signature: of.model_dump()
                for signature, of in self._manifest.signatures.get(name, {}).items()
            }
            if said != exported.signatures():
                raise RunFailure(f"{name}: has other signatures than the manifest says")
        return ", ".join(self._manifest.signatures[TRAINING_FILE])

    def check_client(self) -> str:
        client = self._package.client()
        return f"{client.algorithm}, rate {client.learning_rate:g}, {client.epochs} epochs"

    def check_texts(self) -> str:
        if files.read_bytes(self._directory / characters.FILE, at_most=_MOST_GOLDEN) != (
            characters.PATH.read_bytes()
        ):
            raise RunFailure(f"{characters.FILE}: is another table than that of these rules")
        tokenizer, content = self._package.tokenizer, self._golden
        entries = tokenizer.vocabulary
        if len(set(entries)) < len(entries):
            raise RunFailure(f"{VOCABULARY_FILE}: has an entry twice")
        for i, entry in enumerate(entries[len(SPECIAL) :], len(SPECIAL)):
            if words(entry) != [entry]:
                raise RunFailure(f"{VOCABULARY_FILE}: entry {i} is no word, so nobody can type it")
        for name, ours in golden.rules().items():
            if content[name] != ours:
                raise RunFailure(
                    f"{golden.FILE}: {name}: has other texts, or words, than the rules"
                )
        examples = content["examples"]
        if [example["text"] for example in examples] != golden.texts(self._package.sizes.length):
            raise RunFailure(f"{golden.FILE}: has other texts than the format's")
        for example in examples:
            text = example["text"]
            if words(text) != example["words"] or tokenizer.encode(text) != example["ids"]:
                raise RunFailure(f"{golden.FILE}: {text!r} is other words or ids")
        return f"{len(examples)} texts"

    def check_ngrams(self) -> str:
        ngrams = self._package.ngrams
        for example in self._golden["examples"]:
            said, now = example["ngrams"], golden.of_ngrams(ngrams, example["ids"])
            if [i for i, _ in said["added"]] != [i for i, _ in now["added"]]:
                raise RunFailure(f"{golden.FILE}: {example['text']!r} has other n-grams")
            pairs = zip([said["kept"], *_second(said)], [now["kept"], *_second(now)], strict=True)
            worst = max(abs(one - other) for one, other in pairs)
            _within(worst, golden.NGRAM_TOLERANCE, "what an n-gram says")
        return f"{len(ngrams):,}"

    def check_suggestions(self) -> str:
        exported, tokenizer = self._package.inference, self._package.tokenizer
        offs, content = [], self._golden
        for example in content["examples"]:
            said = exported.next_word(example["ids"])
            # As a file may suggest other words than it scores.
            ids, probabilities = map(np.array, zip(*exported.suggest(example["ids"]), strict=True))
            parity.check_suggestions(
                "step",
                said,
                {"suggestions": ids[np.newaxis], "probabilities": probabilities[np.newaxis]},
            )
            if min(ids) < len(SPECIAL):
                raise RunFailure(f"{INFERENCE_FILE}: suggests a special token")
            suggested = self._package.ngrams.suggest(example["ids"], said, SUGGESTIONS)
            probabilities = [probability for _, probability in suggested]
            offs.append(np.abs(np.subtract(probabilities, example["probabilities"])))
            if not all(isinstance(word, str) for word in example["suggestions"]):
                raise RunFailure(f"{golden.FILE}: {example['text']!r} suggests what is no word")
            for (i, _), word, same in zip(
                suggested,
                example["suggestions"],
                golden.must_agree(example["probabilities"]),
                strict=True,
            ):
                if same and tokenizer.shown[i] != word:
                    raise RunFailure(
                        f"{golden.FILE}: {example['text']!r} suggests {tokenizer.shown[i]}, "
                        f"not {word}"
                    )
        worst = float(np.max(offs))  # Which NaN is not lost in.
        _within(worst, golden.PROBABILITY_TOLERANCE, "a suggestion's probability")
        return f"{len(content['examples'])} texts, probabilities within {worst:.1g}"

    def check_training(self) -> str:
        learner, said = self._package.learner, self._golden["training"]
        if max(len(said["texts"]), len(said["losses"])) > _MOST_TRAINING:
            raise RunFailure(f"{golden.FILE}: trains more than {_MOST_TRAINING} texts or steps")
        rows = self._package.tokenizer.rows(said["texts"], learner.length)
        if rows.tolist() != said["rows"]:
            raise RunFailure(f"{golden.FILE}: its training texts are other ids")
        settings = local_training.LocalTraining(
            said["learning_rate"],
            batch_size=len(rows),
            epochs=len(said["losses"]),
            clipping_norm=said["clipping_norm"],
        )
        losses = learner.fit(rows, settings)
        learner.reset()
        worst = float(np.max(np.abs(np.subtract(losses, said["losses"]))))
        _within(worst, golden.LOSS_TOLERANCE, "a loss")
        return f"{len(losses)} steps, losses within {worst:.1g} nats"

    def check_name(self) -> str:
        learner = self._package.learner
        before = learner.weights()
        if weights_sha256(before) != self._manifest.model.weights_sha256:
            raise RunFailure(f"{TRAINING_FILE}: opens with other weights than the manifest names")
        learner.set_weights(model.Weights(*(w + 1 for w in before)))
        learner.reset()
        if weights_sha256(learner.weights()) != self._manifest.model.weights_sha256:
            raise RunFailure(f"{TRAINING_FILE}: reset does not bring the weights back")
        return self._manifest.model.weights_sha256[:12]

    def _sentences(self) -> list[list[int]]:
        # The format's own, whatever the package says.
        return golden.text_ids(self._package.tokenizer, self._package.learner.length)

    def check_inference(self, weights: model.Weights) -> str:
        exported = self._package.inference
        precision = self._manifest.files[INFERENCE_FILE].precision
        if precision == "int8":
            mean = parity.divergence(exported, weights, self._sentences())
            _within(mean, _INT8_TOLERANCE, "the divergence from the run's weights")
            return f"int8: {mean:.1g} nats from the run's, on average"
        if precision == "float16":
            weights = parity.rounded_to_float16(weights)
        parity.check(exported, weights, self._package.sizes, self._sentences())
        return f"{precision}: log-probabilities within {parity.TOLERANCE:.0e}"

    def check_learner(self, weights: model.Weights) -> str:
        precision = self._manifest.files[TRAINING_FILE].precision
        opened = self._package.learner.weights()
        stored = (map(np.asarray, variables.transposed(of)) for of in (weights, opened))
        for name, was, now in zip(model.Weights._fields, *stored, strict=True):
            allowed = storage.largest_error(was) if precision == "int8" else 0.0
            if was.shape != now.shape or not np.all(np.abs(was - now) <= allowed):
                raise RunFailure(f"{TRAINING_FILE}: has another {name} than the run")
        parity.check(self._package.learner, opened, self._package.sizes, self._sentences())
        return f"{precision}: {'within half a step' if precision == 'int8' else 'equal'}"

    def check_step(self) -> str:
        learner = self._package.learner
        before = model.Weights(*map(tf.constant, learner.weights()))
        rows = golden.training_rows(self._package.tokenizer, learner.length)
        settings = local_training.LocalTraining(1.0, batch_size=len(rows), clipping_norm=5.0)
        simulated = local_training.train(before, tf.constant(rows), settings)
        learner.fit(rows, settings)
        trained = learner.weights()
        learner.reset()
        worst = max(
            float(np.max(np.abs(one - other)))
            for one, other in zip(trained, simulated.weights, strict=True)
        )
        _within(worst, STEP_TOLERANCE, "a weight")
        return f"weights within {worst:.1g} of the simulated phone's"

    def bytes(self) -> dict[str, int]:
        """Returns the files' bytes."""
        return {name: file.bytes for name, file in self._manifest.files.items()}

    def timings(self) -> list[Timing]:
        """Returns how long the files take."""
        timings = []
        for name, exported in self._files():
            words = min(5, self._manifest.model.length)
            padded = np.full((1, self._manifest.model.length), PAD, np.int32)
            padded[0, :words] = [BEGIN, *[len(SPECIAL)] * (words - 1)]
            begin = {"word": np.array([BEGIN], np.int32), **exported.start}
            timings += [
                _timed(name, "step", 2000, lambda e=exported, b=begin: e.run("step", **b)),
                _timed(
                    name,
                    f"predict, {words} words",
                    200,
                    lambda e=exported, p=padded: e.run("predict", words=p),
                ),
            ]
        ngrams, ids = self._package.ngrams, self._package.tokenizer.encode("how are you")
        said = self._package.inference.next_word(ids)
        learner = self._package.learner
        rows = golden.training_rows(self._package.tokenizer, learner.length)
        timings += [
            _timed(
                ngram_model.FILE,
                "mix, in Python",
                200,
                lambda: ngrams.suggest(ids, said, SUGGESTIONS),
            ),
            _timed(
                TRAINING_FILE,
                f"train, {len(rows)} sentences",
                20,
                lambda: learner.train(rows, learning_rate=0.1, clipping_norm=1.0),
            ),
            _timed(
                TRAINING_FILE,
                f"evaluate, {len(rows)} sentences",
                20,
                lambda: learner.evaluate(rows),
            ),
        ]
        learner.reset()
        return timings

    def _files(self) -> list[tuple[str, LiteModel]]:
        return [(INFERENCE_FILE, self._package.inference), (TRAINING_FILE, self._package.learner)]

    @functools.cached_property
    def _golden(self) -> dict[str, Any]:
        path = self._directory / golden.FILE
        content = files.parse_json(files.read_bytes(path, at_most=_MOST_GOLDEN), golden.FILE)
        sizes = self._package.sizes
        if len(content["examples"]) > _MOST_EXAMPLES:
            raise RunFailure(f"{golden.FILE}: has more than {_MOST_EXAMPLES} texts")
        for example in content["examples"]:
            if 4 * sizes.vocabulary * len(example["ids"]) > _MOST_OF_TEXT:
                raise RunFailure(f"{golden.FILE}: has a text of {len(example['ids']):,} words")
        return content


def _second(said: dict[str, Any]) -> list[float]:
    return [probability for _, probability in said["added"]]


def _within(worst: float, tolerance: float, what: str) -> None:
    # Not "worst > tolerance", which NaN would pass.
    if not worst <= tolerance:
        raise RunFailure(f"{what} is off by {worst:.2g}, where {tolerance:.2g} is allowed")


def _timed(file: str, what: str, times: int, call: Callable[[], Any]) -> Timing:
    call()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    p50, p99 = np.percentile(seconds, (50, 99)) * 1000
    return Timing(file, what, float(p50), float(p99))
