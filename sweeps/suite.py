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

import statistics
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from configs.schema import RunConfig, identity, register, resolve
from configs.settings import UserError, unknown
from methods import METHODS
from results.files import BusyError
from results.record import failed_path, find, load, record_path
from run import CONFIGS, command_line, complain, fail_job, train
from training.summary import report

from .settings import SuiteConfig, given, run_config, settings_text
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

    def runs(self) -> list[RunConfig]:
        """The run of every seed, once the method is tuned."""
        method = tuned_method(self.path, METHODS[self.name].Config)
        return [run_config(self.config, method=method, seed=seed) for seed in self.config.seeds]

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

    def _train(self, config: RunConfig) -> bool:
        name = f"{self.name} seed {config.seed}"
        if name in self.failures or find(config):
            return False
        try:
            print(report(train(config, command=command_of(config)), record_path(config)), flush=True)
        except BusyError:
            return False
        except Exception as error:  # whatever it is, the other runs do not suffer from it
            self._fail(name, error)
        return True

    def _fail(self, name: str, error: Exception) -> None:
        if name not in self.failures:
            self.failures[name] = f"{type(error).__name__}: {error}"
            complain(UserError(f"{name}: {error}"))

    def progress(self) -> tuple[str, str, int]:
        """Trials and runs as text, and how many of both are left."""
        runs = self.runs() if self.tuned() else []
        done = sum(find(run) is not None for run in runs)
        left = len(self.config.seeds) - done
        text = f"{done}/{len(self.config.seeds)}"
        if failed := sum(failed_path(run).exists() for run in runs):
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
        folders = [Path(self.config.results_dir) / self.name]
        folders += [self.sweep.folder / "records" / self.name] if self.sweep else []
        like = {name: identity(run_config(self.config))[name] for name in LIKE}
        found = []
        for path in (path for folder in folders for path in folder.glob("*.json")):
            with suppress(UserError):  # an estimate does without a record that cannot be read
                record = load(path)
                if record.status == "done" and all(record.config.get(name) == value for name, value in like.items()):
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
        time = "" if not left else f"about {_duration(left * each)}" if each is not None else "time unknown"
        lines.append(f"  {entry.name:<16}{trials:<20}{runs:<20}{f'{left} to do, {time}' if left else 'done'}")
    if unknown_time:
        lines.append("  no record of this data set and net tells how long a run takes")
    elif total:
        lines.append(f"  in all about {_duration(total)} in one process; trials that end early make it less")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


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


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
def app(config: DictConfig) -> None:
    try:
        settings = resolve(config)
        assert isinstance(settings, SuiteConfig)
        suite = HydraConfig.get().runtime.choices.get("suite")
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
    except UserError as error:
        fail_job(error)


def suites() -> list[str]:
    return sorted(path.stem for path in Path(CONFIGS, "suite").glob("*.yaml"))


def help_text() -> str:
    lines = ["", "suite=", *(f"  {name}" for name in suites()), "", "settings of a suite"]
    lines += [*settings_text(SuiteConfig), "", "and every setting of a run: python run.py --help"]
    return (__doc__ or "") + "\n".join(lines)


def main() -> int:
    register(SuiteConfig)
    # a suite is an addition to configs/run.yaml, for which Hydra wants a plus
    sys.argv[1:] = [f"+{word}" if word.startswith("suite=") else word for word in sys.argv[1:]]
    return command_line(app, help_text)


if __name__ == "__main__":
    sys.exit(main())
