"""How Hydra finds the settings of a method, data set or net: in the Config dataclass beside its code, when chosen.

Hydra's ConfigStore would want every dataclass at the start, and with them torch and Lightning."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from .registry import DEFAULT_NET, GROUPS

DEFAULT = "default_for_"  # net=default_for_cifar10, which configs/run.yaml chooses


class CodeSource(ConfigSource):
    """Hydra's configuration source `code://`: `method/ste` is the schema `methods.ste.Config` with its defaults."""

    @staticmethod
    def scheme() -> str:
        return "code"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", *GROUPS)

    def is_config(self, config_path: str) -> bool:
        group, name = _parts(config_path)
        return name in GROUPS.get(group, ())

    def load_config(self, config_path: str) -> ConfigResult:
        group, name = _parts(config_path)
        return ConfigResult(
            provider=self.provider,
            path=f"{self.scheme()}://{config_path}",
            config=OmegaConf.structured(GROUPS[group][name].Config),
            header={"package": None},
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if results_filter == ObjectType.GROUP:
            return [] if config_path else list(GROUPS)
        return list(GROUPS.get(config_path, ()))


class CodePath(SearchPathPlugin):
    """Puts `code://` behind the folder configs/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("code", "code://")


def _parts(config_path: str) -> tuple[str, str]:
    """Group and name; `net/default_for_mnist` is the net that this data set has by default."""
    group, _, name = config_path.removesuffix(".yaml").partition("/")
    if group == "net" and name.startswith(DEFAULT):
        dataset = name.removeprefix(DEFAULT)
        return group, DEFAULT_NET.get(dataset, "mlp") if dataset in GROUPS["dataset"] else name
    return group, name


def register() -> None:
    """Tells Hydra of the source."""
    for plugin in (CodeSource, CodePath):
        Plugins.instance().register(plugin)
