"""What a sweep and a suite are told beside the settings of their runs."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from configs.schema import RunConfig, resolve
from configs.settings import UserError, describe, setting

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
    other_code: bool = setting(False, "also go on with a study that other code began; its records name both commits")


@dataclass
class SuiteConfig(SweepConfig):
    """Every method in several replicates, each with a split, a search and runs of its own (configs/replicates.py)."""

    replicates: int = setting(6, "times that split, search and seeds are drawn anew for each method", low=1, high=999)
    trials: int = setting(8, "of each search; failed ones count", low=1)
    runs: int = setting(2, "of what a search chose, each with another seed; these are tested", low=1, high=999)
    sampler: str = setting("qmc", "how the next trial is chosen", choices=SAMPLERS)
    pruner: str = setting("none", "which trials end early, by their validation error per epoch", choices=PRUNERS)
    configurations: str | None = setting(None, "suite whose replicates' configurations are run; null: own searches")
    methods: list[str] = field(default_factory=list, metadata={"help": "which methods; []: all"})
    hours: float | None = setting(None, "in place of a suite: plan for so many hours of one process", above=0)
    plan: bool = setting(False, "only show what is left, and how long it will take")


def register_schemas() -> None:
    """Tells Hydra of what the files of configs/ for sweeps and suites have beyond a run's settings."""
    schemas = {"sweep_schema": SweepConfig, "suite_schema": SuiteConfig}
    for name, schema in schemas.items():
        ConfigStore.instance().store(name=name, node=schema)


def resolve_sweep(config: DictConfig) -> SweepConfig:
    """Hydra's config of a sweep or suite, checked. UserError also where a run asks for several devices, or
    the label is no name of a folder."""
    settings = resolve(config)
    assert isinstance(settings, SweepConfig)
    if settings.devices * settings.num_nodes > 1:
        raise UserError(
            f"devices={settings.devices} num_nodes={settings.num_nodes}: "
            "runs of a sweep or suite have one device each; start the command once for each, and they share the work"
        )
    if settings.label and (settings.label == ".." or Path(settings.label).name != settings.label):
        raise UserError(f"label={settings.label} is not valid: the name of a folder, without / and ..")
    return settings


def results_folder(config: RunConfig) -> Path:
    """What has the records, and beside them the tables of searches and perturbations."""
    return Path(config.results_dir).parent


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
