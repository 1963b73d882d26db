"""The Bayesian learning rule for ±1 weights: natural-gradient descent on natural parameters (Meng 2020)."""

from typing import Any

from torch import Tensor

from .base import Coefficient, MomentOptimizer, require


class BayesBiNN(MomentOptimizer):
    """Moves the natural parameter λ of each weight's Bernoulli posterior, `E[w] = tanh λ`.

    The layer draws a relaxed weight w from λ and passes `s ⊙ ∂L/∂w` on, the natural gradient of the mean loss, which
    arrives as λ's gradient g::

        ĝ ← N g,   m ← β m + (1 − β)(ĝ + ρ (λ − λ₀)),   m₀ = 0
        λ ← λ − α m / (1 − βᵗ)

    Args:
        params: parameters that hold λ, of any shape and of real floating dtype (float64 resolves 1 − tanh² λ up to
            |λ| = 18, float32 to 8), or groups of them.
        alpha: learning rate α ≥ 0.
        momentum: β in [0, 1).
        examples: N, the number of training examples that the loss is a mean over.
        prior_weight: ρ ≥ 0, the weight of the Kullback-Leibler divergence from the prior; 1 is Bayes' rule.
        prior: λ₀, natural parameter of the prior; 0 is the fair coin.
        compiled: update by code from `torch.compile`, in one pass over memory: about three times as fast, after some
            seconds of compilation. The same bits as without on a CPU; elsewhere the compiler may round differently.
        check_finite: look for NaN and infinity in all gradients before the step, for one more pass over them (and one
            synchronization a step on a GPU). Turn it off only where something else looks.

    All but the last two are read from the parameter group in every step, so a schedule may change them between steps.
    `state[p]` has "m", of `p`'s shape, in float32 even for bfloat16 parameters (float64 for float64), and the float
    "m_weight", the sum of the weights with which gradients have entered m: 4 bytes of state a weight. The sum is 1 − βᵗ
    for constant β, and takes its place in the rule where a schedule changes β.

    Where |λ| is so large that s is the same for all weights, this is a moving average of the gradient of which the
    weight is the negative sign: `Bop` with τ = 0 and γ = α (with β = 0 and ρ = 1).

    Raises:
        ValueError: a hyperparameter out of range (here or in a later step), or λ that is not finite (first step).
        FloatingPointError: a NaN or infinite gradient. As for the other errors, the step then changed nothing.
        RuntimeError: a sparse gradient.

    Source: Meng, Bachmann & Khan 2020, "Training Binary Neural Networks using the Bayesian Learning Rule",
    arXiv 2002.10778, eq. 10–12.

    Example:
        >>> natural = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        >>> optimizer = BayesBiNN([natural], alpha=0.5, momentum=0.0, examples=1)
        >>> natural.grad = torch.tensor([2.0, 0.0])
        >>> optimizer.step()  # λ − ½ (g + λ)
        >>> natural.tolist()
        [-0.5, -0.5]

    In one's own training loop, with layers whose quantizer draws the relaxed weights and passes `s ⊙ ∂L/∂w` on::

        layer = BinaryLinear(784, 10, ConcreteSign(1e-10, 1e-10))  # binary.layers, binary.random_weights
        optimizer = BayesBiNN([layer.weight], alpha=1e-3, momentum=0.9, examples=len(loader.dataset))
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x), y).backward()  # a mean over the batch
            optimizer.step()
    """

    moments = ("m",)

    def __init__(
        self,
        params: Any,
        alpha: float,
        momentum: float,
        examples: float,
        prior_weight: float = 1.0,
        prior: float = 0.0,
        *,
        compiled: bool = False,
        check_finite: bool = True,
    ) -> None:
        defaults = {
            "alpha": alpha,
            "momentum": momentum,
            "examples": examples,
            "prior_weight": prior_weight,
            "prior": prior,
        }
        super().__init__(params, defaults, compiled, check_finite)

    def check_group(self, group: dict[str, Any]) -> None:
        require(self, group, "alpha", 0)
        if require(self, group, "momentum", 0, 1) == 1:
            raise ValueError("BayesBiNN: momentum must be below 1")
        require(self, group, "examples", 0)
        require(self, group, "prior_weight", 0)
        require(self, group, "prior", -float("inf"))

    def check_parameter(self, p: Tensor) -> str | None:
        return None if p.isfinite().all() else "must hold finite natural parameters before the first step"

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
        rate = 1 - float(group["momentum"])
        weight = state.get("m_weight", 0.0)
        state["m_weight"] = weight + rate * (1 - weight)
        step = float(group["alpha"]) / state["m_weight"]
        return rate, float(group["examples"]), float(group["prior_weight"]), float(group["prior"]), step

    @staticmethod
    def rule(
        natural: Tensor,
        g: Tensor,
        m: Tensor,
        rate: float,
        examples: float,
        prior_weight: float,
        prior: float,
        step: float,
    ) -> None:
        target = (natural - prior).mul_(prior_weight).add_(g * examples)
        m.add_(target.sub_(m).mul_(rate))
        natural.sub_(m * step)
