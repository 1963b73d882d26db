"""Second-order Bop: the flip threshold is relative to the size of the gradient (Suárez-Ramírez et al. 2021)."""

import math
from typing import Any

import torch
from torch import Tensor

from .base import Coefficient, MomentOptimizer, not_binary, require

CORRECTIONS = ("biased", "unbiased", "adam")
SCOPES = ("weight", "layer", "net")


class Bop2ndOrder(MomentOptimizer):
    """Bop whose moving average is divided by the root of the gradient's second raw moment before the threshold.

    For a weight w ∈ {−1, +1} with gradient g::

        m ← (1 − γ) m + γ g,    v ← (1 − σ) v + σ g²,    m₀ = v₀ = 0
        w ← −w   if w·(m/a) / (√(v/b) + ε) > τ,   else w

    where the correction says what a and b are:

    - ``"biased"``: a = b = 1.
    - ``"unbiased"``, as the paper's code has it: a = γ, b = σ. For constant γ and σ that is only another threshold: the
      biased rule with τ·γ/√σ in place of τ (and ε·√σ in place of ε).
    - ``"adam"``: the sums of the weights with which gradients have entered m and v, a ← (1 − γ) a + γ and
      b ← (1 − σ) b + σ from zero. For constant γ, σ these are Adam's 1 − (1 − γ)ᵗ and 1 − (1 − σ)ᵗ, so it tends to
      the biased rule as t grows; unlike Adam's formula it stays right when a schedule changes γ and σ.

    The scope says what takes the place of g² in v: the weight's own, as published, or its mean over the weight's
    parameter ("layer"), or over all parameters that have a gradient ("net").

    At the first step |m|/√v = γ/√σ for every weight: if that exceeds τ (biased), all weights that disagree with their
    gradient flip at once, about half. That is the published rule.

    Args:
        params: parameters that hold exactly ±1, of any shape and of any real floating dtype, or groups of them. Checked
            before the first step of each.
        gamma: adaptivity rate γ of the first moment, in [0, 1].
        sigma: rate σ of the second moment, in [0, 1].
        threshold: τ ≥ 0, free of the gradient's scale.
        correction: "biased", "unbiased" or "adam"; the last two need γ > 0 and σ > 0.
        eps: ε > 0; 1e-10 in the paper's code.
        scope: "weight", "layer" or "net"; the last two are ours, to tell what a second moment per weight does.
        compiled: update by code from `torch.compile`, in one pass over memory: two to three times as fast, after
            some seconds of compilation. m and v are the same as without on a CPU; √v may differ in its last bit (and
            with it a flip at the very threshold), elsewhere any rounding.
        check_finite: look for NaN and infinity in all gradients before the step, for one more pass over them (and one
            synchronization a step on a GPU). Turn it off only where something else looks.

    All but the last two are read from the parameter group in every step, so a schedule may change them between steps.
    `state[p]` has "m" and "v", of `p`'s shape, in float32 even for bfloat16 weights (float64 for float64), and the
    floats "m_weight" and "v_weight" (a and b of "adam") and, for the last two scopes, "mean_square" (of the last step's
    g): 8 bytes of state a weight. In float32, m stands still once
    γ·|g − m| is below 6e-8·|m|, and v likewise, which matters at rates near 1e-7.

    Raises:
        ValueError: a hyperparameter out of range (here or in a later step), or weights that are not ±1 (first step).
        FloatingPointError: a NaN or infinite gradient. As for the other errors, the step then changed nothing.
        RuntimeError: a sparse gradient.

    Differs from the paper's code: a tie keeps the weight; weights are ±1 from the start; "adam" is added. The defaults
    are those of the paper's hyperparameter study; the class in its code has γ = 1e-6, σ = 1e-2, its nets τ = 1e-5.

    Source: Suárez-Ramírez et al., "A Bop and Beyond", 2021, arXiv 2104.05124.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Bop2ndOrder([w], gamma=0.5, sigma=0.25, threshold=0.9)
        >>> (w * torch.tensor([1e-3, -1e-3])).sum().backward()
        >>> optimizer.step()  # |m|/√v = 1 for both, and the first has the sign of its gradient
        >>> w.tolist()
        [-1.0, 1.0]

    In one's own training loop it stands where `Bop` does in the example there.
    """

    moments = ("m", "v")

    def __init__(
        self,
        params: Any,
        gamma: float = 1e-7,
        sigma: float = 1e-3,
        threshold: float = 1e-6,
        correction: str = "biased",
        *,
        eps: float = 1e-10,
        scope: str = "weight",
        compiled: bool = False,
        check_finite: bool = True,
    ) -> None:
        defaults = {
            "gamma": gamma,
            "sigma": sigma,
            "threshold": threshold,
            "correction": correction,
            "eps": eps,
            "scope": scope,
        }
        super().__init__(params, defaults, compiled, check_finite)

    def check_group(self, group: dict[str, Any]) -> None:
        gamma = require(self, group, "gamma", 0, 1)
        sigma = require(self, group, "sigma", 0, 1)
        require(self, group, "threshold", 0)
        if require(self, group, "eps", 0) == 0:
            raise ValueError("Bop2ndOrder: eps must be above 0")
        if group["correction"] not in CORRECTIONS:
            raise ValueError(f"Bop2ndOrder: correction must be one of {CORRECTIONS}, got {group['correction']!r}")
        if group["scope"] not in SCOPES:
            raise ValueError(f"Bop2ndOrder: scope must be one of {SCOPES}, got {group['scope']!r}")
        if group["correction"] != "biased" and (gamma == 0 or sigma == 0):
            raise ValueError(f"Bop2ndOrder: correction {group['correction']!r} needs gamma and sigma above 0")

    def check_parameter(self, p: Tensor) -> str | None:
        return not_binary(p)

    def _check_step(self) -> None:
        super()._check_step()
        if any(group["scope"] != "weight" for group in self.param_groups):
            self._measure_squares()

    def _measure_squares(self) -> None:
        """Puts the mean of g² over each weight's layer or net into the state, for `coefficients`."""
        params = [(group["scope"], p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        sums = torch.stack([p.grad.double().square().sum().cpu() for _, p in params]).tolist()
        whole = sum(sums) / max(1, sum(p.numel() for _, p in params))
        for (scope, p), total in zip(params, sums, strict=True):
            self.state[p]["mean_square"] = whole if scope == "net" else total / max(1, p.numel())

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
        gamma, sigma = float(group["gamma"]), float(group["sigma"])
        for name, rate in (("m_weight", gamma), ("v_weight", sigma)):
            weight = state.get(name, 0.0)
            state[name] = weight + rate * (1 - weight)
        a, b = self.divisors(group, state)
        # w·(m/a) > τ (√(v/b) + ε)  ⇔  w·m > τ a/√b (√v + ε √b): one rule for all corrections, and no division
        threshold, eps = float(group["threshold"]) * a / math.sqrt(b), float(group["eps"]) * math.sqrt(b)
        own = group["scope"] == "weight"
        return gamma, sigma, threshold, eps, own, 0.0 if own else state["mean_square"]

    @staticmethod
    def divisors(group: dict[str, Any], state: dict[str, Any]) -> tuple[float, float]:
        """(a, b) of `m/a` and `v/b`, the corrected moments, as of the last step."""
        own = float(group["gamma"]), float(group["sigma"])
        found = {"biased": (1.0, 1.0), "unbiased": own, "adam": (state["m_weight"], state["v_weight"])}
        return found[group["correction"]]

    @staticmethod
    def rule(
        w: Tensor,
        g: Tensor,
        m: Tensor,
        v: Tensor,
        gamma: float,
        sigma: float,
        threshold: float,
        eps: float,
        own: bool,
        mean_square: float,
    ) -> None:
        m.add_((g - m).mul_(gamma))
        v.add_(((g * g).sub_(v) if own else mean_square - v).mul_(sigma))
        flip = (w * m).gt_(v.sqrt().add_(eps).mul_(threshold))  # 1.0 or 0.0: see Bop
        w.addcmul_(w, flip, value=-2)
