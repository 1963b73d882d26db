"""Trains one net and leaves its record: config → datamodule → method → training → record.

python run.py method=ste dataset=mnist          trains, and leaves results/runs/ste/<run id>.json
python run.py --help                            methods, data sets, nets, and every setting
"""

import sys

import hydra
from omegaconf import DictConfig

from configs.schema import CONFIGS, register, resolve
from training.command_line import command_line, job
from training.run import Run
from training.summary import run_summary


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
def app(config: DictConfig) -> float | None:
    """One job of Hydra's: trains and prints the summary. Returns the validation error in %, None where it
    failed or sets no example aside."""
    from training.train import train  # here, so that a mistyped word is refused before torch is loaded

    with job():
        run = Run(resolve(config))
        record = train(run)
        if record.curves:  # which the first of several processes has
            print(run_summary(record, run.record_path, run.packed_paths), flush=True)
        return record.validation.get("error")
    return None


def help_text() -> str:
    from training.help import help_text

    return help_text()


def main() -> int:
    register()
    return command_line(app, help_text)


if __name__ == "__main__":
    from run import main as command  # the module under its name: what a launcher sends to its processes is found there

    sys.exit(command())
