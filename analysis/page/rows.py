"""What the page shows, as plain rows. Errors and differences are in % and points of test error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.aggregate import Estimate

NAN = math.nan


def around(value: float, half_width: float) -> Estimate:
    """`value` ± `half_width`, which is NaN where there is no interval."""
    return Estimate(value, value - half_width, value + half_width)


def has_interval(estimate: Estimate) -> bool:
    return not math.isnan(estimate.high - estimate.low)


@dataclass(frozen=True)
class Curve:
    """Values against epochs (or trials): of several runs their median, `middle`, and a band around it."""

    x: Sequence[float]
    middle: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Run:
    """One tested run of a cell. `command` makes it again, in a folder of its own."""

    run_id: str
    replicate: int | None
    seed: int
    error: float
    command: str


@dataclass(frozen=True)
class Cell:
    """One method in one setting.

    key: the method, and how it was run where that differs, for labels; `method` alone chooses the colour. `note`: what
    stands beside the name, such as "reconstruction". `competitor`: weights and activations are ±1. `count` and `unit`:
    how many independent values the error is the mean of, `replicates` or `seeds`. `error` is NaN where all runs failed.
    `beside_others`: other work ran on the machine. `difference` to the control and its `word` are there where the
    setting is complete, of competitors. `config`: what all its runs have of the method's settings."""

    key: str
    method: str
    note: str
    competitor: bool
    error: Estimate
    count: int
    unit: str
    failed: int
    packed_bytes: float = NAN
    float32_bytes: float = NAN
    images_per_second: float = NAN
    beside_others: bool = False
    difference: Estimate | None = None
    word: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    runs: Sequence[Run] = ()
    error_curve: Curve | None = None
    flip_curve: Curve | None = None
    search_curve: Curve | None = None


@dataclass(frozen=True)
class Published:
    """A row of results/published.csv, its figure as an error."""

    table: str
    dataset: str
    method: str
    error: float
    spread: float
    binary_activations: str
    net: str
    epochs: str
    source: str


@dataclass(frozen=True)
class Setting:
    """Data, net and budget. `suite` is the name of the suite where it is one, and `complete` says whether all methods
    and replicates of that are done. `shared`: another suite has the same data, net and epochs."""

    dataset: str
    net: str
    epochs: int
    cells: Sequence[Cell]
    suite: str = ""
    complete: bool = False
    shared: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        return f"{self.net}, {self.epochs} epochs"

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.budget}" + (f" ({self.suite})" if self.shared else "")


@dataclass(frozen=True)
class Overall:
    """A method over all complete settings that it has: `ratio`, the interquartile mean of its error over the control's;
    `better`, the probability that a replicate of it has a lower error than one of the control, None of the control;
    `profile`, the points (r, share of replicates whose error is at most r times the control's mean)."""

    key: str
    ratio: Estimate
    better: Estimate | None
    profile: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Content:
    """All of the page. `unfinished`: suites that have some records and are not complete, with their progress.
    `methods`: method → what it is, in one line. `sources`: method → the tables of `published` that its paper and
    its competitors' stand in. `interval_note`: which intervals of differences these are. `root` and `results`: the way
    from the page's folder to the project's, and to that of the records."""

    settings: Sequence[Setting]
    overall: Sequence[Overall]
    methods: dict[str, str]
    published: Sequence[Published] = ()
    sources: dict[str, Sequence[str]] = field(default_factory=dict)
    unfinished: Sequence[tuple[str, str]] = ()
    control: str = "ste"
    interval_note: str = ""
    root: str = "../.."
    results: str = "../../results"
