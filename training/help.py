"""The text of `python run.py --help`."""

from pathlib import Path

import hydra
from omegaconf import OmegaConf

from configs.registry import GROUPS
from configs.schema import CONFIGS, RunConfig
from configs.settings import describe
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


def first_line(member: type) -> str:
    """The first line of a docstring."""
    return (member.__doc__ or "").strip().splitlines()[0]


def help_text() -> str:
    """Methods, data sets and nets, a line each, then every setting with its default."""
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        defaults = hydra.compose("run")
    experiments = sorted(path.stem for path in Path(CONFIGS, "experiment").glob("*.yaml"))
    lines = [USAGE.format(experiments="\n  ".join(experiments))]
    for group, members in GROUPS.items():
        lines.append(f"{group}=")
        lines += [f"  {name:<16} {first_line(member)}" for name, member in members.items()]
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
