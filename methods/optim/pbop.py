"""Probabilistic Bop: every weight a loaded coin, whose probability Bop's normalized moment moves (a reconstruction)."""

from typing import Any

import torch
from torch import Tensor

from .base import Coefficient, MomentOptimizer, require


class PBop(MomentOptimizer):
    """Moves the probability p = P(w = +1) of each weight against the normalized moving average of its gradient.

    The layer draws w = ±1 from p, once a step and weight, and ∂L/∂w at the drawn weights arrives as p's gradient g::

        m ← (1 − γ) m + γ g,    v ← (1 − σ) v + σ g²,    m₀ = v₀ = 0
        p ← clip(p − scaler · m / (√v + ε), p_min, 1 − p_min)

    This is a reconstruction. Only the abstract of the thesis is public: the weights are loaded coins, the concept works
    short of the state of the art, and the effect of the *scaler* needs "a deep exploration". The normalized moment is
    that of `Bop2ndOrder`; the additive update, the clip and p_min are our reading. It is not ProbBop (He 2025), which
    flips a Bop candidate only with a probability.

    Args:
        params: parameters that hold the probabilities, in [0, 1], of any shape, float32 or float64 (in half precision
            p_min and small moves would be lost), or groups of them. Checked before the first step of each.
        gamma: rate γ of the first moment, in [0, 1].
        sigma: rate σ of the second moment, in [0, 1].
        scaler: size of the move, at least 0: at |m| = √v, p moves by `scaler` in one step.
        p_min: in [0, 0.5]; how close to certain a weight may become. The distance to certainty is also the share of
            draws against a saturated weight, so it is noise that stays in training.
        eps: ε > 0.
        compiled: update by code from `torch.compile`, in one pass over memory: two to three times as fast, after
            some seconds of compilation. m and v are the same as without on a CPU; √v may differ in its last bit,
            elsewhere any rounding.
        check_finite: look for NaN and infinity in all gradients before the step, for one more pass over them (and one
            synchronization a step on a GPU). Turn it off only where something else looks.

    All but the last two are read from the parameter group in every step, so a schedule may change them between steps.
    `state[p]` has "m" and "v", of `p`'s shape and dtype: 8 bytes of state a weight.

    Raises:
        ValueError: a hyperparameter out of range (here or in a later step), or parameters that are no probabilities or
            are in half precision (first step).
        FloatingPointError: a NaN or infinite gradient. As for the other errors, the step then changed nothing.
        RuntimeError: a sparse gradient.

    Source: Suárez-Ramírez, master's thesis, 2020 (abstract only).

    Example:
        >>> p = torch.nn.Parameter(torch.full((3,), 0.5))
        >>> optimizer = PBop([p], gamma=1.0, sigma=1.0, scaler=0.125)
        >>> p.grad = torch.tensor([0.3, -0.3, 0.0])  # ∂L/∂w at the weights that the layer drew
        >>> optimizer.step()
        >>> p.tolist()
        [0.375, 0.625, 0.5]

    In one's own training loop, for a weight matrix whose probabilities are p::

        drawn = (torch.where(torch.rand_like(p) < p, 1.0, -1.0)).requires_grad_()
        loss_of(x @ drawn.T, y).backward()
        p.grad = drawn.grad
        optimizer.step()

    `Coin` of `binary.random_weights` does this as the quantizer of a layer.
    """

    moments = ("m", "v")

    def __init__(
        self,
        params: Any,
        gamma: float,
        sigma: float,
        scaler: float,
        p_min: float = 1e-3,
        *,
        eps: float = 1e-10,
        compiled: bool = False,
        check_finite: bool = True,
    ) -> None:
        defaults = {"gamma": gamma, "sigma": sigma, "scaler": scaler, "p_min": p_min, "eps": eps}
        super().__init__(params, defaults, compiled, check_finite)

    def check_group(self, group: dict[str, Any]) -> None:
        require(self, group, "gamma", 0, 1)
        require(self, group, "sigma", 0, 1)
        require(self, group, "scaler", 0)
        require(self, group, "p_min", 0, 0.5)
        if require(self, group, "eps", 0) == 0:
            raise ValueError("PBop: eps must be above 0")

    def check_parameter(self, p: Tensor) -> str | None:
        if p.dtype not in (torch.float32, torch.float64):
            return f"must be float32 or float64, not {p.dtype}"
        return None if ((p >= 0) & (p <= 1)).all() else "must hold probabilities, in [0, 1], before the first step"

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
        gamma, sigma, scaler, p_min, eps = (float(group[k]) for k in ("gamma", "sigma", "scaler", "p_min", "eps"))
        return gamma, sigma, scaler, eps, p_min, 1 - p_min

    @staticmethod
    def rule(
        p: Tensor,
        g: Tensor,
        m: Tensor,
        v: Tensor,
        gamma: float,
        sigma: float,
        scaler: float,
        eps: float,
        low: float,
        high: float,
    ) -> None:
        m.add_((g - m).mul_(gamma))
        v.add_((g * g).sub_(v).mul_(sigma))
        p.sub_((m / v.sqrt().add_(eps)).mul_(scaler)).clamp_(low, high)
