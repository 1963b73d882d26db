"""The runs around what a search chose: each tuned number times 3 and divided by 3, the others as they are."""

import csv
import io
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from configs.ranges import MOVED_BY
from configs.registry import METHODS
from configs.replicates import run_seeds
from configs.settings import UserError

from .replicate import Replicate
from .settings import results_folder
from .space import Space, load_space, significant, valid
from .study import Sweep
from .trial_table import write_trial_table
from .tuned import tuned_method


@dataclass(frozen=True)
class Around(Space):
    """The points of a perturbation, for a sweep that tries them in their order."""

    points: tuple[dict[str, Any], ...]

    def grid(self, trials: int) -> list[dict[str, Any]]:
        return list(self.points)


def around(space: Space, method: Any) -> Around:
    """First the tuned settings of `method`, a Config, as they are; then, for each number among them, divided by
    MOVED_BY and multiplied by it, the others as they are. Whole numbers are rounded. A value that the Config refuses
    has no point, nor has one that rounding leaves as it was.

    `ste_shift` rounds its rate to a power of two, so that it moves by 4."""
    chosen = {name: getattr(method, name) for name in space.tuned}
    points = [chosen]
    for name, value in chosen.items():
        for moved in _moved(value):
            with suppress(UserError):
                point = chosen | {name: valid(type(method), name, moved)}
                if point != chosen:
                    points.append(point)
    tuned: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(list(dict.fromkeys(p[name] for p in points))) for name in chosen
    }
    return Around({}, tuned, tuple(points))


def _moved(value: Any) -> list[int | float]:
    """Divided, and multiplied; none for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    both = (value / MOVED_BY, value * MOVED_BY)
    return [round(v) if isinstance(value, int) else significant(v) for v in both]


class Perturbation:
    """The runs around what the search of a replicate chose, which has ended: on its split, with the seed of its first
    run. None of them reads the test set. `path` is their table."""

    def __init__(self, replicate: Replicate, space: Space) -> None:
        config, name = replicate.config, replicate.name
        method = tuned_method(replicate.path, METHODS[name].Config)
        seed = run_seeds(replicate.number, 1)[0]
        self.title = f"{name} r{replicate.number}"
        self.path = results_folder(config) / "perturbed" / str(config.label) / name / f"r{replicate.number}.csv"
        config = replace(config, method=method, seed=seed, sampler="grid", pruner="none")
        self.sweep = Sweep(config, around(space, method))

    def done(self) -> bool:
        """Whether the table is there, of these very points."""
        if not self.path.exists():
            return False
        rows = list(csv.DictReader(io.StringIO(self.path.read_text())))
        wanted = [{k: "" if v is None else str(v) for k, v in point.items()} for point in self.sweep.grid]
        return [{name: row.get(name) for name in self.sweep.space.tuned} for row in rows] == wanted

    def ended(self) -> int:
        """How many of the runs have ended. Nothing is made by looking."""
        if self.done():
            return self.sweep.total
        return self.sweep.ended() if self.sweep.find() else 0

    def work(self) -> None:
        """Does what is left and what no other process is doing, and writes the table once all have ended."""
        if not self.done():
            self.sweep.run()
            if self.sweep.ended() == self.sweep.total:
                write_trial_table(self.sweep.trials(), self.path)


def make_perturbations(replicates: list[Replicate]) -> tuple[list[Perturbation], list[str]]:
    """One for each replicate whose search has ended; and the titles of the others. A method without a search space has
    none."""
    made, missing = [], []
    for replicate in replicates:
        if space := load_space(replicate.name):
            if replicate.tuned():
                made.append(Perturbation(replicate, space))
            else:
                missing.append(f"{replicate.name} r{replicate.number}")
    return made, missing
