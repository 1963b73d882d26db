"""A user's own question: which method should I trust, for my net and data, in the hours that I have?

`hours` are those of one process; started several times at once, the processes share the work. The design of the suite
is chosen once, by the time that an epoch takes each method, and kept in output_dir/sweeps/questions/, so that the same
command, started again, goes on with it.
"""

import hashlib
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from filelock import FileLock

from configs.registry import METHODS
from configs.replicates import CONTROL, replicate_of
from configs.schema import changed
from configs.settings import UserError, unknown
from results.files import write_whole
from results.record import deployed_error, load, record_files
from training.environment import synchronize
from training.errors import StoppedEarlyError
from training.run import Run
from training.summary import duration
from training.train import train

from .plan import START_SECONDS, alike, epoch_seconds, seconds_of
from .power import detectable
from .replicate import Replicate
from .settings import SuiteConfig, run_config
from .space import load_space

SPREAD = 0.5  # points of test error over replicates, assumed where no record tells
WANTED_EPOCHS, MOST_EPOCHS, LEAST_EPOCHS = 20, 100, 3
DESIGNS = ((6, 8, 2), (5, 8, 1), (4, 6, 1), (3, 6, 1), (3, 4, 1))  # replicates, trials, runs: the best first
TIMED_STEPS, UNTIMED_STEPS = 100, 5  # the first steps compile and allocate
BESIDE_STEPS = 1.15  # validation, diagnostics and checkpoints, in proportion to the training steps


@dataclass(frozen=True)
class Design:
    """How a suite spends its time: see SuiteConfig."""

    replicates: int
    trials: int
    runs: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.replicates} replicates of {self.trials} trials and {self.runs} runs, {self.epochs} epochs"

    def seconds(self, epochs: Mapping[str, float], searched: Sequence[str]) -> float:
        """Of the whole suite in one process. epochs: seconds an epoch of each method; searched: those with a space."""
        count = {name: self.replicates * (self.runs + self.trials * (name in searched)) for name in epochs}
        return sum(seconds_of(count[name], self.epochs, epochs[name]) for name in epochs)


def choose_design(
    epochs: Mapping[str, float], searched: Sequence[str], seconds: float, held: Mapping[str, int]
) -> Design:
    """The first of DESIGNS that leaves WANTED_EPOCHS or more in `seconds`, with as many as there is time for, at most
    MOST_EPOCHS; else the last of them with what is left. `held`: values that the user gave.

    UserError where not even the last has LEAST_EPOCHS, or the held epochs."""
    designs = [
        replace(Design(*numbers, epochs=0), **{name: value for name, value in held.items() if name != "epochs"})
        for numbers in DESIGNS
    ]
    for design in designs:
        found = _longest(design, epochs, searched, seconds, held)
        if found.epochs >= held.get("epochs", WANTED_EPOCHS):
            return found
    least = held.get("epochs", LEAST_EPOCHS)
    if found.epochs < least:
        smallest = replace(designs[-1], epochs=least)
        needed = duration(smallest.seconds(epochs, searched))
        raise UserError(
            f"hours={seconds / 3600:g} is too short for {len(epochs)} methods: {smallest}, take about {needed}; "
            "give more hours, fewer methods=[…] or a smaller net"
        )
    return found


def _longest(
    design: Design, epochs: Mapping[str, float], searched: Sequence[str], seconds: float, held: Mapping[str, int]
) -> Design:
    """The design with the most epochs that there is time for; 0 where there is none for the held ones."""
    each = replace(design, epochs=1).seconds(epochs, searched) - replace(design, epochs=0).seconds(epochs, searched)
    most = int((seconds - replace(design, epochs=0).seconds(epochs, searched)) / each)
    if "epochs" in held:
        return replace(design, epochs=held["epochs"] if most >= held["epochs"] else 0)
    return replace(design, epochs=max(0, min(most, MOST_EPOCHS)))


