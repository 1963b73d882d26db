"""The suites: which runs each is to have, which of them are there, and the value of every replicate.

A suite is a file of configs/suite/, or a user's own, which left configs/tuned/<suite>/suite.yaml. What the search of a
replicate chose is in configs/tuned/<suite>/<method>/r<replicate>.yaml, so that this file says which records count:
where a method was searched twice, those of the earlier search do not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from analysis.net_label import net_of
from configs.registry import GROUPS, METHODS
from configs.replicates import CONTROL, run_seeds
from configs.schema import CONFIGS, RunConfig, first_difference, run_id
from configs.settings import REQUIRED, UserError, default_of


@dataclass(frozen=True)
class Suite:
    """`settings` are those of a run, as far as the suite's file has them; `methods`, those that it is to have; `tuned`
    is the folder with the tuned files of all suites. `configurations`: the suite whose replicates' configurations it
    runs. `own`: a user's, of no file in configs/suite/."""

    label: str
    settings: Mapping[str, Any]
    methods: tuple[str, ...]
    replicates: int
    runs: int
    trials: int | None
    configurations: "Suite | None"
    tuned: Path
    budget: Mapping[str, Any] = field(default_factory=dict)  # of every run, where the suite's file has no other
    own: bool = False

    def tuned_file(self, method: str, replicate: int) -> Path:
        """What the search of a replicate chose, or that of the suite whose configurations are run."""
        label = (self.configurations or self).label
        return self.tuned / label / method / f"r{replicate}.yaml"

    def ids(self, method: str, replicate: int) -> list[str]:
        """The ids of a replicate's runs by its tuned file; none while there is no such file."""
        path = self.tuned_file(method, replicate)
        if not path.exists():
            return []
        settings = read_settings(path)
        return [run_id(settings | {"seed": seed}) for seed in run_seeds(replicate, self.runs)]

    def has(self, config: Mapping[str, Any], like: Mapping[str, Any]) -> bool:
        """Whether a run with this configuration is one of the suite's that takes its method's settings from `like`, a
        run's of the suite `configurations`."""
        groups = {name: _merged(like[name], self.settings[name]) for name in ("dataset", "net")}
        wanted = {**self.budget, **self.settings, **groups, "split_seed": like["split_seed"], "method": like["method"]}
        return first_difference(dict(config), wanted) is None


