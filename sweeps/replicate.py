"""One replicate of a method in a suite: a search on a split of its own, and the runs of what the search chose."""

from dataclasses import dataclass, replace

from configs.registry import METHODS
from configs.replicates import run_seeds, trial_seed
from configs.settings import UserError, unknown
from training.command_line import tell
from training.run import BusyError, Run
from training.summary import run_summary
from training.train import train

from .code import OtherCodeError, check_code
from .settings import SuiteConfig, results_folder, run_config
from .space import Space, load_space
from .study import Sweep, tuned_path
from .trial_table import write_trial_table
from .tuned import command_of, tuned_by, tuned_method, tuned_with, write_tuned

UNTUNED = "untuned"  # begins what stands in place of a study's name
NOT_FOR_A_SUITE = ("method", "seed", "split_seed", "search_seed", "space", "rerun")


@dataclass
class Progress:
    """What is done of a replicate; `problem` says why no more can be told."""

    trials: int = 0  # that have ended
    failed_trials: int = 0
    runs: int = 0  # that have a record
    failed_runs: int = 0
    problem: str = ""


class Replicate:
    """Replicate `number` of a method. Where the suite takes another suite's `configurations`, there is no search.

    space: the method's search space, None where it has none."""

    def __init__(self, config: SuiteConfig, name: str, number: int, space: Space | None) -> None:
        self.name, self.number = name, number
        method = METHODS[name].Config()  # type: ignore[call-arg]
        seed = trial_seed(number)
        self.config = replace(config, method=method, split_seed=number, search_seed=number, seed=seed)
        parts = (name, f"r{number}.yaml")
        self.path = tuned_path(replace(config, label=config.configurations or config.label), *parts)
        self.table_path = results_folder(config) / "trials" / str(config.label) / name / f"r{number}.csv"
        self.sweep = Sweep(self.config, space, path=self.path) if space and not config.configurations else None
        self.failures: dict[str, str] = {}  # of this process; they are tried again by the next one

    @property
    def total_trials(self) -> int:
        return self.sweep.total if self.sweep else 0

    def tuned(self) -> bool:
        """Whether the configuration is there: of this very study with all its trials, or of the suite named."""
        study, trials = tuned_by(self.path)
        if self.config.configurations:
            return bool(study)
        return (study, trials) == ((self.sweep.name, self.sweep.total) if self.sweep else (self._defaults(), 0))

    def _defaults(self) -> str:
        """In place of a study's name, where there is no search: a hash of all that its runs share but their seed."""
        return f"{UNTUNED}-{Run(run_config(self.config)).id.rpartition('-')[2]}"

    def tune(self) -> int:
        """Runs trials, writes the best where all have ended, and returns how many trials this process ran."""
        if self.config.configurations:
            raise UserError(f"{self.path} is missing: python -m sweeps.suite suite={self.config.configurations} first")
        if not self.sweep:
            write_tuned(self.path, run_config(self.config), self._defaults(), 0, [f"{self.name} has no search space"])
            return 0
        count = self.sweep.run()
        if self.sweep.ended() == self.sweep.total:
            write_trial_table(self.sweep.trials(), self.table_path)
        print(self.sweep.write_best(or_first=True), flush=True)
        return count

    def runs(self) -> list[Run]:
        """The run of every seed, once the method is tuned."""
        method = tuned_method(self.path, METHODS[self.name].Config)
        return [
            Run(run_config(self.config, method=method, seed=seed)) for seed in run_seeds(self.number, self.config.runs)
        ]

    def work(self) -> bool:
        """Does what is left and what no other process is doing; returns whether there was anything. OtherCodeError
        where other code began it; other failures are kept in `failures` and told."""
        worked = False
        try:
            if not self.tuned():
                worked = self.tune() > 0
            for run in self.runs() if self.tuned() else []:
                worked |= self._train(run)
        except OtherCodeError:
            raise
        except UserError as error:
            self._fail(f"{self.name} r{self.number}", error)
        return worked

    def _train(self, run: Run) -> bool:
        name = f"{self.name} r{self.number} seed {run.config.seed}"
        if name in self.failures:
            return False
        try:
            if run.finished():
                return False
            if not self.config.configurations:
                check_code(f"{self.path}", tuned_with(self.path), self.config.other_code)
            record = train(run, command=command_of(run.config))
            print(run_summary(record, run.record_path, run.packed_paths), flush=True)
        except OtherCodeError:
            raise
        except BusyError:
            return False
        except Exception as error:  # whatever it is, the other runs do not suffer from it
            self._fail(name, error)
        return True

    def _fail(self, name: str, error: Exception) -> None:
        if name not in self.failures:
            self.failures[name] = f"{type(error).__name__}: {error}"
            tell(f"{name}: {error}")

    def progress(self) -> Progress:
        """How far this replicate is, whoever works on it. Nothing is made by looking."""
        done = Progress()
        try:
            if self.tuned():
                done.trials = self.total_trials
                for run in self.runs():
                    done.failed_runs += run.failed_path.exists()
                    done.runs += run.finished() is not None
            elif self.sweep and self.sweep.find():
                done.trials, done.failed_trials = self.sweep.ended(), self.sweep.states()["failed"]
        except UserError as error:
            done.problem = str(error)
        return done


def make_replicates(config: SuiteConfig, command: dict[str, str]) -> list[Replicate]:
    """The replicates of a suite in the order of work: the first of all methods, then the second of all. UserError for
    methods that are none, and for what a suite decides itself."""
    for name in command:
        if name.startswith("method.") or name in NOT_FOR_A_SUITE:
            raise UserError(f"{name} is not for a suite, which has methods=[…], and draws each replicate's seeds anew")
    if config.dataset.validation == 0:
        raise UserError("dataset.validation=0 is not for a suite, which chooses by the validation error")
    for name in config.methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    names = [name for name in METHODS if not config.methods or name in config.methods]
    spaces = {name: load_space(name) for name in names}
    numbers = range(1, config.replicates + 1)
    return [Replicate(config, name, number, spaces[name]) for number in numbers for name in names]
