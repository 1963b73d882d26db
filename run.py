"""The spine: config → datamodule → method → trainer → record.

python run.py method=ste dataset=mnist          trains, and leaves results/runs/ste/<run id>.json
python run.py --help                            methods, data sets, nets, and every setting
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from configs.schema import GROUPS, RunConfig, register, resolve
from configs.settings import UserError, unknown
from datamodules import DATASETS, DataModule
from methods import METHODS, Method
from results.files import alone_in, check_writable
from results.record import Record, find, record_path, run_id
from training.callbacks.history import StoppedEarlyError, TrainingError
from training.help import CONFIG_ERRORS, explain, help_text
from training.recording import abandon, begin, conclude, fail
from training.summary import report
from training.trainer import interruptible, pick_device, prepare

CONFIGS = str(Path(__file__).parent / "configs")


def train(config: RunConfig, callbacks: Sequence[pl.Callback] = (), command: str | None = None) -> Record:
    """Trains one net and returns the record that it wrote; an existing record is returned as it is.

    callbacks: Lightning's, beside the run's own; one that raises StoppedEarlyError ends the run without a record.
    command: what the record names as the command that makes this run; null: what was typed."""
    if not config.rerun and (done := find(config)):
        print(f"skipped, the record exists (rerun=true trains again): {record_path(config)}", flush=True)
        return done
    check_writable(record_path(config))
    with alone_in(Path(config.output_dir) / run_id(config)):
        return _train(config, callbacks, command)


def build(config: RunConfig, device: torch.device) -> tuple[DataModule, Method]:
    """The data, read but for its test set, and the method with its initial weights, both on `device`."""
    data = DATASETS[config.dataset.name](
        config.dataset,
        config.data_dir,
        batch_size=config.batch_size,
        seed=config.seed,
        split_seed=config.split_seed,
        limit=config.limit_train,
        device=device,
    )
    data.prepare_data()
    data.setup("fit")
    torch.manual_seed(config.seed)
    method = METHODS[config.method.name](config.method, config.net, data.input_shape, data.classes, config.loss)
    return data, method.to(device)


def _train(config: RunConfig, callbacks: Sequence[pl.Callback], command: str | None) -> Record:
    device = pick_device(config.device)
    data, method = build(config, device)
    record = begin(config, method, data, device, command)
    try:
        with interruptible():
            training = prepare(config, method, data, device, Path(config.output_dir) / record.run_id, callbacks)
            training.fit(method, data)
            conclude(record, config, training, method, data)
    except StoppedEarlyError:
        abandon()
        raise
    except Exception as error:
        fail(record, config, error)
        raise
    return record


failures = 0  # of this process' jobs; one bad run of a grid does not stop the others
command_process = 0  # whose exit status tells of failures; the jobs of a launcher (joblib, submitit) run in others


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
def app(config: DictConfig) -> float | None:
    """One job of Hydra's: trains and prints the summary. Returns the validation error in %, None where it failed."""
    try:
        run = resolve(config)
        record = train(run)
        print(report(record, record_path(run)), flush=True)
        return record.validation["error"]
    except (UserError, TrainingError, FloatingPointError) as error:
        fail_job(error)
        return None


def fail_job(error: Exception) -> None:
    """Tells of a failed job: here, or, from a launcher's process, by an error that Hydra carries to the command."""
    complain(error)
    if os.getpid() != command_process:
        raise UserError(str(error)) from error


def complain(error: Exception) -> None:
    """The one line on standard error, and the exit status to come."""
    global failures
    failures += 1
    print(f"error: {error}", file=sys.stderr, flush=True)


def command_line(app: Callable[[], Any], text: Callable[[], str]) -> int:
    """Runs Hydra's `app`, or prints the `text` of --help: exit status 0, or 2 after one line that says what to put
    right."""
    global failures, command_process
    failures, command_process = 0, os.getpid()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and the text below is ours
    try:
        if {"--help", "-h"} & set(sys.argv[1:]):
            print(text())
        elif empty := [name for name in GROUPS if f"{name}=null" in sys.argv]:
            raise unknown(empty[0], "null", GROUPS[empty[0]])
        else:
            app()
    except UserError as error:
        complain(error)
    except CONFIG_ERRORS as error:
        complain(explain(error))
    except OSError as error:
        complain(UserError(f"{error.filename}: {error.strerror}"))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 2 if failures else 0


def _help() -> str:
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        defaults = hydra.compose("run")
    return help_text(defaults, [path.stem for path in Path(CONFIGS, "experiment").glob("*.yaml")])


def main() -> int:
    register()
    return command_line(app, _help)


if __name__ == "__main__":
    from run import main as command  # the module under its name: what a launcher sends to its processes is found there

    sys.exit(command())
