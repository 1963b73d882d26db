"""The studies of the bit-flip optimizers: one figure for each, from the records that its command writes.

| figure | records written by |
|---|---|
| convergence | `python run.py -m +experiment=mnist_mlp,bop_mnist,bop2nd_mnist seed=0,1,2` |
| robustness | `python run.py +experiment=study_robustness` |
| correction | `python run.py +experiment=study_correction` |
| scaler | `python run.py +experiment=study_scaler` |
| second_moment | `python run.py +experiment=study_second_moment`, and `…=study_second_moment_cifar10` |

All errors are validation errors: the studies ask about hyperparameters, and no search may see the test set.
"""

import pandas as pd

from analysis import plotting
from analysis.plotting import Figure, plt, sns
from analysis.selection import epochs_of, main_setting, of_experiment, where
from analysis.statistics import share_near_best, summarize

ERROR = "validation error, %"


def convergence(runs: pd.DataFrame) -> Figure | None:
    """Validation error of `ste`, `bop` and `bop2nd` against epochs and seconds; a line a seed.

    Seconds are those of a machine that did other work as well; benchmarks/ compares times."""
    named = {"mnist_mlp": "ste", "bop_mnist": "bop", "bop2nd_mnist": "bop2nd"}
    chosen = pd.concat(
        [where(of_experiment(runs, e), **{"method.name": m}) for e, m in named.items()], ignore_index=True
    )
    if chosen.empty:
        return None
    curves = epochs_of(chosen, "method.name", "seed")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for ax, (x, label) in zip(axes, (("epoch", "epoch"), ("elapsed", "seconds, on two shared cores")), strict=True):
        style = {"hue": "method.name", "hue_order": list(named.values()), "units": "run_id", "estimator": None}
        colours = {method: plotting.colour(method) for method in named.values()}
        sns.lineplot(curves, x=x, y="val_error", ax=ax, legend=ax is axes[0], palette=colours, **style)
        ax.set(yscale="log", xlabel=label, ylabel=ERROR)
        plotting.plain_ticks(ax.yaxis, [1.5, 2, 3, 5, 10, 20])
    sns.move_legend(axes[0], "best", title=None)
    figure.suptitle("MNIST, 784-2048×3-10")
    return figure


def robustness(runs: pd.DataFrame) -> Figure | None:
    """Validation error over τ × γ for `bop` and `bop2nd`: two heat maps, with the share within 1 point of the best."""
    chosen = of_experiment(runs, "study_robustness")
    if chosen.empty:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    best = chosen["validation.error"].min()
    for ax, method in zip(axes, ("bop", "bop2nd"), strict=True):
        of_method = where(chosen, **{"method.name": method})
        grid = of_method.pivot_table(index="method.gamma", columns="method.threshold", values="validation.error")
        sns.heatmap(grid, annot=True, fmt=".1f", ax=ax, cmap="viridis_r", vmin=best, vmax=best + 20, cbar=ax is axes[1])
        share = share_near_best(of_method["validation.error"])
        ax.set(title=f"{method}: {share:.0%} of the grid within 1 point of its best", xlabel="τ", ylabel="γ")
        ax.set_xticklabels([f"{float(t.get_text()):g}" for t in ax.get_xticklabels()])
        ax.set_yticklabels([f"{float(t.get_text()):g}" for t in ax.get_yticklabels()])
    figure.suptitle(f"{ERROR} after 5 epochs of 10,000 digits of MNIST, 784-256×2-10")
    return figure


def correction(runs: pd.DataFrame) -> Figure | None:
    """`bop2nd`: final validation error for every threshold, constant or falling, and every correction."""
    chosen = of_experiment(runs, "study_correction")
    if chosen.empty:
        return None
    kinds = chosen["method.threshold_schedule"].map({"constant": "", "linear": " → 1e-8"})
    chosen = chosen.assign(τ=chosen["method.threshold"].map("{:.0e}".format) + kinds)
    chosen = chosen.sort_values(["method.threshold", "method.threshold_schedule"])
    figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    order = ["biased", "unbiased", "adam"]
    style = {"x": "τ", "y": "validation.last_error", "hue": "method.correction", "hue_order": order, "ax": ax}
    sns.stripplot(chosen, dodge=True, jitter=False, **style)
    ax.set(ylabel=f"{ERROR}, last epoch", title="bop2nd, MNIST (10,000), 784-256×2-10, 8 epochs")
    sns.move_legend(ax, "best", title=None)
    return figure


