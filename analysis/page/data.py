"""What page.js reads: numbers to sort by, and the details of each cell, as compact JSON."""

import json
import math
import shlex
from collections.abc import Sequence
from typing import Any

from analysis.page.rows import Cell, Content, Published, Run, Setting
from analysis.page.thin import digits

PRECISION = 5  # significant digits of an error


def data(content: Content) -> str:
    """JSON that can stand in a <script>: no `<` in it. Cells are in the order of the table."""
    families = sorted({cell.method for setting in content.settings for cell in setting.cells})
    tree = {
        "results": content.results,
        "settings": [_setting(setting) for setting in content.settings],
        "cells": [_cell(i, cell) for i, setting in enumerate(content.settings) for cell in setting.cells],
        "published": [_published(row) for row in content.published],
        "sources": {name: list(content.sources[name]) for name in families if name in content.sources},
    }
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")


def _setting(setting: Setting) -> dict[str, Any]:
    ids = [run.run_id for cell in setting.cells for run in cell.runs]
    return {
        "title": setting.title,
        "dataset": published_name(setting.dataset),
        "config": setting.config,
        "ids": ids[0].rpartition("-s")[0] if ids else "",
    }


def published_name(dataset: str) -> str:
    """The data set as published.csv names it: `SVHN` for a part of it."""
    return dataset.partition(" subset")[0]


def _cell(setting: int, cell: Cell) -> dict[str, Any]:
    words, replicates = split(cell.runs)
    return {
        "setting": setting,
        "key": cell.key,
        "method": cell.method,
        "binary": cell.competitor,
        "error": number(cell.error.value),
        "difference": number(cell.difference.value) if cell.difference else None,
        "count": cell.count,
        "failed": cell.failed,
        "packed": number(cell.packed_bytes),
        "speed": number(cell.images_per_second),
        "config": {name.removeprefix("method."): value for name, value in cell.config.items()},
        "words": words,
        "replicates": replicates,
    }


def split(runs: Sequence[Run]) -> tuple[str, list[list[Any]]]:
    """The words of their commands that all runs have, and for each replicate [its number, the other words of its runs,
    [[hash, seed, error], …]], where `<data set>-<net>-s<seed>-<hash>` is a run's id. Runs outside suites are one
    replicate without a number.

    The parts are quoted for a shell: shared words, those of the replicate and `seed=…` make a run's command."""
    commands = [[word for word in shlex.split(run.command) if word != f"seed={run.seed}"] for run in runs]
    shared = [word for word in commands[0] if all(word in other for other in commands)] if commands else []
    groups: dict[tuple[int | None, str], list[list[Any]]] = {}
    for run, command in zip(runs, commands, strict=True):
        rest = shlex.join([word for word in command if word not in shared])
        groups.setdefault((run.replicate, rest), []).append(
            [run.run_id.rpartition("-")[2], run.seed, number(run.error)]
        )
    return shlex.join(shared), [[*key, rows] for key, rows in groups.items()]


def _published(row: Published) -> list[Any]:
    error = [number(row.error), number(row.spread)]
    return [row.table, row.dataset, row.method, *error, row.binary_activations, row.net, row.epochs, row.source]


def number(value: float) -> float | int | None:
    """To PRECISION significant digits, whole numbers without a point, None for NaN."""
    if value is None or math.isnan(value):
        return None
    rounded = digits(float(value), PRECISION)
    return int(rounded) if rounded == int(rounded) else rounded
