"""The table of the optimizers: each with its rule once more, in float64 NumPy, and values that reach all of it.

A new optimizer is under every test of test_optimizers.py once it has a `Row` in ROWS. A rule here is written from the
formula of the docstring, not from the code. It takes the weights w, their gradients g, the memory s of what it keeps
between steps (0 at the start) and the hyperparameters of the step. It returns the new weights, and how far each weight
was from the border of its decision: 0 for an exact tie, None if the rule decides nothing.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from methods.optim import BayesBiNN, Bop, Bop2ndOrder, PBop, ShiftAdaMax
from methods.optim.base import MomentOptimizer

Memory = defaultdict[str, Any]


def bop(w, g, s: Memory, *, gamma, threshold):
    s["m"] = (1 - gamma) * s["m"] + gamma * g
    margin = w * s["m"] - threshold
    return np.where(margin > 0, -w, w), margin


def bop2nd(w, g, s: Memory, *, gamma, sigma, threshold, eps, correction, scope="weight"):
    s["m"] = (1 - gamma) * s["m"] + gamma * g
    squares = np.full_like(g, (g**2).mean()) if scope == "layer" and g.size else g**2
    s["v"] = (1 - sigma) * s["v"] + sigma * squares
    s["a"] = (1 - gamma) * s["a"] + gamma
    s["b"] = (1 - sigma) * s["b"] + sigma
    a, b = {"biased": (1, 1), "unbiased": (gamma, sigma), "adam": (s["a"], s["b"])}[correction]
    margin = w * (s["m"] / a) / (np.sqrt(s["v"] / b) + eps) - threshold
    rounded = np.log2(b) % 2 != 0  # the root of b: then a tie, but for that of m = 0, is one of the rounding
    return np.where(margin > 0, -w, w), np.where((margin == 0) & (s["m"] != 0) & rounded, np.nan, margin)


def pbop(p, g, s: Memory, *, gamma, sigma, scaler, p_min, eps):
    s["m"] = (1 - gamma) * s["m"] + gamma * g
    s["v"] = (1 - sigma) * s["v"] + sigma * g**2
    return np.clip(p - scaler * s["m"] / (np.sqrt(s["v"]) + eps), p_min, 1 - p_min), None


def bayesbinn(natural, g, s: Memory, *, alpha, momentum, examples, prior_weight, prior):
    s["m"] = momentum * s["m"] + (1 - momentum) * (examples * g + prior_weight * (natural - prior))
    s["weight"] = momentum * s["weight"] + (1 - momentum)  # 1 − βᵗ where β is constant
    return natural - alpha * s["m"] / s["weight"], None


def shift_adamax(w, g, s: Memory, *, lr, betas, eps, write_back):
    s["t"] += 1
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
    s["v"] = np.maximum(betas[1] * s["v"], abs(g))
    with np.errstate(divide="ignore", invalid="ignore"):
        border = np.where(s["v"] > 0, abs(np.log2(s["v"]) % 1 - 0.5), np.inf)
    d = np.maximum(nearest_power(s["v"]), nearest_power(eps))
    if write_back:
        s["v"] = d
    return w - nearest_power(lr / (1 - betas[0] ** s["t"])) * s["m"] / d, border


def nearest_power(x):
    """AP2 of x ≥ 0 by the logarithm."""
    with np.errstate(divide="ignore"):
        return 2.0 ** np.round(np.log2(x))


def signs(rng: Generator, shape):
    return rng.choice([-1.0, 1.0], size=shape)


def probabilities(rng: Generator, shape):
    return rng.integers(0, 65, size=shape) / 64


def dyadic_reals(rng: Generator, shape):
    return rng.integers(-64, 65, size=shape) / 32


@dataclass(frozen=True)
class Row:
    """An optimizer in one of its variants.

    `hyper` holds what a schedule may change, each as a cycle of values over the steps: powers of two, so that ties are
    exact. `options` are fixed. `start` draws initial weights that bfloat16 can hold too."""

    optimizer: type[MomentOptimizer]
    rule: Callable[..., tuple[Any, Any]]
    start: Callable[[Generator, Any], Any]
    hyper: dict[str, tuple[Any, ...]]
    out_of_range: dict[str, Any]
    unfit: torch.Tensor  # weights that the first step refuses
    options: dict[str, Any] = field(default_factory=dict)
    half: bool = True  # takes weights in half precision
    elementwise: bool = True  # whether a weight moves by its own gradient only
    ties: bool = False  # whether its decisions can be exactly on the border

    def __str__(self) -> str:
        return "-".join([self.optimizer.__name__, *map(str, self.options.values())])

    def at(self, step: int) -> dict[str, Any]:
        return {name: values[step % len(values)] for name, values in self.hyper.items()}

    def make(self, params: Any, step: int = 0, **more: Any) -> MomentOptimizer:
        return self.optimizer(params, **{**self.at(step), **self.options, **more})


HALF = torch.tensor([1.0, 0.5])
ROWS = [
    Row(
        Bop,
        bop,
        signs,
        {"gamma": (0.5, 0.25, 1.0, 0.125), "threshold": (0.125, 0.25, 0.5, 0.25, 0.0)},
        out_of_range={"gamma": 1.5},
        unfit=HALF,
        ties=True,
    ),
    *(
        Row(
            Bop2ndOrder,
            bop2nd,
            signs,
            {
                "gamma": gamma,
                "sigma": sigma,
                "threshold": (0.25, 0.5, 0.5, 0.125, 0.0),
                "eps": (0.125, 0.125, 0.125, 0.25),
            },
            out_of_range={"threshold": -1.0},
            unfit=HALF,
            ties=True,
            options={"correction": correction},
        )
        for correction, gamma, sigma in [
            ("biased", (0.5, 0.25, 1.0, 0.125), (0.25, 0.0625, 1.0, 0.25)),
            ("unbiased", (0.5, 0.25, 1.0, 0.125), (0.25, 0.0625, 1.0, 0.25)),
            ("adam", (0.25, 0.125, 0.0625), (0.0625, 0.015625)),  # after a rate of 1, a = b = 1 for good
        ]
    ),
    Row(
        Bop2ndOrder,
        bop2nd,
        signs,
        {"gamma": (0.5, 0.25, 1.0), "sigma": (0.25, 0.0625, 1.0), "threshold": (0.25, 0.5, 0.0), "eps": (0.125, 0.25)},
        out_of_range={"threshold": -1.0},
        unfit=HALF,
        ties=True,
        elementwise=False,
        options={"correction": "biased", "scope": "layer"},
    ),
    Row(
        PBop,
        pbop,
        probabilities,
        {
            "gamma": (0.5, 0.25, 1.0),
            "sigma": (0.25, 0.0625, 0.5, 0.125),
            "scaler": (0.25, 0.0625, 0.125, 0.5, 0.0),
            "p_min": (0.03125, 0.0, 0.125),
            "eps": (0.0625, 0.25),
        },
        out_of_range={"p_min": 0.6},
        unfit=torch.tensor([0.5, 1.5]),
        half=False,
    ),
    Row(
        BayesBiNN,
        bayesbinn,
        dyadic_reals,
        {
            "alpha": (0.125, 0.0625, 0.25),
            "momentum": (0.75, 0.0, 0.5, 0.875),
            "examples": (8, 2),
            "prior_weight": (0.5, 2.0, 0.0),
            "prior": (0.25, -0.5),
        },
        out_of_range={"momentum": 1.0},
        unfit=torch.tensor([0.0, float("inf")]),
    ),
    *(
        Row(
            ShiftAdaMax,
            shift_adamax,
            dyadic_reals,
            {"lr": (0.1, 0.01, 0.07), "betas": ((0.75, 0.875), (0.5, 0.25)), "eps": (2**-27, 0.06)},
            out_of_range={"betas": (0.5, 1.0)},
            unfit=torch.zeros(2, dtype=torch.complex64),
            options={"write_back": write_back},
        )
        for write_back in (True, False)
    ),
]
