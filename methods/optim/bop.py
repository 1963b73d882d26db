"""Bop, the binary optimizer: flips weights directly, without latent weights (Helwegen et al. 2019)."""

from typing import Any

from torch import Tensor

from .base import Coefficient, MomentOptimizer, not_binary, require


class Bop(MomentOptimizer):
    """Flips a binary weight when the moving average of its gradient is consistently against it.

    For a weight w ∈ {−1, +1} with gradient g::

        m ← (1 − γ) m + γ g,   m₀ = 0
        w ← −w   if w·m > τ,   else w

    A gradient points uphill, so a weight of the same sign as its average gradient is one that should flip. There is no
    learning rate, no clipping, and no reset of m after a flip. The rule is not invariant to the scale of the loss: τ is
    compared with the gradient itself, so gradients must arrive unscaled (loss reduction and AMP scaling matter).

    Args:
        params: parameters that hold exactly ±1, of any shape and of any real floating dtype, or groups of them. Checked
            before the first step of each. Everything else in a net needs another optimizer, such as Adam.
        gamma: adaptivity rate γ in [0, 1].
        threshold: τ ≥ 0.
        compiled: update by code from `torch.compile`, in one pass over memory: two to three times as fast, after
            some seconds of compilation. Flips the same weights as without on a CPU; elsewhere the compiler may round
            differently.
        check_finite: look for NaN and infinity in all gradients before the step, for one more pass over them (and one
            synchronization a step on a GPU). Turn it off only where something else looks.

    `gamma` and `threshold` are read from the parameter group in every step, so a schedule may change them between
    steps. `state[p]["m"]` is m, of `p`'s shape, in float32 even for bfloat16 weights (float64 for float64): 4 bytes of
    state a weight. In float32, m stands still once γ·|g − m| is below 6e-8·|m|.

    Raises:
        ValueError: a hyperparameter out of range (here or in a later step), or weights that are not ±1 (first step).
        FloatingPointError: a NaN or infinite gradient. As for the other errors, the step then changed nothing.
        RuntimeError: a sparse gradient.

    Differs from the paper's TensorFlow code: at a tie, w·m = τ, the weight is kept (that code sets it to +1, which at
    τ = 0 flips a −1 whose gradient is zero); and weights are ±1 from the start, where that code keeps the initial real
    draws until the first update.

    Source: Helwegen et al., "Latent Weights Do Not Exist", 2019, arXiv 1906.02107.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = Bop([w], gamma=0.5, threshold=0.1)
        >>> (w * torch.tensor([2.0, 0.2, -2.0])).sum().backward()
        >>> optimizer.step()  # m = 1, 0.1, -1: the first exceeds τ, the second ties, the third agrees with its weight
        >>> w.tolist()
        [-1.0, 1.0, 1.0]

    In one's own training loop, beside Adam for everything that is not a binary weight::

        binary = [layer.weight for layer in net.modules() if isinstance(layer, torch.nn.Linear)]
        rest = [p for p in net.parameters() if all(p is not w for w in binary)]
        with torch.no_grad():
            for w in binary:
                w.copy_(torch.where(w < 0, -1.0, 1.0))
        optimizers = [Bop(binary, gamma=1e-3, threshold=1e-7), torch.optim.Adam(rest)]
        for x, y in loader:
            net.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    """

    moments = ("m",)

    def __init__(
        self,
        params: Any,
        gamma: float = 1e-4,
        threshold: float = 1e-8,
        *,
        compiled: bool = False,
        check_finite: bool = True,
    ) -> None:
        super().__init__(params, {"gamma": gamma, "threshold": threshold}, compiled, check_finite)

    def check_group(self, group: dict[str, Any]) -> None:
        require(self, group, "gamma", 0, 1)
        require(self, group, "threshold", 0)

    def check_parameter(self, p: Tensor) -> str | None:
        return not_binary(p)

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
        return float(group["gamma"]), float(group["threshold"])

    @staticmethod
    def rule(w: Tensor, g: Tensor, m: Tensor, gamma: float, threshold: float) -> None:
        m.add_((g - m).mul_(gamma))
        flip = (w * m).gt_(threshold)  # 1.0 or 0.0, as eager arithmetic is far faster than masks
        w.addcmul_(w, flip, value=-2)
