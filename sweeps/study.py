"""A sweep: one method's study, shared by any number of processes. Every trial is an ordinary run without a test.

A sweep's files lie in `<output_dir>/sweeps/<study>/`: `records/` has the records of its trials, apart from those that
tables are made of, and `trial-<n>/` the checkpoint of a trial under way. A completed trial has a record, a failed one a
record with its error; a pruned trial has none, and the study keeps its validation errors.
"""

import hashlib
import json
import shutil
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from filelock import FileLock
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from configs.schema import changed
from configs.settings import UserError
from training.callbacks import History
from training.errors import StoppedEarlyError
from training.run import Run
from training.selection import lowest
from training.train import train

from .code import check_code, code
from .sampling import make_pruner, make_sampler
from .settings import SPACES, SweepConfig, run_config
from .space import Space, load_space
from .storage import exists, file_of, lock_folder, open_storage, shown, writing
from .trial_table import STATES
from .tuned import TUNED, command_of, tuned_by, write_tuned
from .workers import TrialQueue, trials_of

NOT_FOR_A_SWEEP = {
    "test": "a sweep reads no test set",
    "rerun": "a trial is trained once",
    "results_dir": "records of trials lie in output_dir/sweeps, apart from those of the tables",
    "save_weights": "weights of trials are not kept",
}
CODE = "code"  # attribute of a study: what began it


