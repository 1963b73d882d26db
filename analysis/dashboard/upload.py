"""Finished records as W&B runs, sent by the functions through which a run with `logger=wandb` logs."""

import fnmatch
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from analysis.experiments import CONFIGS, experiment_settings, flat
from configs.settings import UserError
from results.record import Record, load, record_files

LOGGER = CONFIGS / "logger" / "wandb.yaml"
OFFLINE = ("offline", "dryrun")
SHOWN = ("validation.error", "test.error", "test.binarization_gap", "cost.elapsed_seconds")
# This process is not the one that trained: its machine, code and terminal do not describe the run.
SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


def select_records(
    runs: Path,
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
    experiment: str | None = None,
    files: str = "*",
) -> list[Record]:
    """The finished records in `runs`, in the order of their files, that have what is asked for; empty means any.

    experiment: records with what configs/experiment/<experiment>.yaml sets. files: a pattern of paths below `runs`,
    such as `bop/*-s0-*`. UserError, naming the valid ones, where a name is unknown or no record is left."""
    records = {str(path.relative_to(runs)): load(path) for path in record_files(runs)}
    if not records:
        raise UserError(f"{runs} holds no finished records")
    settings = experiment_settings(experiment) if experiment else {}
    for group, names in (("method", methods), ("dataset", datasets)):
        there = {record.config[group]["name"] for record in records.values()}
        for name in names:
            if name not in there:
                raise UserError(f"no record has {group} '{name}' (there are: {', '.join(sorted(there))})")
    asked = (("method.name", list(methods)), ("dataset.name", list(datasets)))
    found = [
        record
        for name, record in records.items()
        if fnmatch.fnmatch(name, files)
        and _has(flat(record.config), settings)
        and all(flat(record.config)[key] in names for key, names in asked if names)
    ]
    if not found:
        parts = [[record.config[group]["name"] for group in ("method", "dataset")] for record in records.values()]
        there = {" on ".join(names) for names in parts}
        raise UserError(f"no record has all of that; there are {len(records)}: {', '.join(sorted(there))}")
    return found


def _has(config: dict[str, Any], settings: dict[str, list[Any]]) -> bool:
    return all(config.get(key) in values for key, values in settings.items())


def wandb_settings(record: Record) -> dict[str, Any]:
    """How the W&B run of a record is opened: configs/logger/wandb.yaml, under an id that is the record's."""
    method, dataset, net = (record.config[group]["name"] for group in ("method", "dataset", "net"))
    live = {"logger": OmegaConf.load(LOGGER), "method": record.config["method"], "output_dir": "outputs"}
    settings: Any = OmegaConf.to_container(OmegaConf.create(live), resolve=True)
    more = ["reconstruction"] if record.model.get("reconstruction") else []
    return settings["logger"] | {
        "id": record.run_id,
        "name": f"{method}/{record.run_id}",
        "tags": [method, dataset, net, *more],
    }


def rows_of(record: Record) -> list[dict[str, Any]]:
    """The curves as one row an epoch, as the run logged them."""
    return [dict(zip(record.curves, values, strict=True)) for values in zip(*record.curves.values(), strict=True)]


def record_metrics(record: Record) -> set[str]:
    """The names that W&B has of an uploaded record: columns of its history, and its summary's, joined by dots."""
    from training.loggers import record_summary

    columns = {name for row in rows_of(record) for name, value in row.items() if value is not None}
    return columns | {name for name, value in flat(record_summary(record)).items() if value is not None}


def record_line(record: Record) -> str:
    """One line of what is sent: id, name, group, points, summary."""
    from training.loggers import record_summary

    settings, summary = wandb_settings(record), flat(record_summary(record))
    numbers = ", ".join(f"{name} {summary[name]:g}" for name in SHOWN if summary.get(name) is not None)
    epochs, columns = len(record.curves["epoch"]), len(record.curves)
    return (
        f"{settings['id']}  name {settings['name']}  group {settings['group']}  {epochs} points of {columns} metrics"
        f"  summary of {len(summary)}: {numbers}"
    )


def upload(records: Sequence[Record], project: str, entity: str | None, folder: Path) -> Iterator[Record]:
    """Sends each record and yields it once it is there. A record sent before is not sent again; one that was broken off
    goes on where it was. With WANDB_MODE=offline the runs are written below `folder`, for `wandb sync`.

    UserError without an API key, where W&B refuses, and where W&B has another record's run under this id."""
    from training.loggers import build_logger, log_row, mirror

    offline = os.environ.get("WANDB_MODE") in OFFLINE
    if not offline:
        check_key("WANDB_MODE=offline writes files for `wandb sync`")
    logging.getLogger("wandb").setLevel(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    where = {"project": project, "entity": entity, "save_dir": str(folder), "resume": None if offline else "allow"}
    for record in records:
        try:
            logger = build_logger({**wandb_settings(record), **where, "settings": SETTINGS, "_convert_": "all"})
            run = logger.experiment
            if run.resumed and run.summary.get("created") not in (None, record.created):
                run.finish()
                raise UserError(f"W&B has another run under the id {record.run_id}; delete it there, or name a project")
            logger.log_hyperparams(record.config)
            for row in rows_of(record)[run.step :]:
                log_row([logger], row)
            mirror(record, [logger])
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"W&B: {' '.join(str(error).split())}") from error
        yield record


def check_key(instead: str) -> None:
    """UserError where W&B would find no API key."""
    from training.loggers import wandb_key

    if not wandb_key():
        raise UserError(f"W&B: no API key found (WANDB_API_KEY or `wandb login`); --dry-run needs none, {instead}")
