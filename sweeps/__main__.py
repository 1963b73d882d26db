"""Tunes one method: trials of a study, and the best configuration as a file that run.py takes.

python -m sweeps method=bop2nd dataset=mnist label=mine     tunes, and writes configs/tuned/mine/bop2nd.yaml
python run.py +tuned=mine/bop2nd seed=1                     trains with what was found
python -m sweeps --help                                     the settings of a sweep

The same command, started again, goes on with what was interrupted; started several times at once, on one machine or
many, the processes share the trials. `-m method=ste,bop hydra/launcher=joblib` (or `submitit_slurm`) tunes several
methods through Hydra's launchers, where their packages are installed. `optuna-dashboard <storage>` shows the study.
"""

import sys

import hydra
from omegaconf import DictConfig

from configs.schema import CONFIGS
from training.command_line import job

from .commands import run_command
from .devices import own_gpu
from .settings import SPACES, SweepConfig, given, resolve_sweep, settings_text


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="sweep")
def app(config: DictConfig) -> float | None:
    """One sweep. Returns the lowest validation error in %, None where other processes are still at it."""
    from training.data import keep_data

    from .study import make_sweep  # here, so that a mistyped word is refused before torch is loaded

    with job():
        settings = resolve_sweep(config)
        sweep = make_sweep(settings, given())
        with own_gpu(settings.device), keep_data():
            sweep.run()
        print(sweep.write_best(), flush=True)
        best = sweep.best()
        return best.value if best else None
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
    return run_command(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
