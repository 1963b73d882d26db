"""The W&B workspace that compares methods: its sections and panels, and a text that shows them without W&B."""

import math
from typing import Any

from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import BarPlot, LinePlot
from wandb_workspaces.workspaces import RunsetSettings, Section, SectionLayoutSettings, Workspace, WorkspaceSettings

from analysis.dashboard import BANDS

NAME = "Methods compared"
GROUPS = ("dataset.name", "net.name", "net.width", "net.depth", "epochs", "method.name")
MOST = 100  # groups in a panel; W&B's default shows ten
COLUMNS = 3


def workspace(entity: str, project: str, dataset: str | None = None, bands: str = "minmax") -> Workspace:
    """The view: runs of one data set, net, number of epochs and method are one line or bar, with a band over them, the
    seeds or replicates.

    Runs on a part of the training set (`limit_train`), and those without a test, are left out, as they are in the
    tables: they belong to studies of hyperparameters, where not only the seed differs. W&B computes no simultaneous
    intervals, profiles or searches: those are in the page and the figures. dataset: shows only its runs. bands: a key
    of BANDS."""
    # as W&B's own filters are stored: `value` after the first part of a name, and a list also of one value
    filters = [expr.Config("limit_train.value").isin([0]), expr.Summary("test.error") >= 0]
    filters += [expr.Config("dataset.value.name").isin([dataset])] if dataset else []
    return Workspace(
        entity=entity,
        project=project,
        name=f"{NAME}, {dataset}" if dataset else NAME,
        sections=sections(bands),
        settings=WorkspaceSettings(x_axis="epoch", max_runs=MOST),
        runset_settings=RunsetSettings(filters=expr.And(*filters), groupby=[expr.Config(name) for name in GROUPS]),
    )


def sections(bands: str) -> list[Section]:
    """A section for each family of panels. Curves have the names of the record's columns, bars those of its parts."""

    def line(y: str, title: str, x: str = "epoch", log: bool = False) -> LinePlot:
        against = {"epoch": "epoch", "elapsed": "seconds"}[x]
        area: Any = bands
        return LinePlot(
            title=f"{title} against {against}",
            x=x,
            y=[y],
            title_x=against,
            log_y=log,
            groupby_aggfunc="mean",
            groupby_rangefunc=area,
            max_runs_to_show=MOST,
        )

    def bar(metric: str, title: str) -> BarPlot:
        area: Any = bands
        return BarPlot(
            title=title,
            metrics=[metric],
            groupby_aggfunc="mean",
            groupby_rangefunc=area,
            max_runs_to_show=MOST,
            max_bars_to_show=MOST,
        )

    families: dict[str, list[LinePlot | BarPlot]] = {
        "Validation error": [
            line("val_error", "validation error, %", log=True),
            line("val_error", "validation error, %", x="elapsed", log=True),
            bar("validation.error", "validation error of the chosen checkpoint, %"),
        ],
        "Test error": [
            bar("test.error", "test error of the chosen checkpoint, %"),
            bar("test.last_error", "test error of the last epoch, %"),
            bar("test.loss", "test loss of the chosen checkpoint"),
        ],
        "Training": [
            line("train_loss", "train loss", log=True),
            line("train_loss", "train loss", x="elapsed", log=True),
            line("train_error", "train error, %"),
            line("val_loss", "validation loss", log=True),
            line("lr", "learning rate", log=True),
        ],
        "Binarization gap": [
            bar("test.binarization_gap", "binarization gap on the test set, points"),
            bar("validation.binarization_gap", "binarization gap on the validation set, points"),
            bar("test.binarized_error", "test error of the signs, %"),
        ],
        "Flips": [
            line("flip_rate", "flips per weight and step", log=True),
            line("net_flips", "share of weights flipped over the epoch", log=True),
            line("flip_flop", "share of flips undone within 10 steps"),
            line("never_flipped", "share of weights never flipped"),
            line("agreement", "agreement with the gradient"),
        ],
        "Packed net": [
            bar("packed.test.error", "test error of the packed net, %"),
            bar("packed.bytes", "size of the packed net, bytes"),
            bar("packed.test.differ", "predictions that are not the trained net's"),
        ],
        "Corrupted test images": [
            bar("test.corrupted.noise", "test error with noise, %"),
            bar("test.corrupted.blur", "test error with blur, %"),
            bar("test.corrupted.contrast", "test error with low contrast, %"),
        ],
        "Time": [
            line("seconds", "seconds of the epoch"),
            line("elapsed", "seconds so far"),
            bar("cost.images_per_second", "images per second"),
            bar("cost.elapsed_seconds", "seconds in all"),
            bar("cost.peak_memory", "peak memory, bytes"),
        ],
    }
    return [
        Section(
            name=name,
            panels=list(panels),
            is_open=True,
            layout_settings=SectionLayoutSettings(columns=COLUMNS, rows=math.ceil(len(panels) / COLUMNS)),
        )
        for name, panels in families.items()
    ]


def panel_metrics(panel: Any) -> list[str]:
    """The metrics that a panel reads, its x axis among them."""
    metrics: list[Any] = [panel.x, *panel.y] if isinstance(panel, LinePlot) else panel.metrics
    return [str(metric) for metric in metrics]


def workspace_text(view: Workspace) -> str:
    """The view as text: what it is of, its sections, and for each panel its kind, metrics and title."""
    runs = view.runset_settings
    groups = ", ".join(str(key.name) for key in runs.groupby)
    lines = [
        f"workspace '{view.name}' in {view.entity or '<entity>'}/{view.project}",
        f"  runs with {runs.filters}, grouped by {groups}",
    ]
    for section in view.sections:
        lines.append(section.name)
        panels: list[Any] = section.panels
        for panel in panels:
            if isinstance(panel, LinePlot):
                what = f"line  {', '.join(map(str, panel.y))} ~ {panel.x}"
            else:
                what = f"bar   {', '.join(map(str, panel.metrics))}"
            area = f"mean, band {BANDS[panel.groupby_rangefunc]}"
            lines.append(f"  {what:<34} {panel.title} ({area})")
    return "\n".join(lines)
