"""What tables, figures and the page are made of: records, trials and published figures, and the suites they make up."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from analysis.aggregate import Values
from analysis.cells import cells_of
from analysis.net_label import net_of
from analysis.overall import Overall, overall, scores
from analysis.perturbed import load_perturbed
from analysis.published import PUBLISHED
from analysis.selection import load_failed, load_runs
from analysis.suites import SuiteRuns, load_suites, runs_of, titles
from analysis.trials import load_trials
from analysis.verdict import Compared, compare
from configs.schema import CONFIGS
from configs.settings import UserError


@dataclass(frozen=True)
class Material:
    """`runs` and `cells` have of the suites' runs those of complete suites, of each setting and method one suite's."""

    runs: pd.DataFrame
    cells: pd.DataFrame
    published: pd.DataFrame
    suites: list[SuiteRuns]
    trials: dict[str, pd.DataFrame]  # label of a complete suite → its trials; none where it has no searches of its own
    perturbed: dict[str, pd.DataFrame]  # label of a complete suite → perturbed runs, once all its searches have some

    @cached_property
    def complete(self) -> list[SuiteRuns]:
        return [found for found in self.suites if found.complete]

    @cached_property
    def comparisons(self) -> dict[str, list[Compared]]:
        """Label of a complete suite → its methods."""
        return {found.suite.label: compare(found) for found in self.complete}

    @cached_property
    def titles(self) -> dict[str, str]:
        """Label of a complete suite → its setting in words."""
        return titles(self.complete)

    @property
    def named_comparisons(self) -> list[tuple[str, list[Compared]]]:
        """Each complete setting in words, and its methods."""
        return [(self.titles[label], rows) for label, rows in self.comparisons.items()]

    @property
    def named_searches(self) -> list[tuple[str, pd.DataFrame]]:
        """Each complete setting in words, and the trials of its competitors."""
        rows = {label: [row.method for row in own if row.competes] for label, own in self.comparisons.items()}
        return [(self.titles[label], own[own["method"].isin(rows[label])]) for label, own in self.trials.items()]

    @property
    def named_perturbed(self) -> list[tuple[str, pd.DataFrame]]:
        """Each complete setting in words, and its perturbed runs, where there are any."""
        return [(self.titles[label], table) for label, table in self.perturbed.items()]

    @cached_property
    def scores(self) -> dict[str, Values]:
        """Of the complete settings."""
        return scores(self.complete)

    @cached_property
    def overall(self) -> list[Overall]:
        """The competitors over the complete settings."""
        return overall(self.scores)

    @property
    def finished(self) -> int:
        """How many runs have ended well."""
        return int((self.runs["status"] == "done").sum())

    @cached_property
    def covered(self) -> set[tuple[str, str]]:
        """Data sets and nets of complete suites, which have a table of their own."""
        firsts = [found.table[found.table["status"] == "done"].iloc[0] for found in self.complete]
        return {(first["label"], net_of(first)) for first in firsts}


def gather(results: Path, configs: Path = Path(CONFIGS), tuned: Path | None = None) -> Material:
    """Reads results/runs, results/trials, results/perturbed, the published figures, and which runs make up the suites.

    UserError where `results` is no results folder, or a file of it cannot be read."""
    if not (results / "runs").is_dir():
        raise UserError(f"{results} has no folder runs, so it is no results folder")
    runs, failed = load_runs(results / "runs"), load_failed(results / "runs")
    finished = runs[runs["status"] == "done"] if len(runs) else runs
    ended = pd.concat([table for table in (finished, failed) if len(table)] or [runs], ignore_index=True)
    suites = [runs_of(suite, ended) for suite in load_suites(configs, tuned)]
    complete = [found for found in suites if found.complete]
    if len(runs):
        runs = runs[runs["replicate"].isna() | runs["run_id"].isin(_counting(complete))]
    trials = {
        found.suite.label: load_trials(results / "trials", found.suite.label, found.methods) for found in complete
    }
    around = {found.suite.label: load_perturbed(results, found.suite) for found in complete}
    perturbed = {label: table for label, table in around.items() if len(table) and _of_all(table, trials[label])}
    return Material(runs, cells_of(runs), pd.read_csv(PUBLISHED), suites, trials, perturbed)


def _counting(complete: list[SuiteRuns]) -> set[str]:
    """The runs of complete suites; of a method that two have in the same setting, those of one alone, a committed suite
    before a user's own: a cell's replicates are not of different searches."""
    ids: set[str] = set()
    taken: set[tuple[str, str]] = set()
    for found in sorted(complete, key=lambda found: found.suite.own):
        new = [method for method in found.methods if (found.setting, method) not in taken]
        ids |= set(found.table[found.table["method.name"].isin(new)]["run_id"])
        taken |= {(found.setting, method) for method in new}
    return ids


def _of_all(perturbed: pd.DataFrame, trials: pd.DataFrame) -> bool:
    """Whether all methods that were searched have perturbed runs."""
    return set(trials["method"]) <= set(perturbed["method"])
