"""Which updates a round takes, each bound from both sides; a whole round: `test_aggregation`."""

import math

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import UserError
from fedkeyboard.updates import admission, update_file

SIZES = model.Sizes(vocabulary=12, embedding=3, units=4, length=5)
SHAPES = model.weight_shapes(SIZES)
BASE = admission.Base(3, "1" * 64, "2" * 64)
TRAINING = LocalTraining(0.5, batch_size=4, epochs=2, clipping_norm=2.0)
# Seven sentences are two batches, so four steps.
SAID = {
    "purpose": "update", "weights_sha256": BASE.weights_sha256,
    "vocabulary_sha256": BASE.vocabulary_sha256, "weight": 7.0, "sentences": 7, "steps": 4,
    "learning_rate": 0.5, "clipping_norm": 2.0, "batch_size": 4, "epochs": 2,
}  # fmt: skip


def weights(scale=0.0, seed=0):
    generator = np.random.default_rng(seed)
    return model.Weights(
        *(np.float32(scale) * generator.normal(size=s).astype(np.float32) for s in SHAPES)
    )


def terms(weighting="sentences", of=None):
    return admission.Terms(BASE, of or weights(), TRAINING, 20, weighting)


@pytest.fixture
def write(tmp_path):
    """Writes an update, with changes to what it says; returns its file."""

    def write(name="a.npz", difference=None, **changes):
        path = tmp_path / name
        made = update_file.Update(
            weights(1e-3) if difference is None else difference,
            update_file.Metadata(**SAID | changes),
        )
        update_file.write(path, made)
        return path

    return write


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learning_rate": 0.01},  # Lowered by a schedule.
        {"learning_rate": 0.5 * (1 + 1e-5)},  # What a client's JSON may round.
        {"clipping_norm": 2 * (1 + 9e-6)},
        {"sentences": 1, "weight": 1.0, "steps": 2},
        {"sentences": 4, "weight": 4.0, "steps": 2},
        {"sentences": 5, "weight": 5.0, "steps": 4},
        {"sentences": 20, "weight": 20.0, "steps": 10},
    ],
    ids=str,
)
def test_what_an_honest_phone_says_is_taken(write, changes):
    taken = admission.read(write(**changes), terms())
    assert taken.metadata == update_file.Metadata(**SAID | changes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"purpose": "personal"}, "stays on its phone"),
        ({"weights_sha256": "3" * 64}, "trained from another package .333333333333. than the"),
        ({"vocabulary_sha256": "3" * 64}, "trained from another package"),
        ({"learning_rate": 0.5 * (1 + 2e-5)}, "learning_rate is 0.50001, above"),
        ({"clipping_norm": 2 * (1 + 2e-5)}, "clipping_norm is 2.00004, and the run's"),
        ({"clipping_norm": 1.0}, "clipping_norm is 1, and the run's client.clipping_norm 2"),
        ({"batch_size": 5}, "batch_size is 5, and the run's client.batch_size 4"),
        ({"epochs": 1}, "epochs is 1, and the run's client.epochs 2"),
        ({"sentences": 0, "weight": 0.0, "steps": 0}, "of 0 sentences, where .* 1 to 20"),
        ({"sentences": 21, "weight": 21.0, "steps": 12}, "of 21 sentences"),
        ({"steps": 5}, "of 5 steps, where 7 sentences make 4"),
        ({"steps": 3}, "of 3 steps"),
        ({"weight": 8.0}, "claims the weight 8, but counts as 7"),
        ({"weight": 1.0}, "claims the weight 1, but counts as 7"),
    ],
    ids=str,
)
def test_what_it_could_not_say_is_refused(write, changes, match):
    path = write(**changes)
    with pytest.raises(UserError, match=match) as caught:
        admission.read(path, terms())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_weight_follows_from_the_weighting(write):
    uniform = terms("uniform")
    assert admission.read(write(weight=1.0), uniform).metadata.weight == 1
    with pytest.raises(UserError, match="claims the weight 7, but counts as 1"):
        admission.read(write(), uniform)


