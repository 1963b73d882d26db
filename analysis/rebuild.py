"""All tables and figures of a results folder: which there are, their file names, and how they are written."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis import bernoulli_figures, study_figures
from analysis.cells import cells_of, compared
from analysis.comparison_figures import error_while_training, flip_rates, performance_profile
from analysis.formats import FORMATS
from analysis.plotting import Figure, plt
from analysis.selection import load_runs
from analysis.tables import SOURCES, costs, error_table, overview, ranking
from configs.settings import UserError
from results.files import write_whole

TARGET = 3.0  # % of validation error that the cost table asks the time for


def rebuild(results: Path, out: Path, tables_only: bool = False) -> None:
    """Writes out/tables and out/figures from results/runs and results/published.csv, and prints their names.

    UserError, before anything is written, where `results` is no results folder or a record cannot be read."""
    if not (results / "published.csv").is_file():
        raise UserError(f"{results} has no published.csv, so it is no results folder")
    runs = load_runs(results / "runs")
    cells = cells_of(runs)
    print(f"{len(runs)} finished runs in {results / 'runs'}")
    for name, table in tables(cells, pd.read_csv(results / "published.csv")).items():
        for suffix, render in FORMATS.items():
            write_whole(out / "tables" / f"{name}.{suffix}", render(table))
        print(f"table   {out / 'tables' / name}.{{{','.join(FORMATS)}}}")
    for name, figure in () if tables_only else figures(runs, cells):
        if figure is None:
            print(f"figure  {name}: no records of it yet")
            continue
        path = out / "figures" / f"{name}.png"
        write_whole(path, png(figure))
        print(f"figure  {path}")


def tables(cells: pd.DataFrame, published: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """File name → table; a ranking for each data set and net that two methods or more were run on."""
    result = {"overview": overview(cells, published)}
    result |= {f"source_{name}": error_table(cells, published, name) for name in SOURCES}
    if len(cells):
        result["costs"] = costs(cells, TARGET)
        for dataset, net in compared(cells):
            result[f"ranking_{_file_name(f'{dataset} {net}')}"] = ranking(cells, dataset, net)
    return result


def figures(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, Figure | None]]:
    """File name and figure, None where there are no records for it; one at a time, so that each can be closed."""
    for name, draw in (study_figures.STUDIES | bernoulli_figures.FIGURES).items():
        yield name, draw(runs)
    yield "performance_profile", performance_profile(cells)
    for dataset, net in compared(cells):
        name = _file_name(f"{dataset} {net}")
        yield f"errors_{name}", error_while_training(cells, dataset, net)
        yield f"flips_{name}", flip_rates(cells, dataset, net)


def png(figure: Figure) -> bytes:
    """The figure as a PNG that does not name the version of Matplotlib; the figure is closed."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    return content.getvalue()


def _file_name(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower().replace("×", "x"))
