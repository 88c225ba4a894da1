"""The benchmarks' cohorts, drawn as `make benchmark` draws them."""

import importlib
import pathlib

import pytest

import benchmarks
from benchmarks import cohorts


@pytest.mark.heavy
def test_the_cohorts_are_drawn_from_the_bundled_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small, typical, large = cohorts.draw(quick=False)
    assert [len(cohort.phones) for cohort in (small, typical, large)] == [60, 20, 6]
    # One batch each; and the largest phones are larger than those that were drawn at random.
    assert {len(rows) for rows in small.phones} == {cohorts.BATCH_SIZE}
    sizes = [sum(map(len, of.phones)) / len(of.phones) for of in (typical, large)]
    assert 3 * sizes[0] < sizes[1]
    assert small.local_steps == 60
    small.write(tmp_path / "job.npz")
    (quick,) = cohorts.draw(quick=True)
    assert quick.name == "typical"
    assert len(quick.phones) == 7


# What `python -m` runs; the peers' need environments of their own.
MODULES = sorted(
    path.stem
    for path in pathlib.Path(benchmarks.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")