@pytest.mark.parametrize("steps", [{}, {"sentences": 20, "weight": 20.0, "steps": 10}], ids=str)
@pytest.mark.parametrize("rate", [0.5, 0.1])
@pytest.mark.parametrize("scale", [0.0, 100.0])
def test_it_moves_no_further_than_its_steps(write, steps, rate, scale):
    """A step moves by rate times norm, but for what float32 rounds of both, and of the weights."""
    base = weights(scale, seed=1)
    count = (SAID | steps)["steps"]
    step = rate * 2.0 * (1 + 1e-3)
    size = math.sqrt(sum(float((w.astype(np.float64) ** 2).sum()) for w in base))
    bound = count * (step + 2.0**-23 * (size + count * step))
    unit = weights(1.0)
    length = math.sqrt(sum(float((w.astype(np.float64) ** 2).sum()) for w in unit))
    assert admission.norm(unit) == pytest.approx(length)

    def moved(by):
        return model.Weights(*(np.float32(by / length) * w for w in unit))

    of = terms(of=base)
    admission.read(write(difference=moved(bound * (1 - 1e-6)), learning_rate=rate, **steps), of)
    path = write(difference=moved(bound * (1 + 1e-6)), learning_rate=rate, **steps)
    with pytest.raises(UserError, match=f"moves the weights by .* where {count} steps"):
        admission.read(path, of)


def test_the_norm_does_not_overflow():
    huge = model.Weights(*(np.full(shape, 1e30, np.float32) for shape in SHAPES))
    count = sum(math.prod(shape) for shape in SHAPES)
    assert admission.norm(huge) == pytest.approx(1e30 * count**0.5)


def test_each_update_counts_once_and_others_go_on(write, tmp_path):
    one = write("one.npz")
    # What else a copy says does not make it another.
    copy = write("copy.npz", loss=1.5)
    other = write("other.npz", weights(1e-3, seed=2))
    wrong = write("wrong.npz", steps=5)
    made, said = admission.Admission(terms()), []
    taken = list(made.admit([one, copy, wrong, other], said.append))
    assert [len(t.difference) for t in taken] == [len(SHAPES)] * 2
    assert list(made.admitted.values()) == [one, other]
    assert [line.split(": ")[0] for line in made.refused] == [str(copy), str(wrong)]
    assert f"the same update as {one}" in made.refused[0]
    assert said == [f"refused: {line}" for line in made.refused]


@pytest.mark.parametrize(
    ("admitted", "refused", "minimum", "needs"),
    [
        (1, 0, None, None), (1, 1, None, None), (2, 2, None, None), (3, 2, None, None),
        (2, 3, None, 3), (1, 2, None, 2), (0, 2, None, 1), (0, 0, None, 1),
        (2, 5, 2, None), (2, 0, 3, 3), (5, 0, 5, None), (0, 0, 1, 1),
    ],
)  # fmt: skip
def test_how_many_must_count(admitted, refused, minimum, needs):
    """Half of them by default, rounded up, and one at least."""
    made = admission.Admission(terms())
    made.admitted = {str(i): i for i in range(admitted)}
    made.refused = [f"why {i}" for i in range(refused)]
    if needs is None:
        made.require(minimum)
        return
    with pytest.raises(UserError) as caught:
        made.require(minimum)
    given = admitted + refused
    assert f"{admitted} of {given} updates can count, and a round needs {needs}; " in str(
        caught.value
    )
    assert str(caught.value).endswith("why 0" if refused else "--minimum-updates")


def test_of_a_single_update_it_is_said_why_it_does_not_count():
    made = admission.Admission(terms())
    made.refused = ["a.npz: why"]
    with pytest.raises(UserError, match="^a.npz: why$"):
        made.require(None)
