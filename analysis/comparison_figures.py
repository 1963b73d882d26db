"""Figures of the cells of one data set and net: error while training, and flip rates."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.ticker import MaxNLocator

from analysis.plotting import Figure, colour, marker, plain_ticks, plt, sns
from analysis.selection import epochs_of
from configs.registry import METHODS

TICKS = [m * 10.0**e for e in range(-1, 5) for m in (1, 2, 5)]  # of errors in % and of seconds
SECONDS = "seconds, of a machine that may have been shared"
BAND = ("pi", 50)  # seaborn's name of what the bands show: the middle half of the runs, positive on any axis


def in_order(keys: Iterable[str]) -> list[str]:
    """Cells as legends have them: in the order of the registry, `bayesbinn, activations ±1` behind `bayesbinn`."""
    order = {name: place for place, name in enumerate(METHODS)}
    return sorted(set(keys), key=lambda key: (order.get(key.partition(",")[0], len(order)), key))


def cell_curves(table: pd.DataFrame, dataset: str, net: str) -> pd.DataFrame:
    """One row per method, seed and epoch of the cells of one data set and net, without those of other epochs than a
    suite's; `elapsed` is the mean of the seeds, so that they share an x."""
    here = (table["dataset"] == dataset) & (table["net"] == net)
    chosen = table[here & (table["n"] > 0) & ~table["other_epochs"]]
    parts = [
        epochs_of(cell["runs"], "seed").assign(
            method=cell["key"], real=cell["family"] == "real", binary_activations=cell["binary_activations"]
        )
        for _, cell in chosen.iterrows()
    ]
    curves = pd.concat(parts, ignore_index=True)
    return curves.assign(elapsed=curves.groupby(["method", "epoch"])["elapsed"].transform("mean"))


def error_while_training(table: pd.DataFrame, dataset: str, net: str) -> Figure | None:
    """Validation error against epochs and against seconds: median and middle half of the runs of a cell, which differ
    in their seed, in a suite also in split and configuration. None where no run has a validation set.

    Seconds are those of the machine that each run had, which may have done other work; benchmarks/ compares times."""
    curves = cell_curves(table, dataset, net).dropna(subset="val_error").astype({"val_error": float})
    if curves.empty:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for ax, (x, label) in zip(axes, (("epoch", "epoch"), ("elapsed", SECONDS)), strict=True):
        _lines(curves, x, "val_error", ax, legend=ax is axes[1])
        ax.set(xlabel=label, ylabel="validation error, %")
    axes[0].set_yscale("log")  # once all is drawn: on a logarithmic axis seaborn's quantiles are of logarithms
    axes[1].set_xscale("log")
    plain_ticks(axes[1].xaxis, _ticks(curves["elapsed"], 1))
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_ticks(axes[0].yaxis, _ticks(curves["val_error"], 2))
    sns.move_legend(axes[1], "center left", bbox_to_anchor=(1, 0.5), title=None, frameon=False)
    real = set(curves[~curves["binary_activations"] & ~curves["real"]]["method"])
    for entry in axes[1].get_legend().get_texts():
        if entry.get_text() in real:
            entry.set_text(f"{entry.get_text()} (real activations)")
    figure.suptitle(f"{dataset}, {net}: median and middle half of the runs")
    return figure


def _ticks(values: pd.Series, beyond: float) -> list[float]:
    """From the lowest value over `beyond` to the highest times it."""
    return [tick for tick in TICKS if values.min() / beyond <= tick <= values.max() * beyond]


def flip_rates(table: pd.DataFrame, dataset: str, net: str) -> Figure | None:
    """Share of the binary weights that flip in a step, median and middle half of the runs: how fast a net settles.

    The axis is logarithmic, so an epoch without a flip has no point. None where no run has diagnostics."""
    curves = cell_curves(table, dataset, net)
    curves = curves[~curves["real"]]
    if curves.empty or "flip_rate" not in curves:
        return None
    curves = curves.assign(flip_rate=curves["flip_rate"].where(curves["flip_rate"] > 0))
    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    _lines(curves, "epoch", "flip_rate", ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(yscale="log", xlabel="epoch", ylabel="flips per weight and step", title=f"{dataset}, {net}")
    sns.move_legend(ax, "center left", bbox_to_anchor=(1, 0.5), title=None, frameon=False)
    return figure


def _lines(curves: pd.DataFrame, x: str, y: str, ax: plt.Axes, legend: bool = True) -> None:
    """A line a method, with its colour and marker; dashed where the cell is not the method's usual one."""
    keys = in_order(curves["method"])
    looks = {"palette": {key: colour(key) for key in keys}, "markers": {key: marker(key) for key in keys}}
    dashes = {key: (2, 1) if "," in key else "" for key in keys}
    style = {"hue": "method", "hue_order": keys, "style": "method", "style_order": keys, "dashes": dashes, **looks}
    band = {"estimator": "median", "errorbar": BAND, "err_kws": {"alpha": 0.12}}
    sns.lineplot(curves, x=x, y=y, ax=ax, markersize=5, legend=legend, **band, **style)
