"""The figures of the suites' verdict: differences to the control, all settings together, what searches find."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.aggregate import Values, ends_of_scores, profile_steps
from analysis.overall import Overall
from analysis.plotting import Figure, colour, marker, panels, plain_ticks, plt, ticks_between
from analysis.suites import CONTROL
from analysis.trials import best_found
from analysis.verdict import Compared
from configs.registry import METHODS


def differences_to_control(settings: Sequence[tuple[str, Sequence[Compared]]]) -> Figure | None:
    """A panel a setting: each competitor's difference to the control with its simultaneous 95 % interval, and as a thin
    line the one that holds the noise of the test set too. Left of 0 is better. None without a complete setting."""
    methods = [m for m in METHODS if any(row.method == m and row.difference for _, rows in settings for row in rows)]
    if not methods:
        return None
    figure, axes = panels(len(settings), width=3.6, height=0.9 + 0.32 * len(methods), sharey=True)
    for ax, (setting, rows) in zip(axes, settings, strict=True):
        by_method = {row.method: row for row in rows if row.difference}
        for place, method in enumerate(methods):
            if (row := by_method.get(method)) and row.difference:
                x, style = row.difference.difference, {"color": colour(method), "zorder": 3}
                ax.errorbar(x, place, xerr=_bar(row.difference_wide), elinewidth=1, capsize=3, **style)
                ax.errorbar(x, place, xerr=_bar(row.difference.half_width), elinewidth=3, **style)
                ax.plot(x, place, marker=marker(method), markeredgecolor="white", markersize=8, **style)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.grid(axis="x", linewidth=0.4)
        ax.set_title(setting, fontsize=9)
        ax.set(xlabel=f"test error − {CONTROL}'s, points")
        ax.set_yticks(range(len(methods)), methods)
        ax.set_ylim(len(methods) - 0.5, -0.5)
    handles = [
        Line2D([], [], color="#444444", linewidth=3, label="95 %, all methods together"),
        Line2D([], [], color="#444444", linewidth=1, label="with the noise of the test set"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def all_settings(rows: Sequence[Overall]) -> Figure | None:
    """Left, the interquartile mean of the error relative to the control; right, the probability that a replicate is
    better than the control's. 95 % stratified bootstrap intervals."""
    if len(rows) < 2:
        return None
    total = max(row.settings for row in rows)
    figure, axes = plt.subplots(1, 2, figsize=(9, 1.2 + 0.34 * len(rows)), sharey=True, layout="constrained")
    for place, row in enumerate(rows):
        for ax, estimate in zip(axes, (row.score, row.improves), strict=True):
            if estimate:
                style = {"color": colour(row.method), "zorder": 3}
                ax.plot([estimate.low, estimate.high], [place, place], linewidth=3, **style)
                ax.plot(
                    estimate.value, place, marker=marker(row.method), markeredgecolor="white", markersize=8, **style
                )
    labels = [row.method + (f" ({row.settings} of {total})" if row.settings < total else "") for row in rows]
    axes[0].set_yticks(range(len(rows)), labels)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlabel(f"error over {CONTROL}'s, interquartile mean")
    axes[1].set(xlabel=f"probability to be better than {CONTROL}", xlim=(-0.03, 1.03))
    for ax, neutral in zip(axes, (1, 0.5), strict=True):
        ax.axvline(neutral, color="black", linewidth=0.8)
        ax.grid(axis="x", linewidth=0.4)
    figure.suptitle(f"{total} complete {'setting' if total == 1 else 'settings'}", fontsize=10)
    return figure


def performance_profile(values: Mapping[str, Values]) -> Figure | None:
    """For every competitor, the share of its replicates whose error is at most τ times the control's mean error in the
    same setting, mean over settings (run-score distribution, Agarwal et al. 2021)."""
    if len(values) < 2:
        return None
    control = values[CONTROL]
    ends = ends_of_scores(values, control)
    figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    for place, (method, own) in enumerate(values.items()):
        at, shares = profile_steps(own, control, ends)
        ax.step(at, shares, where="post", color=colour(method), linewidth=1.6)
        level = np.linspace(0.1, 0.9, 5) + 0.02 * (place % 4)  # markers of several methods not all at one height
        some = np.minimum(np.searchsorted(shares, level), len(at) - 1)
        style = {"color": colour(method), "markeredgecolor": "white", "markersize": 7}
        ax.plot(at[some], shares[some], marker=marker(method), linestyle="", **style)
    handles = [Line2D([], [], color=colour(m), marker=marker(m), markeredgecolor="white", label=m) for m in values]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set(xlabel=f"τ: test error over {CONTROL}'s mean", ylabel="share of replicates within τ", ylim=(-0.02, 1.02))
    if ends[1] > 4 * ends[0]:
        ax.set_xscale("log")
        plain_ticks(ax.xaxis, ticks_between(*ends))
    return figure


def best_against_trials(searches: Sequence[tuple[str, pd.DataFrame]]) -> Figure | None:
    """A panel a setting: the lowest validation error of the first t trials, mean over replicates."""
    curves = [(setting, best_found(trials)) for setting, trials in searches if len(trials)]
    if not curves:
        return None
    figure, axes = panels(len(curves), width=3.6, height=3.2)
    shown = [m for m in METHODS if any(m in set(table["method"]) for _, table in curves)]
    for ax, (setting, table) in zip(axes, curves, strict=True):
        for method in shown:
            own = table[table["method"] == method]
            style = {"color": colour(method), "marker": marker(method), "markeredgecolor": "white", "markersize": 6}
            ax.plot(own["trial"], own["error"], linewidth=1.4, **style)
        ax.set_title(setting, fontsize=9)
        ax.set(xlabel="trials", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = 0.95 * table["error"].min(), 1.05 * table["error"].max()
        plain_ticks(ax.yaxis, ticks_between(low, high))
        ax.set_ylim(low, high)
    axes[0].set_ylabel("lowest validation error so far, %")
    handles = [Line2D([], [], color=colour(m), marker=marker(m), markeredgecolor="white", label=m) for m in shown]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    return figure


def _bar(half_width: float) -> float | None:
    return None if math.isnan(half_width) else half_width
