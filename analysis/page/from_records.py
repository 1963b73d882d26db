"""Cells of records and published figures → the rows of the page."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.cells import cells_of
from analysis.experiments import flat
from analysis.material import Material
from analysis.page.from_suites import overall_rows, with_verdict
from analysis.page.method_lines import method_lines
from analysis.page.rows import Cell, Content, Curve, Published, Run, Setting, around
from analysis.page.thin import curve_of
from analysis.published import SOURCES, published_errors
from analysis.suites import CONTROL
from analysis.tables import text
from analysis.verdict_tables import state
from configs.registry import METHODS

SETTING = ["dataset", "net", "epochs"]
AGAIN = "results_dir=outputs/again"  # so that a run whose record is there is made again, and not skipped


def content_of(material: Material) -> Content:
    """The page's content. Each data set, net and number of epochs is a setting, with a verdict where it is a complete
    suite's."""
    cells = material.cells
    groups = dict(list(cells.groupby(SETTING))) if len(cells) else {}
    settings = []
    for found in material.complete:
        own, label = cells_of(found.table, parts=True), found.suite.label
        key = tuple(own.iloc[0][SETTING])
        if key in groups:  # cells beside the suite's
            beside = groups[key][[runs["replicate"].isna().all() for runs in groups[key]["runs"]]]
            own = pd.concat([own, beside[~beside["key"].isin(own["key"])]], ignore_index=True)
        setting = with_verdict(setting_of(own), label, material.comparisons[label], material.trials[label])
        settings.append(replace(setting, shared=material.titles[label] != found.setting))
    taken = {(setting.dataset, setting.net, setting.epochs) for setting in settings}
    settings += [setting_of(group) for key, group in groups.items() if key not in taken]
    begun = [found for found in material.suites if found.methods and not found.complete]
    return Content(
        settings=sorted(settings, key=lambda s: (not s.complete, -len(s.cells), s.title)),
        overall=overall_rows(material.scores, material.overall),
        methods=method_lines(),
        published=published_of(material.published),
        sources={m: sorted({t for tables, ours in SOURCES.values() if m in ours for t in tables}) for m in METHODS},
        unfinished=[(found.suite.label, state(found)) for found in begun],
        control=CONTROL,
        interval_note="The intervals of a setting hold together for all its methods with 95 % probability.",
    )


def setting_of(cells: pd.DataFrame) -> Setting:
    """The cells of one data set, net and number of epochs."""
    dataset, net, epochs = cells.iloc[0][SETTING]
    rows = [cell_of(row) for _, row in cells.iterrows()]
    configs = [flat(config) for runs in cells["runs"] for config in runs["config"]]
    shared = {name: value for name, value in common(configs).items() if not name.startswith("method.")}
    ordered = sorted(rows, key=lambda cell: (not cell.competitor, cell.error.value))
    return Setting(dataset, net, epochs, ordered, config=shared)


def cell_of(row: pd.Series) -> Cell:
    """A row of `cells_of` as the page shows it."""
    runs = row["runs"].sort_values(["split_seed", "seed"])
    shared = common([flat(config) for config in runs["config"]])
    drawn = not row["other_epochs"]
    return Cell(
        key=row["key"],
        method=row["family"],
        note=str(row["method"]).removeprefix(row["key"]).strip(" ()"),
        competitor=bool(row["binary"]),
        error=around(row["mean"], row["half_width"]),
        count=int(row["n"]),
        unit="seeds" if runs["replicate"].isna().all() else "replicates",
        failed=int(row["failed"]),
        packed_bytes=row["packed_bytes"],
        float32_bytes=row["float32_bytes"],
        images_per_second=median(runs, "cost.images_per_second"),
        beside_others=median(runs, "cost.load") > 1.5 * median(runs, "environment.threads"),
        config={name: value for name, value in shared.items() if name.startswith("method.") and name != "method.name"},
        runs=[run_of(run) for _, run in runs.iterrows() if run["status"] == "done"],
        error_curve=curve(runs, "val_error") if drawn else None,
        flip_curve=curve(runs, "flip_rate") if drawn and row["family"] != "real" else None,
    )


def run_of(run: pd.Series) -> Run:
    return Run(
        run_id=run["run_id"],
        replicate=None if pd.isna(run["replicate"]) else int(run["replicate"]),
        seed=int(run["seed"]),
        error=run["deployed"],
        command=shlex.join([*shlex.split(run["command"]), AGAIN]),
    )


def common(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings that are the same in all, without those that are None or empty."""
    first = configs[0] if configs else {}
    same = {k: v for k, v in first.items() if all(k in other and other[k] == v for other in configs)}
    return {name: value for name, value in same.items() if value is not None and value != ()}


def curve(runs: pd.DataFrame, column: str) -> Curve | None:
    """Median and quartiles of a column of the curves over the runs that have it, at the epochs of all."""
    found = [c for c in runs["curves"] if any(v is not None for v in c.get(column, ()))]
    if not found:
        return None
    length = min(len(c["epoch"]) for c in found)
    return curve_of(found[0]["epoch"][:length], [c[column][:length] for c in found])


def median(runs: pd.DataFrame, column: str) -> float:
    return float(runs[column].astype(float).median()) if column in runs else float("nan")


def published_of(published: pd.DataFrame) -> list[Published]:
    """The published figures that are test errors or accuracies, as errors."""
    return [
        Published(
            table=row["table"],
            dataset=row["dataset"],
            method=row["method"],
            error=row["error"],
            spread=row["spread"],
            binary_activations=text(row["binary_activations"]),
            net=text(row["net"]),
            epochs=text(row["epochs"]),
            source=text(row["source"]),
        )
        for _, row in published_errors(published).iterrows()
    ]
