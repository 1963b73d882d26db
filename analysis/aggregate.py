"""Methods over several settings: interquartile mean, probability of improvement, performance profile.

Definitions of Agarwal et al. 2021, arXiv 2108.13264 (rliable), for errors, of which less is better; a run there is a
replicate here. The score of a replicate is its error over the control's mean error in the same setting. All settings
have the same weight, however many replicates they have: rliable takes only as many replicates for each setting, and
suites have six or three. (Its version 1.2 cannot be imported beside pandas 3 either.) With equal numbers, whose product
with the settings is a multiple of 4, the interquartile mean is rliable's.

Intervals: stratified percentile bootstrap (`scipy.stats.bootstrap`), in which each setting's replicates are drawn anew,
of the method and of the control."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 5000
Values = Mapping[str, np.ndarray]  # setting → the values of a method's replicates
Statistic = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


def weighted_middle(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the middle half of a weighted sample, on the last axis: the scores from the 25 % to the 75 % point of
    the weight, those at the borders by the part of their weight within."""
    order = np.argsort(scores, axis=-1, kind="stable")
    scores, weights = np.take_along_axis(scores, order, -1), weights[order] / weights.sum()
    upper = np.cumsum(weights, axis=-1)
    within = np.clip(np.minimum(upper, 0.75) - np.maximum(upper - weights, 0.25), 0, None)
    return (scores * within).sum(axis=-1) / within.sum(axis=-1)


def relative_scores(own: Sequence[np.ndarray], control: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Setting by setting, errors over the control's mean error."""
    return [x / y.mean(axis=-1, keepdims=True) for x, y in zip(own, control, strict=True)]


def interquartile_mean(own: Values, control: Values, seed: int = 0) -> Estimate:
    """Of the scores of all replicates, over the settings of `own`; the control's own is given as `own` = `control`."""
    counts = [len(x) for x in own.values()]
    weights = np.repeat([1 / n for n in counts], counts)

    def statistic(own: Sequence[np.ndarray], control: Sequence[np.ndarray]) -> np.ndarray:
        return weighted_middle(np.concatenate(relative_scores(own, control), axis=-1), weights)

    return _bootstrap(statistic, own, control, seed)


def probability_of_improvement(own: Values, control: Values, seed: int = 0) -> Estimate:
    """P(X < Y) + P(X = Y)/2 of a replicate X of the method and Y of the control, mean over the settings of `own`."""

    def statistic(own: Sequence[np.ndarray], control: Sequence[np.ndarray]) -> np.ndarray:
        pairs = [np.sign(y[..., None, :] - x[..., :, None]) for x, y in zip(own, control, strict=True)]
        return np.mean([0.5 + pair.mean(axis=(-2, -1)) / 2 for pair in pairs], axis=0)

    return _bootstrap(statistic, own, control, seed)


def profile(own: Values, control: Values, at: np.ndarray) -> np.ndarray:
    """[at] share of the replicates whose score is at most τ, mean over the settings of `own`."""
    return np.mean([(score[:, None] <= at).mean(axis=0) for score in _scores(own, control)], axis=0)


def profile_steps(own: Values, control: Values, ends: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """`profile` wherever it rises, at the scores of `own` themselves, and at both ends: τ and the shares."""
    at = np.unique(np.concatenate([ends, *_scores(own, control)]))
    return at, profile(own, control, at)


def ends_of_scores(values: Mapping[str, Values], control: Values) -> tuple[float, float]:
    """A little below the lowest and above the highest score of all methods."""
    scores = np.concatenate([score for own in values.values() for score in _scores(own, control)])
    return 0.98 * float(scores.min()), 1.02 * float(scores.max())


def _scores(own: Values, control: Values) -> list[np.ndarray]:
    """Those of each setting of `own`."""
    return relative_scores(list(own.values()), [control[name] for name in own])


def _bootstrap(
    statistic: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray],
    own: Values,
    control: Values,
    seed: int,
) -> Estimate:
    """The statistic and its 95 % interval; without one where a setting has a single replicate."""
    same = own is control
    first = [np.asarray(x, dtype=float) for x in own.values()]
    second = [] if same else [np.asarray(control[name], dtype=float) for name in own]

    def flat(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(samples[: len(first)], samples[: len(first)] if same else samples[len(first) :])

    value = float(flat(*first, *second))
    if min(len(x) for x in [*first, *second]) < 2:
        return Estimate(value, np.nan, np.nan)
    found = stats.bootstrap(
        [*first, *second],
        flat,
        n_resamples=DRAWS,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Estimate(value, float(found.confidence_interval.low), float(found.confidence_interval.high))
