"""The text of `--help`, and Hydra's refusals in one line that names what is valid."""

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from configs.schema import GROUPS, RunConfig
from configs.settings import UserError, describe, unknown
from datamodules.base import DataConfig
from methods.base import MethodConfig

USAGE = """Trains a binarized net and leaves a record.

  python run.py                                        ste on digits, the default
  python run.py method=ste dataset=mnist seed=1        any setting as name=value
  python run.py -m method=ste,real seed=0,1,2          a grid; runs whose record exists are skipped
  python run.py +experiment=binarynet_mnist            a published or prepared setting

experiments
  {experiments}
"""


SHARED: dict[str, type] = {"method": MethodConfig, "dataset": DataConfig}


def summary(member: type) -> str:
    """The first line of a docstring."""
    return (member.__doc__ or "").strip().splitlines()[0]


def help_text(defaults: DictConfig, experiments: list[str]) -> str:
    """Methods, data sets and nets, a line each, then every setting with its default in `defaults`."""
    lines = [USAGE.format(experiments="\n  ".join(sorted(experiments)))]
    for group, members in GROUPS.items():
        lines.append(f"{group}=")
        lines += [f"  {name:<16} {summary(member)}" for name, member in members.items()]
        lines.append("")
    lines += ["logger=", "  none | csv | tensorboard | wandb   (logger.project=… and so on pass on to it)", ""]
    values = OmegaConf.to_container(defaults, resolve=True)
    assert isinstance(values, dict)
    lines += ["settings of every run", *describe(RunConfig, "", {str(k): v for k, v in values.items()}), ""]
    for group, members in GROUPS.items():
        shared = SHARED.get(group)
        if shared:
            lines += [f"every {group}", *describe(shared, f"{group}.", {}), ""]
        for name, member in members.items():
            own = describe(member.Config, f"{group}.", {}, shared)  # type: ignore[attr-defined]
            lines += [f"{group}={name}", *own, ""] if own else []
    return "\n".join(lines)


def explain(error: Exception) -> UserError:
    """Hydra's or OmegaConf's exception as one line."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "net" and name.startswith("default_for_"):
            group, name = "dataset", name.removeprefix("default_for_")
        return unknown(group, name, GROUPS.get(group) or error.options or [])
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConfigKeyError | AttributeError) and getattr(cause, "parent_node", None) is not None:
            parent, key = cause.parent_node, str(cause.key)  # type: ignore[union-attr]
            prefix = f"{parent._get_full_key(None)}." if parent._get_full_key(None) else ""
            names = [k for k in parent if k != "name"]
            return unknown("setting", prefix + key, [prefix + str(k) for k in names])
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return UserError(f"{cause.full_key}: {str(cause.msg or cause).splitlines()[0]}")
        cause = cause.__cause__
    return UserError(" ".join(str(error).replace("Set the environment variable HYDRA_FULL_ERROR=1", "").split()))


CONFIG_ERRORS = (HydraException, OmegaConfBaseException)
