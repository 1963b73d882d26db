"""Figures of the naive Bernoulli network: its error at each stage of binarization, and its weight probabilities.

They are made of the records of

python run.py -m +experiment=bernoulli_mnist seed=0,1,2
python run.py -m +experiment=bernoulli_cnn_mnist method=ste,real seed=0,1,2
"""

import numpy as np
import pandas as pd

from analysis.plotting import Figure, plt, sns
from analysis.selection import epochs_of, main_setting, of_experiment, where

STAGES = {  # column of the curves → what the net is there
    "val_soft_error": "as it trains",
    "val_weights_error": "weights made signs, activations as they train",
    "val_error": "fully binary: weights and activations signs",
}


def error_by_stage(runs: pd.DataFrame) -> Figure | None:
    """Validation error against epochs at each of STAGES: mean and standard deviation of the seeds. Below, the share of
    weights that are hardened for good.

    Horizontal lines are `ste` and `real` on the same net, data and epochs, at their chosen epochs."""
    found = of_experiment(runs, "bernoulli_cnn_mnist")
    chosen = main_setting(of_experiment(runs, "bernoulli_mnist"))
    if chosen.empty:
        return None
    curves = epochs_of(chosen, "seed")
    figure, axes = plt.subplots(
        2, 1, figsize=(8, 5.4), sharex=True, layout="constrained", gridspec_kw={"height_ratios": (4, 1)}
    )
    for column, label in STAGES.items():
        sns.lineplot(curves, x="epoch", y=column, errorbar="sd", label=label, ax=axes[0])
    for method, style in (("ste", "--"), ("real", ":")):
        other = main_setting(where(found, **{"method.name": method}))
        if len(other):
            error = other["validation.error"].mean()
            axes[0].axhline(error, color="black", linestyle=style, linewidth=1, label=f"{method}, chosen epoch")
    axes[0].set(yscale="log", ylabel="validation error, %")
    axes[0].set_yticks(ticks := [1, 2, 3, 5, 10, 20, 50], [f"{t:g}" for t in ticks])
    axes[0].minorticks_off()
    axes[0].legend(fontsize=8)
    sns.lineplot(curves, x="epoch", y="hardened", color="black", errorbar=None, ax=axes[1])
    axes[1].set(xlabel="epoch", ylabel="hardened", ylim=(0, 1.05))
    figure.suptitle(f"bernoulli, MNIST (pixels ±1, 24×24), {chosen['seed'].nunique()} seeds")
    return figure


def weight_probabilities(runs: pd.DataFrame) -> Figure | None:
    """Histogram of weight probabilities over epochs, a panel a layer: colour is the share of weights (logarithmic)
    whose P(w = +1) lies there. The run is that of the lowest seed."""
    chosen = main_setting(of_experiment(runs, "bernoulli_mnist"))
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


FIGURES = {"bernoulli_stages": error_by_stage, "bernoulli_probabilities": weight_probabilities}
