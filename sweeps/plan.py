"""What is done and left of a suite, what failed, and how long the rest will take."""

import statistics
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from configs.schema import first_difference, identity
from configs.settings import UserError
from results.record import Record, load, record_files
from training.summary import duration

from .replicate import UNTUNED, Replicate
from .settings import SuiteConfig, run_config

LIKE = ("dataset", "net", "batch_size", "limit_train")  # settings that make an epoch as long as another
START_SECONDS = 2.0  # of each trial and run, beside its epochs


def seconds_of(runs: int, epochs: int, each: float) -> float:
    """Of so many trials and runs in one process, with `each` seconds an epoch."""
    return runs * (epochs * each + START_SECONDS)


def table(replicates: Sequence[Replicate], title: str, processes: int = 1) -> str:
    """A line for each method with the trials and runs of all its replicates, and the time that is left: by the method's
    own records on this data set and net, else by the others'. `processes`: how many are at work."""
    methods: dict[str, list[Replicate]] = {}
    for replicate in replicates:
        methods.setdefault(replicate.name, []).append(replicate)
    seconds = {name: found for name, own in methods.items() if (found := epoch_seconds(own))}
    typical = statistics.median(map(statistics.median, seconds.values())) if seconds else None
    lines, total, unknown_time = [title, f"  {'method':<16}{'trials':<20}{'runs':<20}left"], 0.0, False
    for name, own in methods.items():
        trials, runs, left, problems = _counts(own)
        epoch = statistics.median(seconds[name]) if name in seconds else typical
        time = seconds_of(left, own[0].config.epochs, epoch or 0)
        total += time
        unknown_time |= bool(left) and epoch is None
        about = f"about {duration(time)}" if epoch is not None else "time unknown"
        lines.append(f"  {name:<16}{trials:<20}{runs:<20}{f'{left} to do, {about}' if left else 'done'}")
        lines += [f"    {problem}" for problem in problems]
    if unknown_time:
        lines.append("  no record of this data set and net tells how long a run takes")
    elif total and processes > 1:
        shared = duration(total / processes)
        lines.append(f"  in all about {duration(total)} of one process, {shared} of the {processes} at work")
    elif total:
        lines.append(f"  in all about {duration(total)} in one process")
    return "\n".join(lines)


def _counts(own: Sequence[Replicate]) -> tuple[str, str, int, list[str]]:
    """Trials and runs of a method's replicates as text, how many of both are left, and what keeps from telling more."""
    config, searches = own[0].config, own[0].total_trials * len(own)
    total_runs = config.runs * len(own)
    progress = [replicate.progress() for replicate in own]
    counted = ("trials", "failed_trials", "runs", "failed_runs")
    done = {part: sum(getattr(p, part) for p in progress) for part in counted}
    trials, runs = f"{done['trials']}/{searches}", f"{done['runs']}/{total_runs}"
    if config.configurations:
        trials = f"of {config.configurations}"
    elif not searches:
        trials = UNTUNED
    trials += f" ({done['failed_trials']} failed)" if done["failed_trials"] else ""
    runs += f" ({done['failed_runs']} failed)" if done["failed_runs"] else ""
    problems = [f"r{r.number}: {p.problem}" for r, p in zip(own, progress, strict=True) if p.problem]
    return trials, runs, searches - done["trials"] + total_runs - done["runs"], problems


def alike(record: Record, config: SuiteConfig) -> bool:
    """Whether the record is of the data set and net of `config`, so that its epochs take as long."""
    like = {name: value for name, value in identity(run_config(config)).items() if name in LIKE}
    return first_difference(record.config, like) is None


def epoch_seconds(own: Sequence[Replicate]) -> list[float]:
    """Seconds an epoch in the records of this method on this data set and net, trials' records among them."""
    config = own[0].config
    folders = [Path(config.results_dir), *(r.sweep.folder / "records" for r in own if r.sweep)]
    found = []
    for path in chain.from_iterable(record_files(folder, own[0].name) for folder in folders):
        with suppress(UserError):  # an estimate does without a record that cannot be read
            record = load(path)
            if alike(record, config):
                found.append(record.cost["elapsed_seconds"] / record.config["epochs"])
    return found
