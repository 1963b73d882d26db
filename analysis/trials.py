"""What the searches of a suite found: the best validation error against trials, and how much depends on the
settings."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.statistics import share_near_best
from configs.settings import UserError

COLUMNS = ["method", "replicate", "trial", "state", "error", "values"]


def load_trials(folder: Path, suite: str, methods: Sequence[str]) -> pd.DataFrame:
    """A row for each trial in <folder>/<suite>/<method>/r<replicate>.csv: `method`, `replicate`, `trial` from 1,
    `state`, `error`, the validation error in %, NaN where the trial failed, and `values`, the settings that were tried.
    UserError, naming the file, where one is no such table."""
    rows = []
    for method, replicate, path in tables_of(folder, suite, methods):
        try:
            table = pd.read_csv(path)
            rows.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "replicate": replicate,
                        "trial": table["trial"] + 1,
                        "state": table["state"],
                        "error": table["validation_error"].astype(float),
                        "values": table.drop(columns=["trial", "state", "validation_error"]).to_dict("records"),
                    }
                )
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} is not a readable table of trials: {error}") from error
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS)


def chosen_in(path: Path) -> dict[str, str]:
    """What a search chose, by its table of trials: the values, as they stand there, of the trial with the lowest
    validation error, the first at ties and where all failed. UserError where it is no such table."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        errors = table["validation_error"].replace("", "inf").astype(float)
        values = table.drop(columns=["trial", "state", "validation_error"]).iloc[int(errors.argmin())]
        return {str(name): value for name, value in values.items()}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path} is not a readable table of trials: {error}") from error


def tables_of(folder: Path, suite: str, methods: Sequence[str]) -> Iterator[tuple[str, int, Path]]:
    """Method, replicate and path of each <folder>/<suite>/<method>/r<replicate>.csv."""
    for path in sorted(folder.glob(f"{suite}/*/r*.csv")):
        number = path.stem[1:]
        if path.parent.name in methods and number.isdigit():
            yield path.parent.name, int(number), path


def best_found(trials: pd.DataFrame) -> pd.DataFrame:
    """`method`, `trial` t, and `error`: the lowest validation error of the first t trials of a search, mean over the
    replicates. A failed trial finds nothing, and a search with fewer trials keeps its best; no row where a replicate
    has found nothing by then."""
    if trials.empty:
        return pd.DataFrame(columns=["method", "trial", "error"])
    wide = trials.pivot_table(index=["method", "replicate"], columns="trial", values="error", dropna=False)
    wide = wide.reindex(pd.MultiIndex.from_frame(trials[["method", "replicate"]].drop_duplicates()))
    best = wide.astype(float).fillna(np.inf).cummin(axis=1).groupby(level="method").mean()
    long = best.melt(ignore_index=False, value_name="error").reset_index().sort_values(["method", "trial"])
    return long[np.isfinite(long["error"])].reset_index(drop=True)


def sensitivity(trials: pd.DataFrame) -> pd.Series:
    """Method → share of the trials within 1 point of the lowest validation error of their search, mean over the
    replicates. A failed trial is not within."""
    shares = trials.groupby(["method", "replicate"])["error"].apply(share_near_best)
    return shares.groupby(level="method").mean()
