"""How much depends on each setting that a search chose: it is multiplied and divided by a factor, in runs of their own.

python -m sweeps.perturb suite=mnist                  around what the searches of configs/suite/mnist.yaml chose
python -m sweeps.perturb suite=mnist replicates=2     in the first two replicates; methods=[ste,bop] of these methods
python -m sweeps.perturb suite=mnist factor=10        by another factor

The configuration that a method's search chose in replicate r is trained once more, and once with each of its tuned
numbers multiplied, and once with it divided, on the replicate's split and with the seed of its first run. No run reads
the test set. The validation errors go to results/perturbed/<suite>/<method>/r<r>.csv. A value that the method does not
accept is left out.

The same command, started again, goes on with what was interrupted; started several times at once, the processes share
the runs.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution

from configs.registry import METHODS
from configs.replicates import run_seeds
from configs.schema import CONFIGS, register
from configs.settings import UserError
from training.command_line import command_line, job

from .devices import own_gpu
from .replicate import Replicate, make_replicates
from .settings import PerturbConfig, given, register_schemas, resolve_sweep, settings_text
from .space import DIGITS, Space, load_space, valid
from .study import Sweep
from .suite import suites
from .trial_table import write_trial_table
from .tuned import tuned_method


@dataclass(frozen=True)
class Around(Space):
    """The points of a perturbation, for a sweep that tries them in their order."""

    points: tuple[dict[str, Any], ...]

    def grid(self, trials: int) -> list[dict[str, Any]]:
        return list(self.points)


def around(space: Space, method: Any, factor: float) -> Around:
    """First the tuned settings of `method`, a Config, as they are; then, for each number among them, divided and
    multiplied by `factor`, the others as they are. Whole numbers are rounded. A value that the Config refuses has no
    point, nor has one that rounding leaves as it was."""
    chosen = {name: getattr(method, name) for name in space.tuned}
    points = [chosen]
    for name, value in chosen.items():
        for moved in _moved(value, factor):
            with suppress(UserError):
                point = chosen | {name: valid(type(method), name, moved)}
                if point != chosen:
                    points.append(point)
    tuned: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(list(dict.fromkeys(p[name] for p in points))) for name in chosen
    }
    return Around({}, tuned, tuple(points))


def _moved(value: Any, factor: float) -> list[int | float]:
    """Divided by the factor, and multiplied; none for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    both = (value / factor, value * factor)
    return [round(v) if isinstance(value, int) else float(f"{v:.{DIGITS}g}") for v in both]


def make_perturbation(replicate: Replicate, factor: float) -> Sweep | None:
    """The sweep around what the replicate's search chose; None for a method without a search space. UserError where the
    search has not ended."""
    space = load_space(replicate.name)
    if not space:
        return None
    if not replicate.tuned():
        raise UserError(
            f"{replicate.path} is missing, or of another search: end the suite first, or give fewer replicates=…"
        )
    method = tuned_method(replicate.path, METHODS[replicate.name].Config)
    seed = run_seeds(replicate.number, 1)[0]
    config = replace(replicate.config, method=method, seed=seed, sampler="grid")
    return Sweep(config, around(space, method, factor), path=replicate.path)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="perturb")
def app(config: DictConfig) -> None:
    from training.data import keep_data

    with job():
        settings = resolve_sweep(config)
        assert isinstance(settings, PerturbConfig)
        suite = HydraConfig.get().runtime.choices["suite"]
        settings.label = settings.label or suite
        if not settings.label:
            raise UserError(f"say which suite: suite={' | '.join(suites())}, or label=… of a question of your own")
        with own_gpu(settings.device), keep_data():
            for replicate in make_replicates(settings, given()):
                if not (sweep := make_perturbation(replicate, settings.factor)):
                    continue
                sweep.run()
                if sweep.ended() == sweep.total:
                    path = Path(settings.perturbed_dir, settings.label, replicate.name, f"r{replicate.number}.csv")
                    write_trial_table(sweep.trials(), path)
                    print(f"{replicate.name} r{replicate.number}: {sweep.total} runs, written {path}", flush=True)


def help_text() -> str:
    lines = ["", "suite=", *(f"  {name}" for name in suites()), "", "settings of a perturbation"]
    lines += [*settings_text(PerturbConfig), "", "and every setting of a run: python run.py --help"]
    return (__doc__ or "") + "\n".join(lines)


def main() -> int:
    register()
    register_schemas()
    return command_line(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
