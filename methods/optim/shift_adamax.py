"""Shift-based AdaMax: every division and scaling of the step is by a power of two (Courbariaux & Hubara 2016)."""

from typing import Any

import torch
from torch import Tensor

from ..binary.shift import ap2_scalar, round_exponent_
from .base import Coefficient, MomentOptimizer, require


class ShiftAdaMax(MomentOptimizer):
    """AdaMax (Kingma & Ba 2015) with the denominator and the step size rounded to powers of two.

    For a weight θ with gradient g at step t, counted from 1, and AP2 of `binary.shift`::

        m ← β₁ m + (1 − β₁) g,    v ← max(β₂ v, |g|),    m₀ = v₀ = 0
        d = max(AP2(v), ε)                               v ← d  with write_back
        θ ← θ − AP2(lr / (1 − β₁ᵗ)) · m / d

    Step size and d are powers of two, d never 0, so that m is shifted and nothing of it rounded. What is left of true
    products are the averages' constants β₁, 1 − β₁ and β₂, as in the paper. With β₁ = 1 − 2⁻³ and β₂ = 1 − 2⁻¹⁰ these
    are shifts and additions as well.

    With `write_back` v never falls: AP2(0.999·2ᵏ) is 2ᵏ again, so d is the largest AP2(|g|) that the weight has seen.
    Without it, v decays as in AdaMax, by half in 693 steps.

    Args:
        params: parameters of any real floating dtype and any shape, or groups of them.
        lr: learning rate, at least 0; 2⁻⁶ on MNIST and CIFAR-10, 2⁻⁷ on SVHN in the Torch7 code.
        betas: (β₁, β₂), each in [0, 1).
        eps: ε > 0, the least denominator, itself rounded to a power of two.
        write_back: keep d as v (Torch7), or v as it is before AP2 (TensorFlow).
        compiled: update by code from `torch.compile`, in one pass over memory: about three times as fast, after some
            seconds of compilation. The same bits as without on a CPU; elsewhere the compiler may round differently.
        check_finite: look for NaN and infinity in all gradients before the step, for one more pass over them (and one
            synchronization a step on a GPU). Turn it off only where something else looks.

    All but the last two are read from the parameter group in every step, so a schedule may change them between steps.
    `state[p]` has "m" and "v", of `p`'s shape, in float32 even for bfloat16 weights (float64 for float64), and "step",
    which is t: 8 bytes of state a weight.

    Raises:
        ValueError: a hyperparameter out of range (here or in a later step), or parameters that are not real floating
            numbers (first step).
        FloatingPointError: a NaN or infinite gradient. As for the other errors, the step then changed nothing.
        RuntimeError: a sparse gradient.

    Differs from the sources: both add ε where we take the maximum. Torch7 has `v ← AP2(v) + ε` for the denominator. In
    float32 that absorbs ε from AP2(v) = 2⁻³ on, and is no power of two between 2⁻²⁶ and 2⁻⁴: there it is larger than
    ours by the factor 1 + ε/AP2(v). Only for weights whose gradients stay below 2⁻²⁵ is that more than 1.25; written
    back, ε adds up to 5ε then. The TensorFlow code has `v ← max(β₂ v + ε, |g|)` and divides by AP2(v). A scale of the
    learning rate (`lr_scale`) is rounded together with it here; Torch7 multiplies by the scale after AP2, which is the
    same where the scale is a power of two.

    Source: Courbariaux & Hubara 2016, arXiv 1602.02830, alg. 4; defaults and write-back from its Torch7 code.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(3))
        >>> optimizer = ShiftAdaMax([w], lr=0.125, betas=(0.5, 0.5))
        >>> w.grad = torch.tensor([1.0, -3.0, 0.0])
        >>> optimizer.step()  # m = ½g, AP2(3) = 4, step size 0.125/(1 − ½)
        >>> w.tolist()
        [-0.125, 0.09375, 0.0]
    """

    moments = ("m", "v")

    def __init__(
        self,
        params: Any,
        lr: float = 2**-6,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 2**-27,
        *,
        write_back: bool = True,
        compiled: bool = False,
        check_finite: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "write_back": write_back}
        super().__init__(params, defaults, compiled, check_finite)

    def check_group(self, group: dict[str, Any]) -> None:
        require(self, group, "lr", 0)
        if require(self, group, "eps", 0) < torch.finfo(torch.float32).tiny:
            raise ValueError(f"ShiftAdaMax: eps must be above 0, and no subnormal float32; got {group['eps']}")
        if not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"ShiftAdaMax: betas must be in [0, 1), got {group['betas']}")

    def check_parameter(self, p: Tensor) -> str | None:
        return None if p.is_floating_point() else f"must be real floating numbers, not {p.dtype}"

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
        state["step"] = state.get("step", 0) + 1
        beta1, beta2 = group["betas"]
        step_size = ap2_scalar(group["lr"] / (1 - beta1 ** state["step"]))
        return 1 - beta1, beta2, step_size, ap2_scalar(group["eps"]), bool(group["write_back"])

    @staticmethod
    def rule(
        w: Tensor,
        g: Tensor,
        m: Tensor,
        v: Tensor,
        rate: float,
        decay: float,
        step_size: float,
        eps: float,
        write_back: bool,
    ) -> None:
        m.add_((g - m).mul_(rate))
        v.mul_(decay).clamp_min_(g.abs())
        d = round_exponent_(v if write_back else v.clone()).clamp_min_(eps)
        w.sub_((m * step_size).div_(d))
