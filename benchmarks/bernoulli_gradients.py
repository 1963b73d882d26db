"""Gradients of the naive Bernoulli layer compared by how soon they recover a random binary matrix.

    python -m benchmarks.bernoulli_gradients [--runs 30] [--out FOLDER]

Protocol (ours; the slides give none): a target W of ±1 (out × N) is drawn, and one layer, z = P(S ≥ 0) by exact dynamic
programming, is to find it from random ±1 vectors x, fresh in every iteration, and whether their products W·x are ≥ 0.
Weight logits start from N(0, 1); Adam at rate 0.1 descends the mean squared difference of z and 1{W·x ≥ 0}. A run's
figure is the number of iterations until the signs of the logits are W. The gradients differ in nothing but how ∂z/∂v is
had; run k of each has the same W, start and vectors, so differences to "solve" are paired. All in float64.

Prints mean ± standard error of the runs beside the slides' figures, which are of their unstated protocol, and ranks
nothing. --out writes bernoulli_gradients.csv (a row a run) and bernoulli_gradients.png.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from methods.binary.poisson_binomial import prob_sum_nonnegative
from methods.binary.poisson_binomial_gradient import CLOSURES

SLIDES = {"solve": 57.7, "three": 63.4, "five": 59.2, "autograd": 57.3}
LIMIT = 1000  # iterations after which a run counts as lost


def recover(seed: int, gradient: str, closure: str, n: int, out: int, batch: int) -> int:
    """Iterations until every weight has its target's sign, or LIMIT."""
    generator = torch.Generator().manual_seed(seed)

    def signs(*shape: int) -> torch.Tensor:
        return 2 * torch.randint(2, shape, generator=generator).double() - 1

    target = signs(out, n)
    logits = torch.randn(out, n, generator=generator, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for iteration in range(LIMIT):
        if ((logits >= 0) == (target > 0)).all():
            return iteration
        x = signs(batch, n)
        z = prob_sum_nonnegative(x[:, None] * torch.tanh(logits / 2), "exact", gradient=gradient, closure=closure)
        optimizer.zero_grad()
        (z - (x @ target.T >= 0).double()).square().mean().backward()
        optimizer.step()
    return LIMIT


def runs(count: int, n: int, out: int, batch: int) -> pd.DataFrame:
    """A row a run: gradient, closure ('' where there is none), seed, iterations."""
    ways = [("solve", ""), ("autograd", ""), *((g, c) for g in ("three", "five") for c in CLOSURES)]
    rows = [
        (gradient, closure, seed, recover(seed, gradient, closure or "zero", n, out, batch))
        for seed in range(count)
        for gradient, closure in ways
    ]
    return pd.DataFrame(rows, columns=["gradient", "closure", "seed", "iterations"])


def table(data: pd.DataFrame) -> str:
    """Mean ± standard error of iterations, and of their difference to "solve" at the same seed, as Markdown."""
    wide = data.pivot_table(index="seed", columns=["gradient", "closure"], values="iterations")
    lines = [
        "| gradient | closure | iterations | difference to solve | lost runs | slides |",
        "|---|---|---|---|---|---|",
    ]
    for gradient, closure in data[["gradient", "closure"]].drop_duplicates().itertuples(index=False):
        column = wide[(gradient, closure)]
        difference = column - wide[("solve", "")]
        paired = f"{difference.mean():+.2f} ± {difference.sem():.2f}" if gradient != "solve" else "–"
        lines.append(
            f"| {gradient} | {closure.replace('_', ' ') or '–'} | {column.mean():.1f} ± {column.sem():.1f} | {paired} "
            f"| {(column >= LIMIT).sum()} | {SLIDES[gradient]} |"
        )
    return "\n".join(lines)


def draw(data: pd.DataFrame, path: Path) -> None:
    """Each run's difference to "solve" at the same seed, their mean and standard error, a row a gradient."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    solved = data[data.gradient == "solve"].set_index("seed").iterations
    shown = data[data.gradient != "solve"].copy()
    shown["difference"] = shown.iterations - shown.seed.map(solved)
    shown["way"] = (shown.gradient + " " + shown.closure.str.replace("_", " ")).str.strip()
    sns.set_theme(style="whitegrid", context="paper")
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.axvline(0, color="black", linewidth=0.8)
    sns.stripplot(shown, x="difference", y="way", hue="gradient", alpha=0.4, size=3, jitter=0.25, legend=False, ax=axes)
    sns.pointplot(shown, x="difference", y="way", errorbar="se", linestyle="none", color="black", markersize=4, ax=axes)
    axes.set(xlabel="iterations more than with the exact gradient", ylabel="")
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 30), ("n", 31), ("rows", 31), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    data = runs(a.runs, a.n, a.rows, a.batch)
    print(f"{a.rows} × {a.n} binary matrix, {a.batch} vectors an iteration, {a.runs} runs paired by seed\n")
    print(table(data))
    if a.out:
        a.out.mkdir(parents=True, exist_ok=True)
        data.to_csv(a.out / "bernoulli_gradients.csv", index=False)
        draw(data, a.out / "bernoulli_gradients.png")


if __name__ == "__main__":
    main()
