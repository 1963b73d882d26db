"""What a trial tries depends on the seed and on the trials before it, whoever asks."""

import optuna
import pytest
from optuna.distributions import FloatDistribution

from sweeps.sampling import make_pruner, make_sampler
from sweeps.space import Space

SPACE = Space({}, {"a": FloatDistribution(-5, 5), "b": FloatDistribution(1e-4, 1, log=True)})


def tried(sampler: str, seed: int, *parts: int, first=None) -> list[dict]:
    """What a study tries, each part of its trials with a sampler made anew, as after an interruption."""
    storage = optuna.storages.InMemoryStorage()
    values = []
    for trials in parts:
        chooser = make_sampler(sampler, seed, SPACE.grid(30), first or {})
        study = optuna.create_study(study_name="x", storage=storage, load_if_exists=True, sampler=chooser)
        for _ in range(trials):
            trial = study.ask()
            values.append(SPACE.suggest(trial))
            study.tell(trial, (values[-1]["a"] - 1) ** 2 + values[-1]["b"])
    return values


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_an_interrupted_study_tries_what_an_uninterrupted_one_does(sampler):
    whole = tried(sampler, 3, 20)
    assert tried(sampler, 3, 7, 6, 7) == whole
    assert len({value["a"] for value in whole}) == 20
    assert tried(sampler, 4, 20) != whole


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_begins_with_the_defaults_that_lie_in_the_space(sampler):
    begun = tried(sampler, 3, 5, 7, first={"a": 2.5, "b": 7.0})
    assert begun[0]["a"] == 2.5
    assert 1e-4 <= begun[0]["b"] <= 1  # 7 is outside
    assert tried(sampler, 3, 1, first={"a": -5.0, "b": 1.0}) == [{"a": -5.0, "b": 1.0}]  # the ends are inside
    assert begun[1]["a"] != 2.5
    choice = optuna.create_study(sampler=make_sampler(sampler, 3, [], {"c": "y"}))
    assert choice.ask().suggest_categorical("c", ["x", "y", "z", *"abcdefgh"]) == "y"


def test_tpe_looks_where_it_was_good_and_random_does_not():
    def distance(sampler):
        return sum(abs(value["a"] - 1) for seed in range(5) for value in tried(sampler, seed, 30)[15:]) / 75

    assert distance("tpe") < 0.8 * distance("random")


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
