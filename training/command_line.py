"""What the commands share: jobs of Hydra's whose failures are told in one line, and the exit status."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Timer
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from configs.registry import GROUPS, ROOT
from configs.settings import UserError, unknown

from .errors import TrainingError

CONFIG_ERRORS = (HydraException, OmegaConfBaseException)
PATIENCE = 5  # seconds
TOLD = (UserError, TrainingError, FloatingPointError)  # what a job ends with in one line; anything else is a fault


@dataclass
class Command:
    """The command under way in a process, and how many of its jobs have failed."""

    process: int
    failures: int = 0


_command: ContextVar[Command | None] = ContextVar("command", default=None)


@contextmanager
def job() -> Iterator[None]:
    """What one of Hydra's jobs does. A failure is told in one line, and the grid goes on with the other jobs. In a
    launcher's process (joblib, submitit) it is raised as well, and Hydra carries it to the command."""
    try:
        yield
    except TOLD as error:
        tell(error)
        command = _command.get()
        if command is None or command.process != os.getpid():
            raise UserError(str(error)) from error
        command.failures += 1


def tell(error: object) -> None:
    """The one line on standard error."""
    print(f"error: {error}", file=sys.stderr, flush=True)


def command_line(app: Callable[[], Any], help_text: Callable[[], str]) -> int:
    """Runs Hydra's `app`, or prints the help: exit status 0, or 2 after one line that says what to put right."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and the text below is ours
    words = sys.argv[1:]
    asks_help = not {"--help", "-h"}.isdisjoint(words)
    try:
        if asks_help:
            print(help_text())
            return 0
        check_choices(words)
        command = Command(os.getpid())
        token = _command.set(command)
        try:
            with sign_of_life(words):
                app()
        finally:
            _command.reset(token)
        return 2 if command.failures else 0
    except UserError as error:
        tell(error)
    except CONFIG_ERRORS as error:
        tell(explain(error))
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted; a run has not, or a grid not all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if asks_help else 128 + signal.SIGPIPE
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}" if error.filename else error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 2


@contextmanager
def sign_of_life(words: Sequence[str]) -> Iterator[None]:
    """Says so where torch and Lightning take long to load, which is before a run can say what it is."""

    def say() -> None:
        if "training.trainer" not in sys.modules:  # which is loaded after them
            print(" ".join([*words, "(loading torch and Lightning)"]), file=sys.stderr, flush=True)

    timer = Timer(PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def check_choices(words: Sequence[str]) -> None:
    """UserError for a method, data set or net that there is not, before any is imported, and for what Hydra ends with a
    traceback: no name before the `=`, and a number where it wants the name of a file."""
    arguments = get_args_parser().parse_known_args(words)[0]
    if arguments.config_dir or arguments.config_path:
        return  # a folder that may have more of them
    for override in OverridesParser.create().parse_overrides(arguments.overrides):
        group = override.key_or_group
        if not group:
            raise UserError(f"'{override.input_line}' has no name before its '='")
        if group not in GROUPS:
            if (
                isinstance(override.value(), bool | int | float | dict)
                and (folder := ROOT / "configs" / group).is_dir()
            ):
                raise unknown(group, str(override.value()), [path.stem for path in folder.glob("*.yaml")])
            continue
        if override.is_delete():
            raise UserError(f"~{group}: a run needs a {group} (valid: {', '.join(GROUPS[group])})")
        for name in override.sweep_iterator() if override.is_sweep_override() else [override.value()]:
            text = "null" if name is None else str(name)
            if text not in GROUPS[group]:
                raise unknown(group, text, GROUPS[group])


def explain(error: Exception) -> UserError:
    """Hydra's or OmegaConf's exception as one line that names what is valid."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "net" and name.startswith("default_for_"):
            group, name = "dataset", name.removeprefix("default_for_")
        return unknown(group, name, GROUPS.get(group) or error.options or [])
    if isinstance(error, OverrideParseException):
        return UserError(f"'{error.override}' is not understood: settings are name=value, lists name=[a,b]")
    if found := re.search(r"Ambiguous value for argument '(.*?)'", str(error)):
        return UserError(f"{found[1]} has several values: -m makes a run of each")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConfigKeyError | AttributeError) and getattr(cause, "parent_node", None) is not None:
            parent, key = cause.parent_node, str(cause.key)  # type: ignore[union-attr]
            prefix = f"{parent._get_full_key(None)}." if parent._get_full_key(None) else ""
            names = [k for k in parent if k != "name"]
            return unknown("setting", prefix + key, [prefix + str(k) for k in names])
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            text = str(cause.msg or cause).splitlines()[0]
            if "is not a ListConfig" in text:
                text = f"a list is written {cause.full_key}=[a,b]"
            return UserError(f"{cause.full_key}: {text}")
        cause = cause.__cause__
    return UserError(" ".join(str(error).replace("Set the environment variable HYDRA_FULL_ERROR=1", "").split()))
