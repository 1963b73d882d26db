"""What the commands of this folder share: the schemas that Hydra needs, the suites that there are, and their help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs.schema import CONFIGS, register
from training.command_line import command_line

from .settings import SuiteConfig, register_schemas, settings_text


def run_command(app: Callable[[], Any], help_text: Callable[[], str]) -> int:
    """Runs Hydra's `app`, or prints the help; returns the exit status."""
    register()
    register_schemas()
    return command_line(app, help_text)


def suites() -> list[str]:
    """The names of the files in configs/suite/."""
    return sorted(path.stem for path in Path(CONFIGS, "suite").glob("*.yaml"))


def suite_help(about: str | None, title: str, config: type[SuiteConfig]) -> str:
    """Help of a command on suites: `about`, the suites, and under `title` the settings of `config`."""
    lines = ["", "suite=", *(f"  {name}" for name in suites()), "", title, *settings_text(config)]
    return (about or "") + "\n".join([*lines, "", "and every setting of a run: python run.py --help"])