def plan_question(config: SuiteConfig, hours: float, command: Mapping[str, str]) -> tuple[SuiteConfig, str]:
    """The suite that answers the question, and what to tell of it. UserError where the time is too short."""
    for name in config.methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    added = bool(config.methods) and CONTROL not in config.methods
    names = [name for name in METHODS if not config.methods or name in (*config.methods, CONTROL)]
    held = {name: getattr(config, name) for name in ("replicates", "trials", "runs", "epochs") if name in command}
    asked = _asked(config, names, held)
    config = replace(config, methods=names, label=config.label or _label(config, asked))
    firsts = {name: Replicate(config, name, 1, load_space(name)) for name in names}
    searched = [name for name, first in firsts.items() if first.sweep]
    path = Path(config.output_dir, "sweeps", "questions", f"{config.label}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            print(f"timing {', '.join(names)}", flush=True)
            times = {name: _seconds_an_epoch(first) for name, first in firsts.items()}
            design = choose_design(_first_of(times), searched, 3600 * hours, held)
            write_whole(path, json.dumps({"asked": asked, "design": asdict(design), "times": times}, indent=1))
    content = json.loads(path.read_text())
    if content["asked"] != asked:
        raise UserError(
            f"label={config.label} is that of another question, with other hours, methods or settings: "
            f"give another label, or remove {path}"
        )
    design, times = Design(**content["design"]), content["times"]
    needed = design.seconds(_first_of(times), searched)
    text = [
        f"question: {len(names)} methods for {config.net.name} on {config.dataset.name}, in {hours:g} h",
        *([f"  control    {CONTROL} is added: each method is compared with it"] if added else []),
        "  an epoch   " + ", ".join(f"{name} {seconds:.3g} s ({source})" for name, (seconds, source) in times.items()),
        f"  plan       {design}: about {duration(needed)} in one process, the same for all methods",
        *_promise(config, design),
    ]
    config = replace(config, **asdict(design))
    return config, "\n".join(text)


def _promise(config: SuiteConfig, design: Design) -> Iterator[str]:
    """What the suite will and will not be able to tell."""
    spread, source = _spread(config)
    difference = detectable(design.replicates, max(1, len(config.methods) - 1)) * spread
    yield (
        f"  can tell   a difference to {CONTROL} of {difference:.2g} points of test error or more, with 80 % power, if "
        f"replicates of a method have a standard deviation of {spread:.2g} points ({source}); with another one, in "
        "proportion"
    )
    yield (
        f"  cannot     a smaller difference; which of two methods other than {CONTROL} is better; what more than "
        f"{design.epochs} epochs, or searches of more than {design.trials} trials, would change"
    )


def _first_of(times: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    return {name: seconds for name, (seconds, _) in times.items()}


def _asked(config: SuiteConfig, names: Sequence[str], held: Mapping[str, int]) -> str:
    """All that the plan depends on, as text."""
    settings = {k: v for k, v in changed(run_config(config)).items() if k not in ("method", "epochs", "seed")}
    return json.dumps([settings, names, dict(held), config.hours], sort_keys=True, default=str)


def _label(config: SuiteConfig, text: str) -> str:
    return f"{config.dataset.name}-{config.net.name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


# what is known before the first trial


class Stopwatch(pl.Callback):
    """Ends a run after TIMED_STEPS steps, or its first epoch, and knows how long an epoch takes by then."""

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.steps = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        synchronize(pl_module.device)
        self.marks.append(time.perf_counter())
        self.steps = int(trainer.num_training_batches)
        if len(self.marks) == min(self.steps, TIMED_STEPS + UNTIMED_STEPS):
            raise StoppedEarlyError("timed")

    def epoch_seconds(self) -> float:
        """By the mean step, the first ones left out where there are others; of a single step, START_SECONDS."""
        marks = self.marks[UNTIMED_STEPS:] if len(self.marks) > 2 * UNTIMED_STEPS else self.marks
        if len(marks) < 2:
            return START_SECONDS
        return BESIDE_STEPS * self.steps * (marks[-1] - marks[0]) / (len(marks) - 1)


def _seconds_an_epoch(first: Replicate) -> tuple[float, str]:
    """Of a method, by its records on this data and net, else by some steps with its defaults; and which of the two."""
    if found := epoch_seconds([first]):
        return statistics.median(found), f"{len(found)} records"
    base = first.sweep.base if first.sweep else run_config(first.config)
    folder = Path(first.config.output_dir, "sweeps", "questions", str(first.config.label))
    watch = Stopwatch()
    with suppress(StoppedEarlyError):
        train(Run(replace(base, test=False, output_dir=str(folder), results_dir=str(folder))), [watch], "timing")
    return watch.epoch_seconds(), "timed"


def _spread(config: SuiteConfig) -> tuple[float, str]:
    """Standard deviation of a method's test error over replicates, in points: the median over the methods and budgets
    that have three replicates or more on this data and net; else SPREAD."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in record_files(Path(config.results_dir)):
        with suppress(UserError):
            record = load(path)
            replicate = replicate_of(record.config)
            if replicate and record.test and alike(record, config):
                budget = f"{record.config['method']['name']} {record.config['epochs']} {record.config['loss']}"
                values[budget][replicate].append(deployed_error(record))
    found = [
        statistics.stdev(statistics.mean(errors) for errors in replicates.values())
        for replicates in values.values()
        if len(replicates) >= 3
    ]
    return (statistics.median(found), "measured by records") if found else (SPREAD, "assumed: no record tells")
