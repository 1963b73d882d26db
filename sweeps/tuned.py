"""The best configuration as a file that run.py takes, `+tuned=<label>/<method>`, and as a command."""

import re
import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.registry import GROUPS, METHODS
from configs.schema import CONFIGS, RunConfig, changed
from configs.settings import UserError
from results.files import write_whole

from .code import code, code_text

TUNED = Path(CONFIGS) / "tuned"


def settings_without_seed(config: RunConfig) -> dict[str, Any]:
    """All that makes this run but for its seed: the shared budget whole, the groups where they differ from defaults."""
    settings = changed(config)
    groups = {group: {k: v for k, v in settings.pop(group).items() if k != "name"} for group in GROUPS}
    del settings["seed"]
    return settings | {group: values for group, values in groups.items() if values}


def command_of(config: RunConfig) -> str:
    """The command that makes this very run, whatever becomes of defaults in configs/run.yaml and of tuned files."""
    words = [f"{group}={getattr(config, group).name}" for group in GROUPS]
    for name, value in (settings_without_seed(config) | {"seed": config.seed}).items():
        if isinstance(value, dict):
            words += [f"{name}.{key}={_literal(inner)}" for key, inner in value.items()]
        else:
            words.append(f"{name}={_literal(value)}")
    if not config.test:
        words.append("test=false")
    return shlex.join(["python", "run.py", *words])


def _literal(value: Any) -> str:
    """A value as Hydra's grammar reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_literal, value))}]"
    text = str(value)
    if isinstance(value, str) and not re.fullmatch(r"[\w./-]+", text, re.ASCII):
        # in its quotes a backslash is one, except before a quote
        return "'" + re.sub(r"(\\*)('|\Z)", lambda m: 2 * m[1] + m[2].replace("'", "\\'"), text) + "'"
    return text


def write_tuned(path: Path, config: RunConfig, study: str, trials: int, about: list[str]) -> None:
    """Writes the file whole. `study` and `trials` are found again by `tuned_by`, the code by `tuned_with`; the lines
    `about` are for readers."""
    defaults = {"defaults": [{f"override /{group}": getattr(config, group).name} for group in GROUPS]}
    by = [f"study {study}, {trials} trials", f"code {code()['hash']}, {code_text(code())}"]
    comment = "".join(f"# {line}\n" for line in [*about, *by])
    parts = (OmegaConf.to_yaml(OmegaConf.create(part)) for part in (defaults, settings_without_seed(config)))
    write_whole(path, f"# @package _global_\n{comment}" + "\n".join(parts))


def write_design(path: Path, config: RunConfig, design: dict[str, Any]) -> None:
    """Writes what a suite is to have, for one that is no file of configs/suite/: the analysis reads it as it reads
    those. `design`: what a suite's file has beside the settings of its runs; where the file is there already and
    differs in `methods` alone, it has both commands'."""
    settings = settings_without_seed(config)
    settings = {name: value for name, value in settings.items() if name not in ("method", "split_seed")}
    defaults = {
        "defaults": [{f"override /{group}": getattr(config, group).name} for group in GROUPS if group != "method"]
    }
    content = defaults | design | settings
    if path.exists():
        earlier: Any = OmegaConf.to_container(OmegaConf.load(path))
        both = {*earlier.get("methods", []), *design["methods"]}
        joined = content | {"methods": [name for name in METHODS if name in both]}
        if OmegaConf.create(earlier | {"methods": joined["methods"]}) == OmegaConf.create(joined):
            content = joined
    write_whole(path, OmegaConf.to_yaml(OmegaConf.create(content)))


def tuned_by(path: Path) -> tuple[str, int]:
    """The study that a tuned file is of, and its trials; an empty name where there is no such file."""
    found = re.search(r"^# study (\S+), (\d+) trials$", path.read_text(), re.M) if path.exists() else None
    return (found[1], int(found[2])) if found else ("", 0)


def tuned_with(path: Path) -> dict[str, Any] | None:
    """The code that a tuned file was written with, as studies keep it; None where it does not say."""
    found = re.search(r"^# code (\w+), (?:commit (\w+)( with changes)?|code \w+)$", path.read_text(), re.M)
    return {"hash": found[1], "commit": found[2], "dirty": bool(found[3])} if found else None


def tuned_method(path: Path, method: type) -> Any:
    """The method's Config as the tuned file has it."""
    try:
        content = OmegaConf.select(OmegaConf.load(path), "method", default={})
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(method), content))
    except Exception as error:
        raise UserError(f"{path} is not a readable configuration: {' '.join(str(error).split())}") from error
