"""What an experiment of configs/experiment sets, as Hydra composes it: with those it builds on, and its grid."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from configs.registry import GROUPS, ROOT
from configs.schema import RunConfig
from configs.settings import UserError, unknown

WITHOUT_EFFECT = {item.name for item in fields(RunConfig) if not item.metadata.get("identity", True)}

CONFIGS = ROOT / "configs"


class ChosenNames(ConfigSource):
    """Gives Hydra `{name: bop}` for `method: bop`, and likewise for data sets and nets.

    The whole configuration of a method needs its module, hence torch, and would add the defaults that the experiment
    leaves as they are."""

    @staticmethod
    def scheme() -> str:
        return "chosen-names"

    def load_config(self, config_path: str) -> ConfigResult:
        content = OmegaConf.create({"name": config_path.rpartition("/")[2]})
        return ConfigResult(self.provider, self.full_path(), content, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") in GROUPS

    def is_config(self, config_path: str) -> bool:
        return config_path.rpartition("/")[0] in GROUPS

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return []


class ChosenNamesFirst(SearchPathPlugin):
    """Puts `chosen-names://` before all other sources while `experiment_settings` composes, and at no other time: a run
    in the same process is composed of the whole configurations."""

    active = False

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if ChosenNamesFirst.active:
            search_path.prepend("names", f"{ChosenNames.scheme()}://")


for plugin in (ChosenNames, ChosenNamesFirst):
    Plugins.instance().register(plugin)
ConfigStore.instance().store(
    name="experiment_only",  # in place of configs/run.yaml, whose values are no part of the experiment
    node={"defaults": ["_self_", *({group: None} for group in GROUPS), {"experiment": "???"}]},
)


def experiment_names(configs: Path = CONFIGS) -> list[str]:
    return sorted(path.stem for path in (configs / "experiment").glob("*.yaml"))


def experiment_settings(name: str, configs: Path = CONFIGS) -> dict[str, list[Any]]:
    """What <configs>/experiment/<name>.yaml sets: dotted name → the values that its runs have, several where its
    multirun grid (`hydra.sweeper.params`) has them; all training examples, where it sets no `limit_train`. What decides
    nothing of a run, such as `test`, is left out.

    UserError where there is no such experiment, and where Hydra cannot compose it."""
    if name not in (known := experiment_names(configs)):
        raise unknown("experiment", name, known)
    try:
        return _settings(name, configs)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"configs/experiment/{name}.yaml: {' '.join(str(error).split())}") from error


def _settings(name: str, configs: Path) -> dict[str, list[Any]]:
    ChosenNamesFirst.active = True
    try:
        with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
            config = compose("experiment_only", [f"experiment={name}"], return_hydra_config=True)
    finally:
        ChosenNamesFirst.active = False
    grid = config.hydra.sweeper.params or {}
    without_hydra = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    content: Any = OmegaConf.to_container(without_hydra, resolve=True)
    settings = {"limit_train": [0]} | {key: [value] for key, value in flat(content).items()}
    for item in OverridesParser.create().parse_overrides([f"{key}={values}" for key, values in grid.items()]):
        key = f"{item.key_or_group}.name" if item.key_or_group in GROUPS else item.key_or_group
        values = item.sweep_iterator() if item.is_sweep_override() else [item.value()]
        settings[key] = [value.text if isinstance(value, QuotedString) else value for value in values]
    return {key: values for key, values in settings.items() if key not in WITHOUT_EFFECT}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"method": {"lr": 0.1}}` → `{"method.lr": 0.1}`; a list becomes a tuple, which can be looked for."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = tuple(value) if isinstance(value, list) else value
    return result
