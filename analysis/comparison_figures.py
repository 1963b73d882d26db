"""Figures that compare methods: error while training and flip rates for each data set and net, performance profile."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, NullFormatter

from analysis.plotting import Figure, plt, sns
from analysis.selection import epochs_of

COLOURS = [*sns.color_palette("tab10"), *sns.color_palette("Dark2")]
BAND = "sd"  # seaborn's name of what the bands show: the standard deviation of the seeds


def colours_of(table: pd.DataFrame) -> dict[str, Any]:
    """Method → colour, in the order of legends, the same in every figure of one table: `real` black."""
    keys = sorted(set(table["key"]) - {"real"})
    return {"real": (0, 0, 0)} | dict(zip(keys, cycle(COLOURS), strict=False))


def cell_curves(table: pd.DataFrame, dataset: str, net: str) -> pd.DataFrame:
    """One row per method, seed and epoch of the cells of one data set and net; `elapsed` is the mean of the seeds, so
    that they share an x."""
    chosen = table[(table["dataset"] == dataset) & (table["net"] == net) & (table["n"] > 0)]
    parts = [
        epochs_of(cell["runs"], "seed").assign(method=cell["key"], binary_activations=cell["binary_activations"])
        for _, cell in chosen.iterrows()
    ]
    curves = pd.concat(parts, ignore_index=True)
    return curves.assign(elapsed=curves.groupby(["method", "epoch"])["elapsed"].transform("mean"))


def error_while_training(table: pd.DataFrame, dataset: str, net: str) -> Figure | None:
    """Validation error against epochs and against seconds: mean and standard deviation over seeds. None where no run
    has a validation set.

    Seconds are those of the machine that each run had, which may have done other work; benchmarks/ compares times."""
    curves = cell_curves(table, dataset, net).dropna(subset="val_error").astype({"val_error": float})
    if curves.empty:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for ax, (x, label) in zip(axes, (("epoch", "epoch"), ("elapsed", "seconds")), strict=True):
        _lines(curves, x, "val_error", ax, colours_of(table), legend=ax is axes[1])
        ax.set(xlabel=label, ylabel="validation error, %")
    axes[0].set_yscale("log")  # once all is drawn: on a logarithmic axis seaborn's means are of logarithms
    axes[1].set_xscale("log")
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    _percent_ticks(axes[0], curves["val_error"])
    sns.move_legend(axes[1], "center left", bbox_to_anchor=(1, 0.5), title=None, frameon=False)
    real = set(curves[~curves["binary_activations"]]["method"]) - {"real"}
    for entry in axes[1].get_legend().get_texts():
        if entry.get_text() in real:
            entry.set_text(f"{entry.get_text()} (real activations)")
    figure.suptitle(f"{dataset}, {net}: mean and standard deviation of the seeds")
    return figure


def flip_rates(table: pd.DataFrame, dataset: str, net: str) -> Figure | None:
    """Share of the binary weights that flip in a step, mean of every epoch: how fast a net settles.

    The axis is logarithmic, so an epoch without a flip has no point. None where no run has diagnostics."""
    curves = cell_curves(table, dataset, net)
    curves = curves[curves["method"] != "real"]
    if "flip_rate" not in curves:
        return None
    curves = curves.assign(flip_rate=curves["flip_rate"].where(curves["flip_rate"] > 0))
    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    _lines(curves, "epoch", "flip_rate", ax, colours_of(table))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(yscale="log", xlabel="epoch", ylabel="flips per weight and step", title=f"{dataset}, {net}")
    sns.move_legend(ax, "center left", bbox_to_anchor=(1, 0.5), title=None, frameon=False)
    return figure


def performance_profile(table: pd.DataFrame) -> Figure | None:
    """For every method, the share of settings (data set and net) whose mean test error is at most r times the lowest.

    Of nets with binary activations, on settings that three methods or more were run on; a setting that a method has no
    record of counts as never solved (Dolan & Moré 2002, doi 10.1007/s101070100263). A setting whose lowest error is 0
    has no ratios and is left out. None where no setting is left."""
    ratios = error_ratios(table)
    if ratios.empty:
        return None
    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    colours = colours_of(table)
    right = 1.05 * np.nanmax(ratios.to_numpy())
    for method, row in ratios.iterrows():
        solved = np.sort(row.dropna().to_numpy())
        x = np.concatenate([[1.0], solved, [right]])
        y = np.concatenate([[0.0], np.arange(1, len(solved) + 1), [len(solved)]]) / ratios.shape[1]
        ax.step(x, y, where="post", label=method, color=colours[str(method)])
    ax.set(xlabel="r: test error over the lowest", ylabel="share of settings solved within r", ylim=(0, 1.02))
    ax.set_title(f"{ratios.shape[1]} settings: {'; '.join(ratios.columns)}", fontsize=8, wrap=True)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def error_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Method × setting: mean test error over the setting's lowest, NaN where there is no record."""
    if table.empty:
        return pd.DataFrame()
    binary = table[table["binary"] & (table["n"] > 0)]
    binary = binary.assign(setting=binary["dataset"] + ", " + binary["net"])
    wide = binary.pivot_table(index="key", columns="setting", values="mean")
    wide = wide.loc[:, (wide.notna().sum() >= 3) & (wide.min() > 0)]
    return (wide / wide.min()).dropna(how="all")


def _lines(curves: pd.DataFrame, x: str, y: str, ax: plt.Axes, colours: dict[str, Any], legend: bool = True) -> None:
    order = [key for key in colours if key in set(curves["method"])]
    style = {"hue": "method", "hue_order": order, "palette": colours, "errorbar": BAND, "legend": legend}
    sns.lineplot(curves, x=x, y=y, ax=ax, **style)


def _percent_ticks(ax: plt.Axes, errors: pd.Series) -> None:
    """Ticks 1, 2, 5 of each decade that the errors reach, written out."""
    ticks = [m * 10.0**e for e in range(-1, 3) for m in (1, 2, 5)]
    within = [t for t in ticks if errors.min() / 2 <= t <= errors.max() * 2]
    ax.set_yticks(within, [f"{t:g}" for t in within])
    ax.minorticks_off()
