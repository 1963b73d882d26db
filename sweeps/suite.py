"""A suite: every method tuned with the same trials and epochs, then run with the same seeds and tested.

python -m sweeps.suite suite=mnist                  does what is left of configs/suite/mnist.yaml
python -m sweeps.suite suite=mnist plan=true        shows what is left, and about how long it will take
python -m sweeps.suite suite=mnist methods=[ste]    one method of it; any setting of the suite as name=value

A method appears in every suite once it is registered. One without a search space runs with its defaults, and is shown
as untuned. The best configurations go to configs/tuned/<suite>/. Seed 0 tunes; the suites' own seeds are others.

The same command, started again, does what is left; started several times at once, the processes share the work.
`-m methods=[ste],[bop] hydra/launcher=joblib` (or `submitit_slurm`) goes through Hydra's launchers, where their
packages are installed. A run that fails is counted and shown, and the suite goes on; its exit status is then 2.
"""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from configs.schema import CONFIGS, register, resolve
from configs.settings import UserError
from training.command_line import command_line, job

from .settings import SuiteConfig, given, register_schemas, settings_text


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="suite")
def app(config: DictConfig) -> None:
    from .entry import make_entries, table  # here, so that a mistyped word is refused before torch is loaded

    with job():
        settings = resolve(config)
        assert isinstance(settings, SuiteConfig)
        suite = HydraConfig.get().runtime.choices["suite"]
        if not suite:
            raise UserError(f"say which suite: suite={' | '.join(suites())}")
        settings.label = settings.label or suite
        entries = make_entries(settings, given())
        title = (
            f"suite {suite}: {settings.epochs} epochs, {settings.trials} trials and {len(settings.seeds)} runs a method"
        )
        print(table(entries, title), flush=True)
        if settings.plan:
            return
        while sum(entry.work() for entry in entries):  # until what is left is in other processes' hands, or failed
            print(table(entries, title), flush=True)
        if failed := {name: text for entry in entries for name, text in entry.failures.items()}:
            raise UserError(f"failed: {'; '.join(f'{name} ({text})' for name, text in failed.items())}")


def suites() -> list[str]:
    return sorted(path.stem for path in Path(CONFIGS, "suite").glob("*.yaml"))


def help_text() -> str:
    lines = ["", "suite=", *(f"  {name}" for name in suites()), "", "settings of a suite"]
    lines += [*settings_text(SuiteConfig), "", "and every setting of a run: python run.py --help"]
    return (__doc__ or "") + "\n".join(lines)


def main() -> int:
    register()
    register_schemas()
    return command_line(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
