"""The configuration of a run: its dataclass, its identity, and how Hydra learns of every method, data set and net."""

from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules import DATASETS
from methods import METHODS
from methods.base import LOSSES
from methods.nets import NETS

from .settings import REQUIRED, UserError, check, setting, unknown

DEFAULT_NET = {"cifar10": "vgg", "svhn": "vgg", "folder": "vgg"}  # the other data sets: mlp
GROUPS: dict[str, dict[str, Any]] = {"method": METHODS, "dataset": DATASETS, "net": NETS}


@dataclass
class RunConfig:
    """Every setting of a run. The values that all methods share, its budget, stand in configs/run.yaml."""

    method: Any = REQUIRED
    dataset: Any = REQUIRED
    net: Any = REQUIRED
    logger: dict[str, Any] = field(default_factory=dict)

    seed: int = setting(REQUIRED, "seed of initial weights, data order and stochastic signs", low=0, high=2**32 - 1)
    split_seed: int = setting(REQUIRED, "seed of the validation split, never the run's seed", low=0, high=2**32 - 1)
    epochs: int = setting(REQUIRED, "passes over the training examples", low=1)
    batch_size: int = setting(REQUIRED, "training examples a step", low=2)
    loss: str = setting(REQUIRED, "training loss", choices=LOSSES)
    precision: str = setting(REQUIRED, "float32, or bfloat16 autocast", choices=("32", "bf16"))
    gradient_clip: float = setting(REQUIRED, "largest norm of the whole gradient, 0 = unclipped", low=0)
    limit_train: int = setting(REQUIRED, "use only so many training examples, 0 = all (for quick looks)", low=0)

    device: str = setting(REQUIRED, "where to train", choices=("auto", "cpu", "cuda", "mps"))
    compile: bool | None = setting(REQUIRED, "compile the training step; null: where the run is long enough to earn it")
    deterministic: bool = setting(REQUIRED, "same seed, same bits (on one machine and version)")
    diagnostics: bool = setting(REQUIRED, "record flips, agreement and saturation per layer and epoch")
    test: bool = setting(REQUIRED, "measure the test error at the end (a sweep never does)")
    data_dir: str = setting(REQUIRED, "where data sets are found or downloaded to (environment BNN_DATA)")
    results_dir: str = setting(REQUIRED, "where records are written")
    output_dir: str = setting(REQUIRED, "where checkpoints, weights and logs go")
    save_weights: bool = setting(REQUIRED, "keep the chosen weights under output_dir after the run")
    checkpoint_seconds: float = setting(REQUIRED, "shortest time between two checkpoints", low=0)
    rerun: bool = setting(REQUIRED, "train again although the record exists")


# What does not change the outcome of a run, and so is no part of its identity.
OUTSIDE_IDENTITY = {
    "logger", "device", "compile", "deterministic", "diagnostics", "test", "data_dir", "results_dir", "output_dir",
    "save_weights", "checkpoint_seconds", "rerun",
}  # fmt: skip


def register(schema: type[RunConfig] = RunConfig) -> None:
    """Tells Hydra the Config dataclass of every method, data set and net, so that a mistyped key is refused."""
    store = ConfigStore.instance()
    store.store(name="schema", node=schema)
    for group, members in GROUPS.items():
        for name, member in members.items():
            store.store(group=group, name=name, node=member.Config)
    for dataset in DATASETS:
        store.store(group="net", name=f"default_for_{dataset}", node=NETS[DEFAULT_NET.get(dataset, "mlp")].Config)


def resolve(config: DictConfig) -> RunConfig:
    """Hydra's config as checked dataclasses. UserError for a value out of range or an unresolved interpolation."""
    try:
        run = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(" ".join(str(error).split())) from error
    assert isinstance(run, RunConfig)
    for group, members in GROUPS.items():
        if not is_dataclass(getattr(run, group)):
            raise unknown(group, str(getattr(run, group)), members)
    check(run)
    if hasattr(run.dataset, "path"):  # part of the run's identity, however it was written
        run.dataset.path = str(Path(run.dataset.path).expanduser().resolve())
    return run


def identity(config: Any) -> dict[str, Any]:
    """What decides the outcome of a run, as nested plain values: every setting that can change the trained net."""
    return {
        item.name: identity(value) if is_dataclass(value) else value
        for item in fields(config)
        if not (isinstance(config, RunConfig) and item.name in OUTSIDE_IDENTITY)
        for value in [getattr(config, item.name)]
    }


def first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    """The name of a setting that both identities have, with different values; None where they agree."""
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            if found := first_difference(old[name], new[name], f"{prefix}{name}."):
                return found
        elif old[name] != new[name]:
            return prefix + name
    return None


def changed(config: Any) -> dict[str, Any]:
    """The identity without settings at their dataclass default: a setting added later does not rename earlier runs."""
    kept = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(config, RunConfig) and item.name in OUTSIDE_IDENTITY:
            continue
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if is_dataclass(value):
            kept[item.name] = changed(value)
        elif item.name == "name" or value != default:
            kept[item.name] = value
    return kept
