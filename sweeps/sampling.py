"""How the next trial is chosen, and which trials end early."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from .space import from_unit


class Seeded(BaseSampler):
    """Chooses the values of trial n by `make(seed of n)`, a sampler that is seeded only by (seed, n).

    What a trial tries thus depends on the trials before it, but not on the process that asks: workers do not repeat
    one another, and an interrupted study goes on as if it had not been interrupted.

    Trial 0 has the values `first` where they lie in the space, and values of the sampler elsewhere."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, first: Mapping[str, Any]) -> None:
        self.make, self.seed, self.first = make, seed, first

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        seed = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0]
        self.sampler = self.make(int(seed))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial) if trial.number else {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> Any:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if trial.number == 0 and contains(param_distribution, self.first.get(param_name)):
            return self.first[param_name]
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        self.sampler.after_trial(study, trial, state, values)


class Listed(BaseSampler):
    """Trial n has point n of a list."""

    def point(self, number: int) -> Mapping[str, Any]:
        raise NotImplementedError

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> Any:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.point(trial.number)[param_name]


class Grid(Listed):
    def __init__(self, grid: list[dict[str, Any]]) -> None:
        self.grid = grid

    def point(self, number: int) -> Mapping[str, Any]:
        return self.grid[number]


class Quasirandom(Listed):
    """Trial n has point n of a Sobol sequence in [0, 1)^d, scrambled by `seed` (Optuna's QMCSampler): one coordinate
    for each tuned setting, mapped to its values by `from_unit`. Any number of trials covers the space evenly. Trial 0
    has the values `first` in place of point 0 where they lie in the space.

    What a trial tries depends on (seed, n) only: the points are drawn from a study of their own, in memory."""

    def __init__(self, tuned: Mapping[str, BaseDistribution], seed: int, first: Mapping[str, Any]) -> None:
        self.tuned = tuned
        self.unit: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in tuned}
        self.source = optuna.create_study(sampler=QMCSampler(scramble=True, seed=seed))
        # QMCSampler takes the space from the study's first trial, which is no point of the sequence
        start = optuna.trial.create_trial(params=dict.fromkeys(tuned, 0.5), distributions=self.unit, value=0)
        self.source.add_trial(start)
        self.first = {name: first[name] for name in tuned if contains(tuned[name], first.get(name))}
        self.points: list[dict[str, Any]] = []

    def point(self, number: int) -> Mapping[str, Any]:
        while len(self.points) <= number:
            unit = self.source.ask(self.unit).params
            point = {name: from_unit(values, unit[name]) for name, values in self.tuned.items()}
            self.points.append(point if self.points else point | self.first)
        return self.points[number]


def contains(values: BaseDistribution, value: Any) -> bool:
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    assert isinstance(values, FloatDistribution | IntDistribution)
    return value is not None and values.low <= value <= values.high


def make_sampler(
    name: str,
    seed: int,
    tuned: Mapping[str, BaseDistribution],
    first: Mapping[str, Any],
    grid: list[dict[str, Any]],
) -> BaseSampler:
    """A grid is tried in its order; searches of the distributions `tuned` begin with the values `first`."""
    if name == "grid":
        return Grid(grid)
    if name == "qmc":
        return Quasirandom(tuned, seed, first)
    if name == "random":
        return Seeded(lambda seed: RandomSampler(seed=seed), seed, first)
    # the constant liar counts what other workers are trying as bad, so that they do not all try the same
    return Seeded(lambda seed: TPESampler(seed=seed, constant_liar=True), seed, first)


def make_pruner(name: str, epochs: int) -> BasePruner:
    """Pruners of the validation error per epoch; none of them ends a trial before a third of its epochs.

    median: once five trials are complete, ends one whose lowest error so far is above their median at that epoch;
    halving: after a third of the epochs, lets only the best third of the trials go on."""
    third = -(-epochs // 3)
    pruners: dict[str, BasePruner] = {
        "median": MedianPruner(n_startup_trials=5, n_warmup_steps=third),
        "halving": SuccessiveHalvingPruner(min_resource=third, reduction_factor=3),
        "none": NopPruner(),
    }
    return pruners[name]
