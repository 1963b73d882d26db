"""One method of a suite: its search, the runs of what was chosen, and how much of both is left."""

import statistics
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from configs.registry import METHODS
from configs.schema import identity
from configs.settings import UserError, unknown
from results.record import load, record_files
from training.command_line import tell
from training.run import BusyError, Run
from training.summary import duration, run_summary
from training.train import train

from .settings import SuiteConfig, run_config
from .space import load_space
from .study import Sweep
from .tuned import TUNED, command_of, tuned_by, tuned_method, write_tuned

UNTUNED = "untuned"  # in place of a study's name
LIKE = ("dataset", "net", "batch_size", "limit_train")  # settings that make an epoch as long as another


class Entry:
    """One method of a suite."""

    def __init__(self, config: SuiteConfig, name: str) -> None:
        method = METHODS[name].Config()  # type: ignore[call-arg]
        self.name, self.config = name, replace(config, method=method)
        space = load_space(name)
        self.sweep = Sweep(self.config, space) if space else None
        self.path = Path(config.tuned_dir or TUNED) / str(config.label) / f"{name}.yaml"
        self.failures: dict[str, str] = {}  # of this process; they are tried again by the next one

    def tuned(self) -> bool:
        """Whether the tuned file is there, of this very study, with all its trials."""
        study, trials = tuned_by(self.path)
        return (study, trials) == (self.sweep.name, self.sweep.total) if self.sweep else study == UNTUNED

    def tune(self) -> int:
        """Runs trials, writes the best where all have ended, and returns how many trials this process ran."""
        if not self.sweep:
            write_tuned(self.path, run_config(self.config), UNTUNED, 0, [f"{self.name} has no search space: defaults"])
            return 0
        count = self.sweep.run()
        print(self.sweep.conclude(), flush=True)
        return count

    def runs(self) -> list[Run]:
        """The run of every seed, once the method is tuned."""
        method = tuned_method(self.path, METHODS[self.name].Config)
        return [Run(run_config(self.config, method=method, seed=seed)) for seed in self.config.seeds]

    def work(self) -> bool:
        """Does what is left and what no other process is doing; returns whether there was anything."""
        worked = False
        try:
            if not self.tuned():
                worked = self.tune() > 0
            for run in self.runs() if self.tuned() else []:
                worked |= self._train(run)
        except UserError as error:
            self._fail(self.name, error)
        return worked

    def _train(self, run: Run) -> bool:
        name = f"{self.name} seed {run.config.seed}"
        if name in self.failures or run.finished():
            return False
        try:
            print(run_summary(train(run, command=command_of(run.config)), run.record_path), flush=True)
        except BusyError:
            return False
        except Exception as error:  # whatever it is, the other runs do not suffer from it
            self._fail(name, error)
        return True

    def _fail(self, name: str, error: Exception) -> None:
        if name not in self.failures:
            self.failures[name] = f"{type(error).__name__}: {error}"
            tell(f"{name}: {error}")

    def progress(self) -> tuple[str, str, int]:
        """Trials and runs as text, and how many of both are left."""
        runs = self.runs() if self.tuned() else []
        done = sum(run.finished() is not None for run in runs)
        left = len(self.config.seeds) - done
        text = f"{done}/{len(self.config.seeds)}"
        if failed := sum(run.failed_path.exists() for run in runs):
            text += f" ({failed} failed)"
        if not self.sweep:
            return UNTUNED, text, left
        if self.tuned():
            return f"{self.sweep.total}/{self.sweep.total}", text, left
        self.sweep.open()
        ended, failed = self.sweep.ended(), self.sweep.states()["failed"]
        trials = f"{ended}/{self.sweep.total}" + (f" ({failed} failed)" if failed else "")
        return trials, text, left + self.sweep.total - ended

    def seconds(self) -> list[float]:
        """How long a run took by the records of this method on this data set and net, brought to the suite's epochs."""
        folders = [Path(self.config.results_dir)]
        folders += [self.sweep.folder / "records"] if self.sweep else []
        like = {name: identity(run_config(self.config))[name] for name in LIKE}
        found = []
        for path in (path for folder in folders for path in record_files(folder, self.name)):
            with suppress(UserError):  # an estimate does without a record that cannot be read
                record = load(path)
                if all(record.config.get(name) == value for name, value in like.items()):
                    found.append(record.cost["elapsed_seconds"] / record.config["epochs"] * self.config.epochs)
        return found


def table(entries: list[Entry], title: str) -> str:
    """What is done and left of each method, and the time that it will take: by its own records, else the others'."""
    seconds = {entry.name: found for entry in entries if (found := entry.seconds())}
    typical = statistics.median(map(statistics.median, seconds.values())) if seconds else None
    lines, total, unknown_time = [title, f"  {'method':<16}{'trials':<20}{'runs':<20}left"], 0.0, False
    for entry in entries:
        try:
            trials, runs, left = entry.progress()
        except UserError as error:
            lines.append(f"  {entry.name:<16}{error}")
            continue
        each = statistics.median(seconds[entry.name]) if entry.name in seconds else typical
        total += left * (each or 0)
        unknown_time |= bool(left) and each is None
        time = "" if not left else f"about {duration(left * each)}" if each is not None else "time unknown"
        lines.append(f"  {entry.name:<16}{trials:<20}{runs:<20}{f'{left} to do, {time}' if left else 'done'}")
    if unknown_time:
        lines.append("  no record of this data set and net tells how long a run takes")
    elif total:
        lines.append(f"  in all about {duration(total)} in one process; trials that end early make it less")
    return "\n".join(lines)


def make_entries(config: SuiteConfig, command: dict[str, str]) -> list[Entry]:
    """UserError for methods that are none, and for what a suite decides itself."""
    for name in command:
        if name == "method" or name.startswith("method.") or name in ("seed", "space", "rerun"):
            raise UserError(f"{name} is not for a suite, which has methods=[…], seeds=[…] and their search spaces")
    for name in config.methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UserError(f"seeds={config.seeds} is not valid: one or more different seeds")
    if config.seed in config.seeds:
        raise UserError(f"seeds={config.seeds} is not valid: seed {config.seed} is that of the trials")
    return [Entry(config, name) for name in METHODS if not config.methods or name in config.methods]