class Sweep:
    """The study of `config.method` with the search space `space`; settings that the command line or an experiment gave
    win over those that the space fixes. Its name is a hash of all that decides what is tried, but for the number of
    trials.

    path: where the best configuration goes; null: <tuned_dir>/<label>/<method>.yaml."""

    def __init__(
        self, config: SweepConfig, space: Space, given: dict[str, str] | None = None, path: Path | None = None
    ) -> None:
        usual = type(config.method)()
        fixed = {
            name: value
            for name, value in space.fixed.items()
            if f"method.{name}" not in (given or {}) and getattr(config.method, name) == getattr(usual, name)
        }
        self.config, self.space = config, space
        self.base = run_config(config, method=replace(config.method, **fixed), test=False, rerun=False)
        self.grid = space.grid(config.trials) if config.sampler == "grid" else []
        self.first = {name: getattr(self.base.method, name) for name in space.tuned}
        self.total = len(self.grid) or config.trials
        self.name = self._name()
        self.folder = Path(config.output_dir) / "sweeps" / self.name
        self.url = config.storage or f"sqlite:///{config.output_dir}/sweeps/optuna.db"
        self.path = path or tuned_path(config, f"{config.method.name}.yaml")
        if not path and (other := tuned_by(self.path)[0]) not in ("", self.name):
            raise UserError(f"{self.path} is of another study, {other}: give label=NAME, or remove that file")

    def _name(self) -> str:
        """`<dataset>-<net>-<method>-<hash>`."""
        settings = changed(self.base)
        settings["method"] = {k: v for k, v in settings["method"].items() if k not in self.space.tuned}
        tuned = {name: distribution_to_json(values) for name, values in self.space.tuned.items()}
        search = [self.config.sampler, self.config.pruner, self.config.search_seed, self.grid, self.first]
        text = json.dumps([settings, tuned, search], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.base.dataset.name}-{self.base.net.name}-{self.base.method.name}-{digest}"

    def open(self) -> None:
        """Opens the study, and makes it where it is new. UserError where the storage cannot be opened, OtherCodeError
        where other code began the study."""
        locks = lock_folder(self.url, self.name, self.folder)
        storage = open_storage(self.url, locks)
        with writing(self.url), FileLock(locks / "open"):
            self.study = optuna.create_study(
                study_name=self.name,
                storage=storage,
                load_if_exists=True,
                sampler=make_sampler(
                    self.config.sampler, self.config.search_seed, self.space.tuned, self.first, self.grid
                ),
                pruner=make_pruner(self.config.pruner, self.config.epochs),
            )
            if CODE not in self.study.user_attrs:
                self._forget_trials()
                self.study.set_user_attr(CODE, code())
        check_code(f"study {self.name}", self.study.user_attrs[CODE], self.config.other_code)
        one_disk = file_of(self.url) is not None
        self.queue = TrialQueue(self.study, self.total, self._suggest, locks, one_disk, self.config.takeover)

    def _forget_trials(self) -> None:
        """Removes what an earlier study of this name left, whose storage is gone: other code may have made it."""
        for path in (self.folder / "records", *self.folder.glob("trial-*")):
            shutil.rmtree(path, ignore_errors=True)

    def find(self) -> bool:
        """Opens the study to look at it, where there is one; a file or its folder is not made. UserError where the
        storage cannot be opened."""
        locks = lock_folder(self.url, self.name, self.folder)
        if not exists(self.url) or (file_of(self.url) and not locks.exists()):
            return False
        storage = open_storage(self.url, locks)
        with writing(self.url), suppress(KeyError):
            self.study = optuna.load_study(study_name=self.name, storage=storage)
            return True
        return False

    def run(self) -> int:
        """Runs trials until the study has all of them, and returns how many this process ran; other processes may be
        running some of them still."""
        self.open()
        count = 0
        with tqdm(
            total=self.total,
            initial=self.ended(),
            desc=f"{self.config.method.name} on {self.config.dataset.name}",
            unit="trial",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        ) as bar:
            while True:
                with writing(self.url):
                    self._show(bar)
                    with self.queue.next() as trial:
                        if trial is None:
                            return count
                        self._run(trial)
                        count += 1
                    tqdm.write(self._line(trial.number), file=sys.stdout)

    # one trial

    def _suggest(self, trial: Trial) -> None:
        trial.set_user_attr("values", self.space.suggest(trial))

    def trial_run(self, trial: FrozenTrial) -> Run:
        """The run of a trial: whatever a sweep was told, it reads no test set, and no record but the sweep's own."""
        return Run(
            replace(
                self.base,
                method=replace(self.base.method, **trial.user_attrs["values"]),
                results_dir=str(self.folder / "records"),
                output_dir=str(self.folder / f"trial-{trial.number}"),
                save_weights=False,
            )
        )

    def _run(self, trial: Trial) -> None:
        """Trains, and tells the study. A UserError is for the user to put right: the trial waits for that."""
        known = self.study.get_trials(deepcopy=False)[trial.number]
        run = self.trial_run(known)
        try:
            report = Report(trial, known.intermediate_values, self.url)
            record = train(run, [report], command_of(run.config))
        except StoppedEarlyError:
            self.study.tell(trial, state=TrialState.PRUNED)
        except UserError:
            raise
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("record", str(run.record_path))
            self.study.tell(trial, record.validation["error"])
        shutil.rmtree(run.config.output_dir, ignore_errors=True)

    # what came of it

    def states(self) -> Counter[str]:
        """How many trials are `complete`, `pruned`, `failed`, `running`."""
        return Counter(STATES.get(trial.state, "running") for trial in self.trials())

    def trials(self) -> list[FrozenTrial]:
        """The first `total` trials: a study may have been given more by another command, and they do not count."""
        return trials_of(self.study)[: self.total]

    def ended(self) -> int:
        states = self.states()
        return states.total() - states["running"]

    def best(self) -> FrozenTrial | None:
        """The trial with the lowest validation error, the earliest at ties."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        return complete[lowest([trial.values[0] for trial in complete])] if complete else None

    def write_best(self, or_first: bool = False) -> str:
        """Writes the best configuration once all trials have ended, and says what came of them. Where none was
        completed: that of the first trial if `or_first`, else UserError."""
        states, best = self.states(), self.best()
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        heading = f"{self.config.method.name} on {self.config.dataset.name}: {states.total()} trials ({counts})"
        if states["running"]:
            return f"{heading}; the process that ends the last of them writes the best"
        if best:
            found = f"validation error {best.value:.2f} % in trial {best.number}"
        elif or_first:
            best, found = self.trials()[0], "the first trial's settings, as none was completed"
        else:
            errors = [error for trial in trials_of(self.study) if (error := trial.user_attrs.get("error"))]
            raise UserError(f"{heading}, none to choose from" + (f"; the last error: {errors[-1]}" if errors else ""))
        search = f"sampler {self.config.sampler}, pruner {self.config.pruner}, search seed {self.config.search_seed}"
        write_tuned(self.path, self.trial_run(best).config, self.name, states.total(), [heading, f"{found}; {search}"])
        edges = self.space.near_edges(best.user_attrs["values"]) if self.config.sampler != "grid" else []
        warning = f"  at an edge {', '.join(edges)}: better values may lie outside the search space\n" if edges else ""
        return (
            f"{heading}\n  best       {found}: {_text(best)}\n{warning}"
            f"  written    {self.path}{self._hint()}\n"
            f"  records    {self.folder / 'records'}\n"
            f"  dashboard  optuna-dashboard {shown(self.url).removeprefix('journal:')}"
        )

    def _hint(self) -> str:
        """How run.py takes the tuned file, which it looks for in configs/tuned."""
        if self.config.tuned_dir:
            return ""
        return f"   (python run.py +tuned={self.path.relative_to(TUNED).with_suffix('').as_posix()})"

    def _show(self, bar: tqdm) -> None:
        best = self.best()
        bar.n = self.ended()
        bar.set_postfix({"best": f"{best.value:.2f}%"} if best else {})

    def _line(self, number: int) -> str:
        trial = self.study.get_trials(deepcopy=False)[number]
        outcome = {
            TrialState.COMPLETE: f"validation error {trial.value or 0:.2f} %",
            TrialState.PRUNED: f"pruned after epoch {trial.last_step}",
        }.get(trial.state, trial.user_attrs.get("error", ""))
        return f"trial {number} ({self.ended()}/{self.total})  {outcome}  {_text(trial)}"


class Report(pl.Callback):
    """Tells the study the validation error of every epoch, and ends the run where the pruner says so.

    known: what was told before the run was interrupted. url: the study's storage; that it cannot be written is no
    failure of the trial, which waits (UserError)."""

    def __init__(self, trial: Trial, known: dict[int, float], url: str) -> None:
        self.trial, self.known, self.url = trial, known, url

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        (history,) = (callback for callback in callbacks if isinstance(callback, History))
        epoch = history.rows[-1]["epoch"]
        if epoch not in self.known:
            with writing(self.url):
                self.trial.report(history.rows[-1]["val_error"], epoch)
        if epoch < (trainer.max_epochs or 0) and self.trial.should_prune():
            raise StoppedEarlyError(f"pruned after epoch {epoch}")


def tuned_path(config: SweepConfig, *parts: str) -> Path:
    """A file below the folder of the sweep's or the suite's tuned files."""
    return Path(config.tuned_dir or TUNED, config.label or config.dataset.name, *parts)


def make_sweep(config: SweepConfig, command: dict[str, str]) -> Sweep:
    """The sweep that a command line asks for. UserError for what a sweep decides itself."""
    for name in command.keys() & NOT_FOR_A_SWEEP.keys():
        raise UserError(f"{name}={command[name]} is not for a sweep: {NOT_FOR_A_SWEEP[name]}")
    if config.dataset.validation == 0:
        raise UserError("dataset.validation=0 is not for a sweep, which chooses by the validation error")
    space = load_space(config.method.name, config.space)
    if not space:
        file = SPACES / f"{config.method.name}.yaml"
        raise UserError(f"method={config.method.name} has no search space: write {file}, or give space=FILE")
    for name in space.tuned:
        if f"method.{name}" in command:
            raise UserError(f"method.{name} is tuned; to hold it, give space=FILE without it")
    return Sweep(config, space, command)


def _text(trial: FrozenTrial) -> str:
    return " ".join(f"{name}={value}" for name, value in trial.user_attrs["values"].items())