def load_suites(configs: Path = Path(CONFIGS), tuned: Path | None = None) -> list[Suite]:
    """The suites of <configs>/suite/, by name, and those of other names that have a <tuned>/<name>/suite.yaml.
    UserError, naming the file, where one cannot be read."""
    run = read_settings(configs / "run.yaml")
    tuned = tuned or configs / "tuned"
    paths = {path.parent.name: path for path in sorted(tuned.glob("*/suite.yaml"))}
    paths |= {path.stem: path for path in sorted((configs / "suite").glob("*.yaml"))}
    contents = {label: read_settings(path) for label, path in paths.items()}
    known = {item.name for item in fields(RunConfig)}

    def make(label: str) -> Suite:
        content = contents[label]
        source = content.get("configurations")
        if source and source not in contents:
            raise UserError(f"{paths[label]}: there is no suite {source}, whose configurations it takes")
        try:
            return Suite(
                label,
                {name: value for name, value in content.items() if name in known},
                tuple(name for name in METHODS if not content.get("methods") or name in content["methods"]),
                content["replicates"],
                content["runs"],
                content.get("trials"),
                make(source) if source else None,
                tuned,
                _budget(run),
                paths[label].name == "suite.yaml",
            )
        except KeyError as error:
            raise UserError(f"{paths[label]} does not say {error}") from error

    return [make(label) for label in sorted(contents)]


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file of configs/, with the names of method, data set and net from its list of defaults."""
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
        for item in content.pop("defaults", []):
            for key, name in item.items() if isinstance(item, dict) else ():
                group = key.removeprefix("override ").removeprefix("/")
                if group in GROUPS:
                    content[group] = {"name": name} | content.get(group, {})
        return content
    except (OSError, OmegaConfBaseException, YAMLError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is not a readable configuration: {' '.join(str(error).split())}") from error


def _budget(run: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that decides the outcome of a run, but for groups and seed, as configs/run.yaml has it, or by its
    default."""
    deciding = [item for item in fields(RunConfig) if item.metadata.get("identity", True)]
    values = {
        item.name: run.get(item.name, default_of(item)) for item in deciding if item.name not in (*GROUPS, "seed")
    }
    return {name: value for name, value in values.items() if value != REQUIRED}


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, or only them where they name another data set or net."""
    return {**(base if base["name"] == changes["name"] else {}), **changes}


@dataclass(frozen=True)
class SuiteRuns:
    """What there is of a suite. `table`: a row for each of its runs as `load_runs` gives it, with `replicate`; that of
    a failed run has `status` failed and no errors. `absent`: methods of which the suite has nothing, no search and no
    run; they are not part of it yet."""

    suite: Suite
    table: pd.DataFrame
    absent: tuple[str, ...]

    @property
    def methods(self) -> list[str]:
        """In the order of the registry."""
        return [name for name in self.suite.methods if name not in self.absent]

    @property
    def total(self) -> int:
        return len(self.methods) * self.suite.replicates * self.suite.runs

    @property
    def complete(self) -> bool:
        """Whether each run has ended, well or not, some of them well, and the control is among the methods."""
        return CONTROL in self.methods and len(self.table) == self.total and self.done

    @property
    def done(self) -> bool:
        """Whether there is a finished run."""
        return bool(len(self.table) and (self.table["status"] == "done").any())

    @cached_property
    def setting(self) -> str:
        """`MNIST, mlp 256×2, 5 epochs`."""
        first = self.table[self.table["status"] == "done"].iloc[0]
        return f"{first['label']}, {net_of(first)}, {first['epochs']:.0f} epochs"

    def of(self, method: str) -> pd.DataFrame:
        """Its finished runs."""
        table = self.table
        return table[(table["method.name"] == method) & (table["status"] == "done") & table["deployed"].notna()]

    def failed(self, method: str) -> int:
        return int(((self.table["method.name"] == method) & (self.table["status"] == "failed")).sum())

    def values(self, method: str, column: str = "deployed") -> np.ndarray:
        """[replicates that have a finished run] mean of a column over each replicate's runs, in their order."""
        runs = self.of(method)
        if column not in runs:
            return np.array([])
        return runs.groupby("replicate")[column].mean().dropna().to_numpy(dtype=float)

    def competes(self, method: str) -> bool:
        """Whether its nets have weights and activations of ±1."""
        flags = self.of(method)[["model.binary_weights", "model.binary_activations"]]
        return bool(len(flags) and flags.eq(True).to_numpy().all())


def titles(suites: Sequence[SuiteRuns]) -> dict[str, str]:
    """Label → setting in words, with the label behind it where another suite has the same words."""
    count = Counter(found.setting for found in suites)
    return {
        found.suite.label: found.setting + (f" ({found.suite.label})" if count[found.setting] > 1 else "")
        for found in suites
    }


def runs_of(suite: Suite, ended: pd.DataFrame) -> SuiteRuns:
    """Of `ended`, the rows of finished and failed runs, those that the suite's tuned files name."""
    rows = _rows_of(suite, ended)
    begun = {path.parent.name for path in (suite.tuned / suite.label).glob("*/r*.yaml")}
    begun |= set(rows["method.name"]) if len(rows) else set()
    return SuiteRuns(suite, rows, tuple(name for name in suite.methods if name not in begun))


def _rows_of(suite: Suite, ended: pd.DataFrame) -> pd.DataFrame:
    if ended.empty:
        return ended
    if suite.configurations:
        return ended.loc[list(_by_configuration(suite, ended))].sort_values("run_id", kind="stable")
    numbers = range(1, suite.replicates + 1)
    ids = [name for method in suite.methods for number in numbers for name in suite.ids(method, number)]
    return ended[ended["run_id"].isin(ids)]


def _by_configuration(suite: Suite, ended: pd.DataFrame) -> Iterator[Any]:
    """Where the runs are whose replicates take their configurations from another suite's."""
    assert suite.configurations
    sources = _rows_of(suite.configurations, ended).drop_duplicates(["method.name", "replicate"])
    like = {(row["method.name"], row["replicate"]): row["config"] for _, row in sources.iterrows()}
    for place, row in ended[ended["replicate"].notna()].iterrows():
        seeds = run_seeds(int(row["replicate"]), suite.runs) if row["replicate"] <= suite.replicates else []
        source = like.get((row["method.name"], row["replicate"]))
        if source and row["seed"] in seeds and suite.has(row["config"], source):
            yield place
