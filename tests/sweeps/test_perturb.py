"""Runs around what a search chose."""

import re
import shutil

import pandas as pd
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution

from methods import METHODS
from sweeps import perturb, suite
from sweeps.perturbation import around
from sweeps.space import Space, load_space
from tests.sweeps.tools import records_in


@pytest.fixture
def words(small, tmp_path) -> list[str]:
    own = ["epochs=1", "net.width=8", "net.depth=1", "replicates=2", "trials=2", "runs=1", "methods=[bop]"]
    own += [f"results_dir={tmp_path}/runs"]
    return ["suite=digits", *(word for word in small if word not in ("dataset=digits", "net=tiny", "epochs=2")), *own]


def moved(points):
    """Setting → its values in the points that differ from the first in it alone."""
    first, found = points[0], {}
    for point in points[1:]:
        ((name, value),) = ((name, value) for name, value in point.items() if value != first[name])
        found.setdefault(name, []).append(value)
    return found


def test_each_number_is_divided_and_multiplied_alone():
    method = METHODS["bop"].Config(lr=0.0123456, gamma=0.5, threshold=0.0, gamma_end=2e-6)
    points = around(load_space("bop"), method).points
    assert points[0] == {"lr": 0.0123456, "threshold": 0.0, "gamma": 0.5, "gamma_end": 2e-6}
    # γ = 1.5 is no valid decay, and three times 0 is 0
    assert moved(points) == {"lr": [0.00412, 0.037], "gamma": [0.167], "gamma_end": [6.67e-7, 6e-6]}


def test_whole_numbers_stay_whole_and_choices_stay():
    space = Space({}, {"stairs": FloatDistribution(1, 9), "gamma_schedule": CategoricalDistribution(["a", "b"])})
    points = around(space, METHODS["bop"].Config(stairs=1, gamma_schedule="staircase")).points
    assert points[0] == {"stairs": 1, "gamma_schedule": "staircase"}
    assert moved(points) == {"stairs": [3]}  # a third of 1 is rounded to 0, which is refused
    assert all(type(point["stairs"]) is int for point in points)


def test_the_runs_are_those_of_the_table(words, call, tmp_path):
    early = call(perturb, *words)
    assert early.status == 2
    assert "nothing of suite digits is tuned: python -m sweeps.suite suite=digits first" in early.err
    assert call(suite, *words).status == 0
    tested = set(records_in(tmp_path / "runs"))

    plan = call(perturb, *words, "replicates=3", "plan=true")
    assert (plan.status, plan.err) == (0, "")
    assert re.search(r"bop r1 +0 of \d runs\n +bop r2 +0 of \d runs\n +not tuned yet +bop r3\n", plan.out)
    assert not (tmp_path / "perturbed").exists()

    outcome = call(perturb, *words)
    assert outcome.status == 0, outcome.err
    assert set(records_in(tmp_path / "runs")) == tested
    for r in (1, 2):
        table = pd.read_csv(tmp_path / f"perturbed/digits/bop/r{r}.csv")
        chosen = OmegaConf.load(tmp_path / f"tuned/digits/bop/r{r}.yaml").method
        names = ["lr", "threshold", "gamma", "gamma_end"]
        assert list(table) == ["trial", "state", "validation_error", *names]
        assert {name: table[name][0] for name in names} == {
            name: chosen.get(name, getattr(METHODS["bop"].Config(), name)) for name in names
        }
        assert table["lr"][1:3].tolist() == pytest.approx([chosen.lr / 3, chosen.lr * 3], rel=5e-3)
        records = [
            record
            for record in records_in(tmp_path / "outputs/sweeps").values()
            if (record.config["seed"], record.config["split_seed"]) == (1000 * r + 1, r)
        ]
        assert not any(record.test for record in records)
        by_lr = {}
        for record in records:
            values = record.config["method"]
            by_lr[tuple(values[name] for name in names)] = record.validation["error"]
        errors = {tuple(row[name] for name in names): row["validation_error"] for _, row in table.iterrows()}
        assert errors == pytest.approx(by_lr)

    before = {path: path.read_text() for path in tmp_path.rglob("perturbed/**/*.csv")}
    shutil.rmtree(tmp_path / "outputs")  # the tables are enough
    again = call(perturb, *words)
    assert again.status == 0
    assert not (tmp_path / "outputs/sweeps").exists()
    assert {path: path.read_text() for path in before} == before


def test_without_a_suite_the_valid_ones_are_named(words, call):
    outcome = call(perturb, *[word for word in words if word != "suite=digits"])
    assert outcome.status == 2
    assert "say around which suite: suite=" in outcome.err
    assert "mnist_bernoulli" in outcome.err
