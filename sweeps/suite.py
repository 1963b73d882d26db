"""A suite: every method in several replicates, each with a split, a search, and tested runs of its own.

python -m sweeps.suite suite=mnist                  does what is left of configs/suite/mnist.yaml
python -m sweeps.suite suite=mnist plan=true        shows what is left, and about how long it will take
python -m sweeps.suite suite=mnist methods=[ste]    one method of it; any setting of the suite as name=value
python -m sweeps.suite dataset=folder data_dir=… net=vgg net.width=32 methods=[ste,bop] hours=6
                                                    a question of your own: planned for six hours of one process

A method appears in every suite once it is registered. One without a search space runs with its defaults, and is shown
as untuned. In replicate r the split and the search have seed r, the trials seed 1000 r, and the runs of what the search
chose, which are tested, have seeds 1000 r + 1, 1000 r + 2, … What a search chose goes to
configs/tuned/<suite>/<method>/r<r>.yaml, and a table of its trials to results/trials/. A suite that is no file of
configs/suite/, such as a question of your own, leaves configs/tuned/<label>/suite.yaml too, so that the tables know
what it is to have.

The same command, started again, does what is left; started several times at once, the processes share the work, each
with a GPU of its own where there are several. `-m methods=[ste],[bop] hydra/launcher=joblib` (or `submitit_slurm`) goes
through Hydra's launchers, where their packages are installed. A run that fails is counted and shown, and the suite goes
on; its exit status is then 2.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hydra
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from configs.registry import ROOT
from configs.schema import CONFIGS, identity
from configs.settings import UserError
from training.command_line import job

from .commands import run_command, suite_help, suites
from .devices import own_gpu
from .settings import SuiteConfig, given, resolve_sweep, results_folder, run_config

DESIGN = ("replicates", "trials", "runs", "configurations")
RESULTS = ROOT / "results"
SEARCH = ("trials", "sampler", "pruner", "configurations")


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="suite")
def app(config: DictConfig) -> None:
    from training.data import keep_data

    from .plan import table  # here, so that a mistyped word is refused before torch is loaded
    from .question import plan_question
    from .replicate import make_replicates
    from .study import tuned_path
    from .tuned import write_design
    from .workers import at_work, count_at_work

    with job(), ExitStack() as while_at_work:
        settings = resolve_sweep(config)
        assert isinstance(settings, SuiteConfig)
        suite = HydraConfig.get().runtime.choices["suite"]
        if suite and settings.hours:
            raise UserError(
                f"hours={settings.hours:g} is for a question of your own, and suite={suite} has its own plan"
            )
        if settings.hours and settings.label in suites():
            raise UserError(f"label={settings.label} is the name of a suite: give a question of your own another one")
        while_at_work.enter_context(own_gpu(settings.device))  # a question's plan already trains
        if settings.hours:
            settings, text = plan_question(settings, settings.hours, given())
            print(text, flush=True)
        elif not suite:
            raise UserError(f"say which suite: suite={' | '.join(suites())}; or hours=… for a question of your own")
        published = suite and not (settings.label or _elsewhere(settings))
        settings.label = settings.label or suite
        replicates = make_replicates(settings, given())
        if published:
            _require_as_published(suite, settings)
        title = f"suite {settings.label}: {settings.epochs} epochs, {_design(settings)}"
        workers = worker_folder(settings)
        if settings.plan:
            print(table(replicates, title, count_at_work(workers)), flush=True)
            return
        if settings.label not in suites():
            names = list(dict.fromkeys(replicate.name for replicate in replicates))
            design = {name: getattr(settings, name) for name in DESIGN} | {"methods": names}
            workers.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(workers.with_name(f"{settings.label}.design")):  # jobs of a launcher start together
                write_design(tuned_path(settings, "suite.yaml"), run_config(settings), design)
        with at_work(workers), keep_data():
            print(table(replicates, title, count_at_work(workers)), flush=True)
            while sum(
                replicate.work() for replicate in replicates
            ):  # until what is left is in others' hands, or failed
                print(table(replicates, title, count_at_work(workers)), flush=True)
        print(f"next: {_analysis_command(settings)} tells the answer; without suite=…, it makes tables and figures")
        if failed := {name: text for replicate in replicates for name, text in replicate.failures.items()}:
            raise UserError(f"failed: {'; '.join(f'{name} ({text})' for name, text in failed.items())}")


def _require_as_published(suite: str, settings: SuiteConfig) -> None:
    """UserError where the command says what the suite's trials and runs are: they would replace those of the tables
    under its own name."""
    held = {*SEARCH, "experiment", "tuned", *_names(identity(run_config(settings)))}
    for name in given():
        if name in held:
            raise UserError(
                f"{name} is set by suite={suite}, whose configurations and tables are under its name: "
                f"give label=NAME for a suite of your own, or label={suite} to replace them"
            )


def _elsewhere(settings: SuiteConfig) -> bool:
    """Whether neither tuned files nor tables are those of the project."""
    return bool(settings.tuned_dir) and results_folder(settings).resolve() != RESULTS


def _names(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`dataset`, `dataset.augment`, … of nested settings."""
    for name, value in tree.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")


def _design(settings: SuiteConfig) -> str:
    search = f"configurations of {settings.configurations}" if settings.configurations else f"{settings.trials} trials"
    return f"{settings.replicates} replicates of {search} and {settings.runs} runs a method"


def _analysis_command(settings: SuiteConfig) -> str:
    """With the folders of this suite, where they are not the usual ones."""
    words, results = ["python", "-m", "analysis", f"suite={settings.label}"], results_folder(settings)
    words += ["--results", str(results)] if results.resolve() != RESULTS else []
    words += ["--tuned", settings.tuned_dir] if settings.tuned_dir else []
    return shlex.join(words)


def worker_folder(settings: SuiteConfig) -> Path:
    """Where the processes of a suite know of one another."""
    return Path(settings.output_dir, "sweeps", "workers", str(settings.label))


def help_text() -> str:
    return suite_help(__doc__, "settings of a suite", SuiteConfig)


def main() -> int:
    return run_command(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
