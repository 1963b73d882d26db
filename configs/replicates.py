"""The seeds of a suite's replicates, and which replicate a record belongs to.

In replicate r = 1, 2, … of a method everything is drawn anew: the validation split by split seed r, the search by
search seed r, and all the rest by seeds that no other replicate has:

    trials      1000 r
    run j       1000 r + j,     j = 1, …, m

So a record tells by its `split_seed` and `seed` which replicate and which run it is."""

from collections.abc import Mapping
from typing import Any

CONTROL = "ste"  # each method of a suite is compared with it, whatever the results are
STRIDE = 1000  # more than a replicate has runs


def trial_seed(replicate: int) -> int:
    """The seed that all trials of a replicate train with."""
    return STRIDE * replicate


def run_seeds(replicate: int, runs: int) -> list[int]:
    """The seeds of the runs that are tested."""
    return [trial_seed(replicate) + run for run in range(1, runs + 1)]


def replicate_of(settings: Mapping[str, Any]) -> int | None:
    """The replicate that a record's configuration belongs to; None where it is a trial's, or no suite's."""
    replicate, run = divmod(settings["seed"], STRIDE)
    return replicate if run and replicate and replicate == settings["split_seed"] else None
