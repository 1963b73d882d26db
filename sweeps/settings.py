"""What a sweep and a suite are told beside the settings of their runs."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

from configs.schema import RunConfig
from configs.settings import describe, setting

SPACES = Path(__file__).parent / "spaces"
SAMPLERS = ("tpe", "random", "qmc", "grid")
PRUNERS = ("median", "halving", "none")


@dataclass
class SweepConfig(RunConfig):
    """The settings of every trial, and of the study that they make up."""

    trials: int = setting(30, "trials of the whole study, whoever runs them; pruned and failed ones count", low=1)
    sampler: str = setting("tpe", "how the next trial is chosen", choices=SAMPLERS)
    pruner: str = setting("median", "which trials end early, by their validation error per epoch", choices=PRUNERS)
    search_seed: int = setting(0, "seed of the sampler", low=0, high=2**32 - 1)
    storage: str | None = setting(
        None, "of the study: sqlite:///FILE, journal:FILE, postgresql://…, mysql://…; null: SQLite in output_dir/sweeps"
    )
    space: str | None = setting(None, "file with the search space; null: sweeps/spaces/<method>.yaml")
    tuned_dir: str | None = setting(None, "where the best configuration goes; null: configs/tuned")
    label: str | None = setting(None, "its folder there; null: the data set, or the suite")
    takeover: bool = setting(False, "also go on with trials that other machines left (only once they have stopped)")


@dataclass
class SuiteConfig(SweepConfig):
    """Every method: tuned with the same trials and epochs, then run with the same seeds."""

    methods: list[str] = field(default_factory=list, metadata={"help": "which methods; []: all"})
    seeds: list[int] = field(default_factory=list, metadata={"help": "of the runs that are tested"})
    plan: bool = setting(False, "only show what is left")


def register_schemas() -> None:
    """Tells Hydra of what configs/sweep.yaml and configs/suite.yaml have beyond a run's settings."""
    for name, schema in (("sweep_schema", SweepConfig), ("suite_schema", SuiteConfig)):
        ConfigStore.instance().store(name=name, node=schema)


def run_config(config: SweepConfig, **changes: Any) -> RunConfig:
    """Only the settings of a run, with `changes`."""
    return RunConfig(**({item.name: getattr(config, item.name) for item in fields(RunConfig)} | changes))


def given() -> dict[str, str]:
    """What the command line sets, by name."""
    pairs = (text.lstrip("+~").partition("=") for text in HydraConfig.get().overrides.task)
    return {name: value for name, _, value in pairs}


def settings_text(config: type) -> list[str]:
    """A line for each setting that `config` has beyond those of a run."""
    lists = {item.name: item.default_factory() for item in fields(config) if callable(item.default_factory)}
    return describe(config, "", lists, RunConfig)
