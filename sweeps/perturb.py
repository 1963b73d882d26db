"""How much depends on each setting that a search chose: it is multiplied and divided by 3, in runs of their own.

python -m sweeps.perturb suite=mnist                  around what the searches of configs/suite/mnist.yaml chose
python -m sweeps.perturb suite=mnist replicates=2     in the first two replicates; methods=[ste,bop] of these methods
python -m sweeps.perturb suite=mnist plan=true        shows what is left

The configuration that a method's search chose in replicate r is trained once more, and once with each of its tuned
numbers divided, and once with it multiplied, on the replicate's split and with the seed of its first run. No run reads
the test set. The validation errors go to results/perturbed/<suite>/<method>/r<r>.csv. A value that the method does not
accept is left out, and so is a replicate that is not tuned yet.

The same command, started again, goes on with what was interrupted; started several times at once, the processes share
the runs. A run that fails is in the table without an error.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from configs.schema import CONFIGS
from configs.settings import UserError
from training.command_line import job, tell

from .commands import run_command, suite_help, suites
from .devices import own_gpu
from .settings import SuiteConfig, given, resolve_sweep


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="suite")
def app(config: DictConfig) -> None:
    from training.data import keep_data

    from .perturbation import make_perturbations  # here, so that a mistyped word is refused before torch is loaded
    from .replicate import make_replicates

    with job():
        settings = resolve_sweep(config)
        assert isinstance(settings, SuiteConfig)
        suite = HydraConfig.get().runtime.choices["suite"]
        if not suite or settings.hours:
            raise UserError(f"say around which suite: suite={' | '.join(suites())}; hours=… is not for a perturbation")
        settings.label = settings.label or suite
        made, missing = make_perturbations(make_replicates(settings, given()))
        if not made:
            raise UserError(f"nothing of suite {suite} is tuned: python -m sweeps.suite suite={suite} first")
        for perturbation in made:
            print(f"  {perturbation.title:<16}{perturbation.ended()} of {perturbation.sweep.total} runs", flush=True)
        if missing:
            print(f"  not tuned yet   {', '.join(missing)}", flush=True)
        if settings.plan:
            return
        failed = []
        with own_gpu(settings.device), keep_data():
            for perturbation in made:
                try:
                    perturbation.work()
                except UserError as error:  # the others do not suffer from it
                    tell(f"{perturbation.title}: {error}")
                    failed.append(perturbation.title)
                if perturbation.done():
                    print(f"{perturbation.title}: {perturbation.path}", flush=True)
        if failed:
            raise UserError(f"not done: {', '.join(failed)}")


def help_text() -> str:
    return suite_help(__doc__, "settings of a suite", SuiteConfig)


def main() -> int:
    return run_command(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
