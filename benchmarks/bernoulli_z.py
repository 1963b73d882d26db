"""Time and error of each way of computing z = P(S ≥ 0), the output of a naive Bernoulli layer.

    python -m benchmarks.bernoulli_z [--rows 3200] [--n 800] [--out FOLDER]

Rows of n means in float32, on one thread: random (uniform on [−1, 1]), and nearly certain (|μ| = 1 but for three terms
a row, with as many +1 as −1 give or take a few). The error is the largest and the root mean square over the rows,
against dynamic programming in float64. The ways take turns, round after round; a time is the median of CPU times, and
"with gradient" is forward and backward. "clt, no correction" is Φ(m/√Var), to show what the continuity correction does;
"nominal" is no approximation of P(S ≥ 0), and its difference is given all the same.

Prints a table. --out writes bernoulli_z.csv and bernoulli_z.png.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from methods.binary.poisson_binomial import LEAST_VARIANCE, normal_cdf, prob_sum_nonnegative, variance_of


def uncorrected(mu: Tensor) -> Tensor:
    return normal_cdf(mu.sum(-1) * variance_of(mu).clamp_min(LEAST_VARIANCE).rsqrt())


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": lambda mu: prob_sum_nonnegative(mu, "exact"),
    "adaptive": lambda mu: prob_sum_nonnegative(mu, "adaptive"),
    "clt": lambda mu: prob_sum_nonnegative(mu, "clt"),
    "clt, no correction": uncorrected,
    "nominal": lambda mu: prob_sum_nonnegative(mu, "nominal"),
}


def means(kind: str, rows: int, n: int) -> Tensor:
    """float32 means (rows, n) of `random` or `nearly certain` terms."""
    generator = torch.Generator().manual_seed(0)
    mu = 2 * torch.rand(rows, n, generator=generator) - 1
    if kind == "random":
        return mu
    places = torch.arange(n).expand(rows, n)
    plus = n // 2 + torch.randint(-3, 4, (rows, 1), generator=generator)
    return torch.where(places < 3, mu, torch.where(places < plus, 1.0, -1.0))


def seconds(compute: Callable[[Tensor], Tensor], mu: Tensor, gradient: bool) -> float:
    mu = mu.clone().requires_grad_(gradient)
    start = time.process_time()
    z = compute(mu)
    if gradient:
        z.sum().backward()
    return time.process_time() - start


def measure(rows: int, n: int, rounds: int) -> pd.DataFrame:
    """A row for each kind of means and way: milliseconds, and largest and rms error."""
    table = []
    for kind in ("random", "nearly certain"):
        mu = means(kind, rows, n)
        exact = prob_sum_nonnegative(mu.double(), "exact")
        times: dict[tuple[str, bool], list[float]] = {(name, g): [] for name in WAYS for g in (False, True)}
        for _ in range(rounds):
            for (name, gradient), measured in times.items():
                measured.append(seconds(WAYS[name], mu, gradient))
        for name, compute in WAYS.items():
            error = (compute(mu).double() - exact).abs()
            forward, both = (1e3 * statistics.median(times[name, g]) for g in (False, True))
            table.append((kind, name, forward, both, error.max().item(), error.square().mean().sqrt().item()))
    return pd.DataFrame(table, columns=["means", "way", "ms", "ms_with_gradient", "max_error", "rms_error"])


def draw(data: pd.DataFrame, path: Path) -> None:
    """Error over time, a point a way."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="whitegrid", context="paper")
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    sns.scatterplot(data, x="ms", y="max_error", hue="way", style="means", s=70, ax=axes)
    axes.set(xscale="log", yscale="log", xlabel="CPU time (ms)", ylabel="largest error of P(S ≥ 0)")
    sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 3200), ("n", 800), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    data = measure(a.rows, a.n, a.rounds)
    print(f"{a.rows} rows of N = {a.n}, float32, one thread, median CPU time of {a.rounds} rounds\n")
    print("| means | way | ms | ms with gradient | largest error | rms error |\n|---|---|---|---|---|---|")
    for kind, way, forward, both, largest, rms in data.itertuples(index=False):
        print(f"| {kind} | {way} | {forward:,.0f} | {both:,.0f} | {largest:.1e} | {rms:.1e} |")
    if a.out:
        a.out.mkdir(parents=True, exist_ok=True)
        data.to_csv(a.out / "bernoulli_z.csv", index=False)
        draw(data, a.out / "bernoulli_z.png")


if __name__ == "__main__":
    main()
