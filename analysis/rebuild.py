"""All tables and figures of a results folder, and its page: which there are, and how they are written."""

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis import bernoulli_figures, study_figures, suite_figures
from analysis.cells import compared
from analysis.comparison_figures import error_while_training, flip_rates
from analysis.formats import FORMATS, file_name
from analysis.material import Material, gather
from analysis.overall import overall_table, relative_table
from analysis.page.from_records import content_of
from analysis.page.render import page
from analysis.perturbed import perturbed_figure, perturbed_table
from analysis.plotting import Figure, png
from analysis.published import SOURCES
from analysis.tables import costs, error_table, overview, ranking
from analysis.verdict_tables import details_table, state, state_table, suite_table, verdict_table
from configs.registry import ROOT
from results.files import write_whole

TARGET = 3.0  # % of validation error that the cost table asks the time for


def rebuild(results: Path, out: Path, tables_only: bool = False, tuned: Path | None = None) -> None:
    """Writes out/tables, out/page and out/figures, and prints their names and how complete the suites are. Tables and
    figures of an earlier time that the records no longer give are removed.

    UserError, before anything is written, where something cannot be read (see `gather`)."""
    material = gather(results, tuned=tuned)
    print(f"{material.finished} finished runs in {results / 'runs'}")
    for found in material.suites:
        print(f"suite   {found.suite.label}: {state(found)}")
    made = tables(material)
    for name, table in made.items():
        for suffix, render in FORMATS.items():
            write_whole(out / "tables" / f"{name}.{suffix}", render(table))
        print(f"table   {out / 'tables' / name}.{{{','.join(FORMATS)}}}")
    _keep_only(made, out / "tables", FORMATS)
    path = out / "page" / "index.html"
    root, records = (os.path.relpath(folder, path.parent) for folder in (ROOT, results))
    write_whole(path, page(replace(content_of(material), root=root, results=records)))
    print(f"page    {path}")
    if tables_only:
        return
    drawn = []
    for name, figure in figures(material):
        if figure is None:
            print(f"figure  {name}: no records of it yet")
            continue
        path = out / "figures" / f"{name}.png"
        write_whole(path, png(figure))
        print(f"figure  {path}")
        drawn.append(name)
    _keep_only(drawn, out / "figures", ["png"])


def _keep_only(names: Collection[str], folder: Path, suffixes: Collection[str]) -> None:
    """Removes the files of other names with one of these suffixes from the folder."""
    for suffix in suffixes:
        for path in sorted(folder.glob(f"*.{suffix}")):
            if path.stem not in names:
                path.unlink()
                print(f"removed {path}: no record gives it any more")


def tables(material: Material) -> dict[str, pd.DataFrame]:
    """File name → table: of each complete suite, of all of them together, of all cells beside the published figures,
    and a ranking for each other data set and net that two methods or more were run on."""
    cells, published = material.cells, material.published
    result = {"suites": state_table(material.suites)}
    for found in material.complete:
        label = found.suite.label
        rows = material.comparisons[label]
        result[f"suite_{label}"] = suite_table(rows, found)
        result[f"suite_{label}_details"] = details_table(rows, found, material.trials[label])
        if label in material.perturbed:
            result[f"suite_{label}_perturbed"] = perturbed_table(material.perturbed[label])
    if material.complete:
        result["verdict"] = verdict_table(material.named_comparisons, material.overall)
        result["relative"] = relative_table(material.complete)
        result["overall"] = overall_table(material.overall, material.complete)
    result["overview"] = overview(cells, published)
    result |= {f"source_{name}": error_table(cells, published, name) for name in SOURCES}
    if len(cells):
        result["costs"] = costs(cells, TARGET)
        for dataset, net in compared(cells):
            if (dataset, net) not in material.covered:
                result[f"ranking_{file_name(f'{dataset} {net}')}"] = ranking(cells, dataset, net)
    return result


def figures(material: Material) -> Iterator[tuple[str, Figure | None]]:
    """File name and figure, None where there are no records for it; one at a time, so that each can be closed."""
    for name, draw in (study_figures.STUDIES | bernoulli_figures.FIGURES).items():
        yield name, draw(material.runs)
    yield "differences", suite_figures.differences_to_control(material.named_comparisons)
    yield "overall", suite_figures.all_settings(material.overall)
    yield "performance_profile", suite_figures.performance_profile(material.scores)
    yield "best_against_trials", suite_figures.best_against_trials(material.named_searches)
    yield "perturbed", perturbed_figure(material.named_perturbed)
    for dataset, net in compared(material.cells):
        name = file_name(f"{dataset} {net}")
        yield f"errors_{name}", error_while_training(material.cells, dataset, net)
        yield f"flips_{name}", flip_rates(material.cells, dataset, net)
