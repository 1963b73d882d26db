"""Loggers mirror a run while it trains and its record at the end; they are never the source of a figure."""

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from netrc import NetrcParseError, netrc
from typing import Any

from hydra.utils import instantiate

from configs.settings import UserError
from results.record import Record


def build_logger(settings: dict[str, Any]) -> Any:
    """The logger that configs/logger describes, or False. W&B without an API key logs offline and says so."""
    if "_target_" not in settings:
        return False
    settings = dict(settings)
    if settings["_target_"].endswith("WandbLogger") and not wandb_key() and "WANDB_MODE" not in os.environ:
        settings["offline"] = True
        print("W&B: no API key found (WANDB_API_KEY or `wandb login`), logging offline; `wandb sync` uploads it later")
    try:
        logger: Any = instantiate(settings)
    except Exception as error:
        raise UserError(f"logger: {' '.join(str(error).split())}") from error
    return logger


def wandb_key() -> str | None:
    """The API key that W&B would find here, by its environment variable or `wandb login`."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    try:
        host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
        entry = netrc(os.environ.get("NETRC", os.path.expanduser("~/.netrc"))).authenticators(host)
    except (OSError, ValueError, NetrcParseError):
        return None
    return entry[2] if entry else None


def log_row(loggers: Iterable[Any], row: dict[str, Any]) -> None:
    """Gives the row of an epoch to a run's loggers, without the values that it lacks."""
    for logger in loggers:
        logger.log_metrics({k: v for k, v in row.items() if v is not None}, step=row["epoch"])


def record_summary(record: Record) -> dict[str, Any]:
    """What W&B keeps of a record beside configuration and curves."""
    return {k: v for k, v in asdict(record).items() if k not in ("config", "curves")}


def mirror(record: Record, loggers: list[Any]) -> None:
    """Gives the final record to the loggers, and ends their runs."""
    from pytorch_lightning.loggers import WandbLogger  # here, so that a dry run of an upload does not load Lightning

    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.summary.update(record_summary(record))
        logger.finalize("success")
    finish_wandb(0)


def finish_wandb(exit_code: int) -> None:
    """Ends this run's W&B run, where there is one: the next run of a grid would go on in it."""
    wandb = sys.modules.get("wandb")
    if wandb and wandb.run:
        wandb.finish(exit_code)
