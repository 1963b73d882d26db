"""Rebuilds analysis/tables and analysis/figures from the records and published.csv alone: `python -m analysis`."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis import bernoulli, studies
from analysis.curves import error_while_training, flip_rates, performance_profile
from analysis.render import FORMATS
from analysis.select import RESULTS, load_runs
from analysis.tables import SOURCES, cells, compared, costs, error_table, overview, ranking
from results.files import write_whole

HERE = Path(__file__).parent
TARGET = 3.0  # % of validation error that the cost table asks the time for


def tables(table: pd.DataFrame, published: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """File name → table; a ranking for each data set and net that two methods or more were run on."""
    result = {"overview": overview(table, published)}
    result |= {f"source_{name}": error_table(table, published, name) for name in SOURCES}
    if len(table):
        result["costs"] = costs(table, TARGET)
        for dataset, net in compared(table):
            result[f"ranking_{_file_name(f'{dataset} {net}')}"] = ranking(table, dataset, net)
    return result


def figures(runs: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[str, Figure | None]]:
    """File name and figure, None where no record is of it; one after the other, to be closed before the next."""
    for name, draw in (studies.STUDIES | bernoulli.FIGURES).items():
        yield name, draw(runs)
    yield "performance_profile", performance_profile(table)
    for dataset, net in compared(table):
        name = _file_name(f"{dataset} {net}")
        yield f"errors_{name}", error_while_training(table, dataset, net)
        yield f"flips_{name}", flip_rates(table, dataset, net)


def _file_name(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower().replace("×", "x"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--tables-only", action="store_true", help="draw no figures")
    args = parser.parse_args()
    if not (args.results / "published.csv").is_file():
        print(f"error: {args.results} holds no published.csv, so it is no results folder", file=sys.stderr)
        return 2

    runs = load_runs(args.results / "runs")
    table = cells(runs)
    print(f"{len(runs)} finished runs in {args.results / 'runs'}")
    for name, made in tables(table, pd.read_csv(args.results / "published.csv")).items():
        for suffix, render in FORMATS.items():
            write_whole(args.out / "tables" / f"{name}.{suffix}", render(made))
        print(f"table   {args.out / 'tables' / name}.{{{','.join(FORMATS)}}}")
    for name, figure in () if args.tables_only else figures(runs, table):
        path = args.out / "figures" / f"{name}.png"
        if figure is None:
            print(f"figure  {name}: no records of it yet")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, metadata={"Software": None})
        plt.close(figure)
        print(f"figure  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
