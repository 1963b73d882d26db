"""Figures of the naive Bernoulli network: its error at each stage of binarization, and its weight probabilities.

They are made of the records of

python run.py -m +experiment=bernoulli_mnist seed=0,1,2
python run.py -m +experiment=bernoulli_cnn_mnist method=ste,real seed=0,1,2
python run.py +experiment=ablation_bernoulli
python run.py -m "+experiment=glob(slides_net_*)" seed=0,1,2
"""

import numpy as np
import pandas as pd

from analysis.plotting import Figure, plain_ticks, plt, sns
from analysis.selection import epochs_of, main_setting, of_experiment, where

STAGES = {  # column of the curves → what the net is there
    "val_soft_error": "as it trains",
    "val_weights_error": "weights made signs, activations as they train",
    "val_error": "fully binary: weights and activations signs",
}

# how the slides' net is usually; None: a record from before there was the setting, or a method that has none
USUAL = {"net.output_norm": [True, None], "method.activation_gradient": ["hardtanh", None]}


def error_by_stage(runs: pd.DataFrame) -> Figure | None:
    """Validation error against epochs at each of STAGES: mean and standard deviation of the seeds. Below, the share of
    weights that are hardened for good.

    Horizontal lines are `ste` and `real` on the same net, data and epochs, at their chosen epochs."""
    found = of_experiment(runs, "bernoulli_cnn_mnist")
    chosen = main_setting(where(of_experiment(runs, "bernoulli_mnist"), **USUAL))
    if chosen.empty:
        return None
    curves = epochs_of(chosen, "seed")
    figure, axes = plt.subplots(
        2, 1, figsize=(8, 5.4), sharex=True, layout="constrained", gridspec_kw={"height_ratios": (4, 1)}
    )
    for column, label in STAGES.items():
        sns.lineplot(curves, x="epoch", y=column, errorbar="sd", label=label, ax=axes[0])
    for method, style in (("ste", "--"), ("real", ":")):
        other = main_setting(where(found, **{"method.name": method} | USUAL))
        if len(other):
            error = other["validation.error"].mean()
            axes[0].axhline(error, color="black", linestyle=style, linewidth=1, label=f"{method}, chosen epoch")
    axes[0].set(yscale="log", ylabel="validation error, %")
    plain_ticks(axes[0].yaxis, [1, 2, 3, 5, 10, 20, 50])
    axes[0].legend(fontsize=8)
    sns.lineplot(curves, x="epoch", y="hardened", color="black", errorbar=None, ax=axes[1])
    axes[1].set(xlabel="epoch", ylabel="hardened", ylim=(0, 1.05))
    figure.suptitle(f"bernoulli, MNIST (pixels ±1, 24×24), {chosen['seed'].nunique()} seeds")
    return figure


def weight_probabilities(runs: pd.DataFrame) -> Figure | None:
    """Histogram of weight probabilities over epochs, a panel a layer: colour is the share of weights (logarithmic)
    whose P(w = +1) lies there. The run is that of the lowest seed."""
    chosen = main_setting(where(of_experiment(runs, "bernoulli_mnist"), **USUAL))
    layers = chosen.sort_values("seed").iloc[0]["diagnostics"] if len(chosen) else {}
    if not layers:
        return None
    figure, axes = plt.subplots(1, len(layers), figsize=(2.6 * len(layers), 3.6), sharey=True, layout="constrained")
    for ax, (name, rows) in zip(np.atleast_1d(axes), layers.items(), strict=True):
        shares = np.array(rows["histogram"]).T
        epochs = shares.shape[1]
        image = ax.pcolormesh(
            np.arange(epochs + 1) + 0.5,
            np.linspace(0, 1, len(shares) + 1),
            np.maximum(shares, 1e-4),
            norm="log",
            cmap="viridis",
        )
        image.set_clim(1e-4, 1)
        ax.set(title=f"layer {name}", xlabel="epoch")
    np.atleast_1d(axes)[0].set_ylabel("P(w = +1)")
    figure.colorbar(image, ax=axes, label="share of the layer's weights")
    return figure


SLIDES_NET = {  # experiment → what it shows; the column of the curves, of the chosen epoch, that counts
    "slides_net_1_real": ("real", "val_error"),
    "slides_net_2_signs": ("real weights,\n±1 activations", "val_error"),
    "slides_net_3_soft": ("Bernoulli,\nnot hardened", "val_soft_error"),
    "slides_net_4_ste": ("ste", "val_error"),
    "slides_net_5_ste_slides": ("ste as\nthe slides have it", "val_error"),
    "slides_net_6_bernoulli": ("bernoulli", "val_error"),
    "slides_net_7_bernoulli_slides": ("bernoulli,\nno output norm", "val_error"),
}
REPORTED = {  # % of test error, the slides
    "real": 1.0,
    "ste as\nthe slides have it": 10.5,
    "bernoulli,\nno output norm": 2.5,
}


def slides_net(runs: pd.DataFrame) -> Figure | None:
    """Lowest validation error of each run of the study `slides_net_*`: where the slides' net loses accuracy. Crosses:
    the slides' own figures, of the test set."""
    rows = []
    for experiment, (label, column) in SLIDES_NET.items():
        found = of_experiment(runs, experiment)
        found = found if experiment.endswith("_slides") else where(found, **USUAL)
        for _, run in found.iterrows():
            rows.append({"net": label, "error": min(run["curves"][column]), "seed": run["seed"]})
    if not rows:
        return None
    table = pd.DataFrame(rows)
    order = [label for label, _ in SLIDES_NET.values() if label in set(table["net"])]
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    sns.stripplot(table, x="net", y="error", order=order, ax=ax, jitter=False, alpha=0.7)
    sns.pointplot(
        table, x="net", y="error", order=order, ax=ax, errorbar=None, linestyle="none", marker="_", color="black"
    )
    for place, label in enumerate(order):
        if label in REPORTED:
            ax.plot(
                place, REPORTED[label], "x", color="C3", label="the slides' test error" if label == "real" else None
            )
    ax.set(yscale="log", xlabel="", ylabel="validation error, %", title="the slides' net, MNIST (pixels ±1, 24×24)")
    plain_ticks(ax.yaxis, [1, 2, 3, 5, 10, 20])
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left")
    return figure


def ablation(runs: pd.DataFrame) -> Figure | None:
    """Validation error of `ablation_bernoulli`: z × activations × order of hardening; a point a seed. None before both
    kinds of activations have runs."""
    chosen = of_experiment(runs, "ablation_bernoulli")
    if chosen.empty or set(chosen["method.activations"]) != {"hard", "annealed"}:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    order = ["by_part", "by_part_of_layer", "by_layer", "at_once"]
    for ax, activations in zip(axes, ("hard", "annealed"), strict=True):
        part = where(chosen, **{"method.activations": activations})
        style = {"order": order, "hue": "method.how", "hue_order": ["nominal", "clt"], "dodge": True, "jitter": False}
        sns.stripplot(part, x="method.binarize", y="validation.error", ax=ax, legend=ax is axes[1], **style)
        ax.set(title=f"activations {activations}", xlabel="order of hardening", ylabel="validation error, %")
        ax.tick_params(axis="x", labelsize=8)
    sns.move_legend(axes[1], "best", title="z by")
    figure.suptitle("bernoulli, MNIST (pixels ±1, 24×24, 10,000 digits), 20 epochs")
    return figure


FIGURES = {
    "bernoulli_stages": error_by_stage,
    "bernoulli_probabilities": weight_probabilities,
    "bernoulli_ablation": ablation,
    "slides_net": slides_net,
}