def scaler(runs: pd.DataFrame) -> Figure | None:
    """`pbop`: validation error against the scaler, of the likelier signs and of averaged draws."""
    chosen = of_experiment(runs, "study_scaler")
    if chosen.empty:
        return None
    long = chosen.melt(
        ["method.scaler", "method.scaler_schedule", "seed"],
        ["validation.error", "validation.draws_error"],
        "evaluated by",
        "error",
    )
    names = {"validation.error": "sign(2p − 1)", "validation.draws_error": "average of 16 draws"}
    long["evaluated by"] = long["evaluated by"].map(names)
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    style = {"hue": "method.scaler_schedule", "style": "evaluated by", "ax": ax, "markers": True, "errorbar": "sd"}
    sns.lineplot(long, x="method.scaler", y="error", **style)
    ax.set(xscale="log", yscale="log", xlabel="scaler at the start", ylabel=ERROR)
    ax.set_title("pbop (reconstruction), MNIST (10,000), 784-256×2-10, 8 epochs")
    return figure


SCOPES = {"weight": "v of each weight", "layer": "v of the layer", "net": "v of the net"}
BETWEEN = {("weight", "layer"): "of each weight − of the layer", ("layer", "net"): "of the layer − of the net"}


def second_moment(runs: pd.DataFrame) -> Figure | None:
    """`bop2nd`: validation error against the share of flips that its threshold lets pass, fewer to the right, for v of
    three scopes; below, what a narrower v changes at equal c = τ/√γ: difference of the error, paired by seed, with its
    95 % interval.

    The share is the mean over all epochs and seeds, bars are standard deviations of the seeds. c = 0 is Bop at τ = 0.
    The dashed line is the method as a sweep tuned it before there were suites, with the same seeds."""
    studies = {"MNIST, 784-256×2-10": "", "CIFAR-10, ConvNet of width 16, 10,000 examples": "_cifar10"}
    found = {name: of_experiment(runs, f"study_second_moment{end}") for name, end in studies.items()}
    found = {name: with_blocked(chosen) for name, chosen in found.items() if len(chosen)}
    if not found:
        return None
    figure, axes = plt.subplots(2, len(found), figsize=(5.5 * len(found), 7), layout="constrained", squeeze=False)
    for (name, chosen), (upper, lower) in zip(found.items(), axes.T, strict=True):
        points = chosen.groupby(["method.scope", "method.threshold"]).agg(
            blocked=("blocked", "mean"), error=("validation.error", "mean"), sd=("validation.error", "std")
        )
        points["passed"] = 1 - points["blocked"]
        for colour, marker, (scope, label) in zip(sns.color_palette("colorblind"), "osD", SCOPES.items(), strict=False):
            if scope in points.index:
                at = points.loc[scope]
                upper.errorbar(at["passed"], at["error"], at["sd"], marker=marker, capsize=3, color=colour, label=label)
        for colour, ((narrow, wide), label) in zip(sns.color_palette("Dark2"), BETWEEN.items(), strict=False):
            at = differences(chosen, narrow, wide)
            if len(at):
                lower.errorbar(at.index, at["mean"], at["half_width"], marker="o", capsize=3, color=colour, label=label)
        lower.set_visible(lower.has_data())  # not before two scopes were run
        of_a_sweep = {"limit_train": 0, "method.threshold_unit": ["one", None], "replicate": [None]}
        tuned = where(runs, **{"method.name": "bop2nd"} | of_a_sweep)
        tuned = main_setting(where(tuned, **{k: [chosen.iloc[0][k]] for k in ("dataset.name", "net.width", "epochs")}))
        if len(tuned):
            upper.axhline(tuned["validation.error"].mean(), color="black", linewidth=1, ls="--", label="as tuned")
        values = ", ".join(f"{c:g}" for c in sorted(set(chosen["method.threshold"])))
        upper.set(title=name, xlabel=f"share of wanted flips that τ = c√γ lets pass\nfrom the left c = {values}")
        upper.set_ylabel(ERROR)
        upper.set_xscale("log")
        upper.invert_xaxis()
        upper.legend(fontsize=8)
        if lower.get_visible():
            lower.axhline(0, color="black", linewidth=0.5)
            lower.set(xscale="log", xlabel="c = τ/√γ", ylabel="difference of errors, points")
            lower.legend(fontsize=8, title="v", title_fontsize=8)
    return figure


def with_blocked(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, and `blocked`: the mean of this column of their curves."""
    return runs.assign(blocked=[pd.Series(curves["blocked"]).mean() for curves in runs["curves"]])


def differences(runs: pd.DataFrame, narrow: str, wide: str) -> pd.DataFrame:
    """c → mean and 95 % half-width of the difference of validation errors between two scopes of v, over the seeds that
    both have; c > 0, where the scope matters."""
    table = runs.pivot_table(index=["method.threshold", "seed"], columns="method.scope", values="validation.error")
    table = table.reindex(columns=[narrow, wide]).dropna()
    rows = {}
    for c, pairs in (table[narrow] - table[wide]).groupby(level=0):
        summary = summarize(pairs.tolist())
        if float(str(c)) > 0:
            rows[c] = {"mean": summary.mean, "half_width": summary.half_width}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "half_width"])


STUDIES = {
    "convergence": convergence,
    "robustness": robustness,
    "correction": correction,
    "scaler": scaler,
    "second_moment": second_moment,
}
