"""Tunes one method: trials of a study, and the best configuration as a file that run.py takes.

python -m sweeps method=bop2nd dataset=mnist trials=30      tunes, and writes configs/tuned/mnist/bop2nd.yaml
python run.py +tuned=mnist/bop2nd seed=1                    trains with what was found
python -m sweeps --help                                     the settings of a sweep

The same command, started again, goes on with what was interrupted; started several times at once, on one machine or
many, the processes share the trials. `-m method=ste,bop hydra/launcher=joblib` (or `submitit_slurm`) tunes several
methods through Hydra's launchers, where their packages are installed. `optuna-dashboard <storage>` shows the study.
"""

import sys

import hydra
from omegaconf import DictConfig

from configs.schema import register, resolve
from configs.settings import UserError
from run import CONFIGS, command_line, fail_job

from .settings import SweepConfig, given, settings_text
from .space import SPACES, load_space
from .study import Sweep

NOT_FOR_A_SWEEP = {
    "test": "a sweep reads no test set",
    "rerun": "a trial is trained once",
    "results_dir": "records of trials lie in output_dir/sweeps, apart from those of the tables",
    "save_weights": "weights of trials are not kept",
}


def make_sweep(config: SweepConfig, command: dict[str, str]) -> Sweep:
    """The sweep that a command line asks for. UserError for what a sweep decides itself."""
    for name in command.keys() & NOT_FOR_A_SWEEP.keys():
        raise UserError(f"{name}={command[name]} is not for a sweep: {NOT_FOR_A_SWEEP[name]}")
    space = load_space(config.method.name, config.space)
    if not space:
        file = SPACES / f"{config.method.name}.yaml"
        raise UserError(f"method={config.method.name} has no search space: write {file}, or give space=FILE")
    for name in space.tuned:
        if f"method.{name}" in command:
            raise UserError(f"method.{name} is tuned; to hold it, give space=FILE without it")
    return Sweep(config, space, command)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
def app(config: DictConfig) -> float | None:
    """One sweep. Returns the lowest validation error in %, None where it failed."""
    try:
        settings = resolve(config)
        assert isinstance(settings, SweepConfig)
        sweep = make_sweep(settings, given())
        sweep.run()
        print(sweep.conclude(), flush=True)
        best = sweep.best()
        return best.value if best else None
    except UserError as error:
        fail_job(error)
        return None


def help_text() -> str:
    spaces = sorted(path.stem for path in SPACES.glob("*.yaml"))
    lines = [
        "",
        "settings of a sweep",
        *settings_text(SweepConfig),
        "",
        "search spaces",
        *(f"  {name}" for name in spaces),
    ]
    lines += ["", "and every setting of a run: python run.py --help"]
    return (__doc__ or "") + "\n".join(lines)


def main() -> int:
    register(SweepConfig)
    return command_line(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
