"""What a trial tries depends on the seed and on the trials before it, whoever asks."""

import math
from collections import Counter

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.sampling import make_pruner, make_sampler
from sweeps.space import Space, from_unit

SPACE = Space({}, {"a": FloatDistribution(-5, 5), "b": FloatDistribution(1e-4, 1, log=True)})


def tried(sampler: str, seed: int, *parts: int, first=None) -> list[dict]:
    """What a study tries, each part of its trials with a sampler made anew, as after an interruption."""
    storage = optuna.storages.InMemoryStorage()
    values = []
    for trials in parts:
        chooser = make_sampler(sampler, seed, SPACE.tuned, first or {}, SPACE.grid(30))
        study = optuna.create_study(study_name="x", storage=storage, load_if_exists=True, sampler=chooser)
        for _ in range(trials):
            trial = study.ask()
            values.append(SPACE.suggest(trial))
            study.tell(trial, (values[-1]["a"] - 1) ** 2 + values[-1]["b"])
    return values


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_an_interrupted_study_tries_what_an_uninterrupted_one_does(sampler):
    whole = tried(sampler, 3, 20)
    assert tried(sampler, 3, 7, 6, 7) == whole
    assert len({value["a"] for value in whole}) == 20
    assert tried(sampler, 4, 20) != whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_search_begins_with_the_defaults_that_lie_in_the_space(sampler):
    begun = tried(sampler, 3, 5, 7, first={"a": 2.5, "b": 7.0})
    assert begun[0]["a"] == 2.5
    assert 1e-4 <= begun[0]["b"] <= 1  # 7 is outside
    assert tried(sampler, 3, 1, first={"a": -5.0, "b": 1.0}) == [{"a": -5.0, "b": 1.0}]  # the ends are inside
    assert begun[1]["a"] != 2.5
    choices = CategoricalDistribution(["x", "y", "z", *"abcdefgh"])
    choice = optuna.create_study(sampler=make_sampler(sampler, 3, {"c": choices}, {"c": "y"}, []))
    assert choice.ask().suggest_categorical("c", choices.choices) == "y"


def test_tpe_looks_where_it_was_good_and_random_does_not():
    def distance(sampler):
        return sum(abs(value["a"] - 1) for seed in range(5) for value in tried(sampler, seed, 30)[15:]) / 75

    assert distance("tpe") < 0.8 * distance("random")


MIXED = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "share": FloatDistribution(0.1, 0.6),
    "way": CategoricalDistribution(["a", "b"]),
    "count": IntDistribution(1, 4),
}


def points(seed: int, numbers, first=None) -> list[dict]:
    sampler = make_sampler("qmc", seed, MIXED, first or {}, [])
    return [dict(sampler.point(number)) for number in numbers]


def test_quasirandom_trials_depend_on_seed_and_number_only():
    whole = points(3, range(16))
    assert points(3, [15]) + points(3, [7, 2]) == [whole[15], whole[7], whole[2]]
    assert not any(point in whole for point in points(4, range(16)))
    # the first trial has the defaults that lie in the space, and the others do not move for it
    begun = points(3, range(16), {"lr": 0.01, "share": 0.7, "way": "c", "count": 4})
    assert begun[0] == whole[0] | {"lr": 0.01, "count": 4}
    assert begun[1:] == whole[1:]


@pytest.mark.parametrize("seed", range(3))
def test_quasirandom_trials_cover_the_space_evenly(seed):
    """Of 2^m points of a scrambled Sobol sequence one lies in each of 2^m equal intervals of every coordinate."""
    drawn = points(seed, range(16))
    decades = [math.log10(point["lr"] / 1e-4) / 3 for point in drawn]
    shares = [(point["share"] - 0.1) / 0.5 for point in drawn]
    for units in (decades, shares):
        assert sorted(int(unit * 16) for unit in units) == list(range(16))
    assert Counter(point["way"] for point in drawn) == {"a": 8, "b": 8}
    assert Counter(point["count"] for point in drawn) == {1: 4, 2: 4, 3: 4, 4: 4}
    pairs = Counter((point["way"], int(unit * 2)) for point, unit in zip(drawn, decades, strict=True))
    assert set(pairs.values()) == {4}  # and in each of the 4 quarters of two coordinates as many


def test_a_number_between_0_and_1_as_a_value():
    whole = IntDistribution(1, 100, log=True)
    assert [from_unit(whole, unit) for unit in (0, 0.5, 1 - 1e-12)] == [1, 7, 100]  # (½ · 100½)^½ = 7.09
    assert [from_unit(MIXED["count"], unit) for unit in (0, 0.249, 0.251, 0.749, 0.751, 1 - 1e-12)] == [
        1,
        1,
        2,
        3,
        4,
        4,
    ]
    assert [from_unit(MIXED["way"], unit) for unit in (0, 0.499, 0.5, 1 - 1e-12)] == ["a", "a", "b", "b"]
    assert from_unit(MIXED["lr"], 1 / 3) == pytest.approx(1e-3)
    assert from_unit(MIXED["share"], 0.5) == pytest.approx(0.35)


def test_a_grid_is_tried_once_from_end_to_end():
    assert tried("grid", 0, 10, 15) == [SPACE.suggest(optuna.trial.FixedTrial(point)) for point in SPACE.grid(30)]
    assert len(SPACE.grid(30)) == 25


def ended_after(pruner: str, curves: list[list[float]], epochs: int) -> list[int]:
    """The epochs after which trials with these validation errors end."""
    study = optuna.create_study(pruner=make_pruner(pruner, epochs))
    ends = []
    for curve in curves:
        trial = study.ask()
        for epoch, error in enumerate(curve, start=1):
            trial.report(error, epoch)
            if epoch < epochs and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        ends.append(epoch)
    return ends


GOOD, BAD, LATE = [50, 20, 10, 9, 8, 7, 6, 5, 4], [90] * 9, [95, 95, 95, 5, 4, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("pruner", "ends"),
    [
        ("none", [9, 9, 9, 9, 9, 9, 9, 9, 9]),
        ("median", [9, 9, 9, 9, 9, 3, 9, 3, 9]),  # from five complete trials on, after a third of the epochs
        ("halving", [9, 9, 3, 9, 3, 3, 9, 3, 9]),  # ties with the best of the third go on
    ],
)
def test_when_a_trial_ends_early(pruner, ends):
    assert ended_after(pruner, [GOOD, GOOD, BAD, GOOD, BAD, BAD, GOOD, LATE, GOOD], 9) == ends


def test_a_third_of_the_epochs_is_rounded_up():
    slow = [95, 1, 1, 1, 1]
    assert ended_after("median", [[50, 40, 30, 20, 10]] * 5 + [slow, [95, 95, 1, 1, 1]], 5)[-2:] == [5, 2]
