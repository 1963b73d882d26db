"""Which examples are set aside. Drawn by numpy's RandomState, whose streams are frozen across numpy's versions."""

import numpy as np


def draw(total: int, count: int, seed: int) -> np.ndarray:
    """`count` of the indices 0..total−1, sorted (int64). A smaller count with the same seed gives a subset."""
    return np.sort(np.random.RandomState(seed).permutation(total)[:count])


def draw_per_class(
    labels: np.ndarray, seed: int, *, count: int = 0, share: float = 0.0, most: int | None = None
) -> np.ndarray:
    """Indices of `count` + `share` (rounded) of each class' examples, but no more than `most`, sorted; of each class
    at least one is left."""
    random = np.random.RandomState(seed)
    taken = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        size = min(count + round(share * len(members)), len(members) - 1, len(members) if most is None else most)
        taken.append(random.permutation(members)[:size])
    return np.sort(np.concatenate(taken))


def rest(total: int, taken: np.ndarray) -> np.ndarray:
    """The indices 0..total−1 that are not in `taken`, sorted."""
    return np.setdiff1d(np.arange(total), taken)
