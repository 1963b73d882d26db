"""The configuration of a run: its dataclass, its identity, and how Hydra's result becomes one."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import source
from .registry import GROUPS, ROOT
from .settings import REQUIRED, UserError, check, default_of, setting, unknown

CONFIGS = str(ROOT / "configs")
LOSSES = ("cross_entropy", "smoothed_cross_entropy", "squared_hinge")
BATCH_NORMS = ("per_process", "synchronized")
SELECTIONS = ("best", "last")


@dataclass
class RunConfig:
    """Every setting of a run. The values that all methods share, its budget, stand in configs/run.yaml."""

    method: Any = REQUIRED
    dataset: Any = REQUIRED
    net: Any = REQUIRED
    logger: dict[str, Any] = field(default_factory=dict, metadata={"identity": False})

    seed: int = setting(REQUIRED, "seed of initial weights, data order and stochastic signs", low=0, high=2**32 - 1)
    split_seed: int = setting(REQUIRED, "seed of the validation split, never the run's seed", low=0, high=2**32 - 1)
    epochs: int = setting(REQUIRED, "passes over the training examples", low=1)
    batch_size: int = setting(REQUIRED, "training examples a step", low=2)
    loss: str = setting(
        REQUIRED, "training loss; smoothed: a tenth of each target is spread over all classes", choices=LOSSES
    )
    precision: str = setting(
        REQUIRED,
        "float32; its products in TF32 on CUDA (sums of ±1 stay exact); or bfloat16 autocast (rounded beyond ±256)",
        choices=("32", "tf32", "bf16"),
    )
    gradient_clip: float = setting(REQUIRED, "largest norm of the whole gradient, 0 = unclipped", low=0)
    limit_train: int = setting(REQUIRED, "use only so many training examples, 0 = all (for quick looks)", low=0)
    devices: int = setting(1, "GPUs of a machine, or processes on its CPU, that share every batch", low=1)
    num_nodes: int = setting(1, "machines, each with so many devices", low=1)
    batch_norm: str = setting(
        "per_process",
        "with several devices: statistics of the examples of a process, or of the whole batch",
        choices=BATCH_NORMS,
    )
    select: str = setting(
        "best", "the weights to test: of the epoch with the lowest validation error, or the last", choices=SELECTIONS
    )

    # settings that do not change the outcome of a run
    device: str = setting(REQUIRED, "where to train", choices=("auto", "cpu", "cuda", "mps"), identity=False)
    compile: bool | None = setting(
        REQUIRED, "compile the training step; null: where the run is long enough to earn it", identity=False
    )
    deterministic: bool = setting(REQUIRED, "same seed, same bits (on one machine and version)", identity=False)
    diagnostics: bool = setting(REQUIRED, "record flips, agreement and saturation per layer and epoch", identity=False)
    test: bool = setting(REQUIRED, "measure the test error at the end (a sweep never does)", identity=False)
    data_dir: str = setting(
        REQUIRED, "where data sets are found or downloaded to (environment BNN_DATA)", identity=False
    )
    results_dir: str = setting(REQUIRED, "where records are written", identity=False)
    output_dir: str = setting(REQUIRED, "where checkpoints, weights and logs go", identity=False)
    save_weights: bool = setting(
        REQUIRED, "keep the chosen weights, and the packed net, under output_dir after the run", identity=False
    )
    packed_dir: str | None = setting(
        None, "where packed nets are kept besides, such as results/packed; null: nowhere", identity=False
    )
    checkpoint_seconds: float = setting(REQUIRED, "shortest time between two checkpoints", low=0, identity=False)
    rerun: bool = setting(REQUIRED, "train again although the record exists", identity=False)


def register() -> None:
    """Tells Hydra of the schema of a run, and of the Config dataclasses of methods, data sets and nets."""
    source.register()
    ConfigStore.instance().store(name="run_schema", node=RunConfig)


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
    if run.dataset.validation == 0 and run.select == "best":
        raise UserError("dataset.validation=0 leaves no validation error to choose an epoch by: set select=last")
    processes = run.devices * run.num_nodes
    if run.batch_size % processes or run.batch_size < 2 * processes:
        raise UserError(
            f"batch_size={run.batch_size}, which devices={run.devices} and num_nodes={run.num_nodes} share, must be a "
            f"multiple of {processes}, and at least {2 * processes}"
        )
    if processes == 1:  # then it says nothing, and is no part of the run's identity
        run.batch_norm = "per_process"
    if hasattr(run.dataset, "path"):  # part of the run's identity, however it was written
        try:
            run.dataset.path = str(Path(run.dataset.path).expanduser().resolve())
        except RuntimeError as error:  # `~nobody`
            raise UserError(f"dataset.path={run.dataset.path}: {error}") from error
    return run


def identity(config: Any) -> dict[str, Any]:
    """What decides the outcome of a run, as nested plain values: every setting that can change the trained net."""
    return {item.name: identity(value) if is_dataclass(value) else value for item, value in _deciding(config)}


def _deciding(config: Any) -> Iterator[tuple[Field, Any]]:
    """The fields that are part of the identity, with their values."""
    for item in fields(config):
        if item.metadata.get("identity", True):
            yield item, getattr(config, item.name)


def first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    """The name of a setting that both identities have, with different values; None where they agree."""
    for name in (name for name in old if name in new):
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            if found := first_difference(old[name], new[name], f"{prefix}{name}."):
                return found
        elif old[name] != new[name]:
            return prefix + name
    return None


def changed(config: Any) -> dict[str, Any]:
    """The identity without settings at their dataclass default: a setting added later does not rename earlier runs."""
    kept = {}
    for item, value in _deciding(config):
        if is_dataclass(value):
            kept[item.name] = changed(value)
        elif item.name == "name" or value != default_of(item):
            kept[item.name] = value
    return kept


def run_id(settings: Mapping[str, Any]) -> str:
    """The name of a run by what `changed` gives of its configuration: `<dataset>-<net>-s<seed>-<hash>`, something to
    read and a hash of all that decides the outcome."""
    text = json.dumps(settings, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{settings['dataset']['name']}-{settings['net']['name']}-s{settings['seed']}-{digest}"
