"""One optimizer to Lightning, several underneath: the binary group by its rule, the rest by an ordinary optimizer."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Composite(Optimizer):
    """Steps `optimizers` in turn. Then, in every group that has `center`, the mean over dimension 1 (input channels) is
    subtracted from the weights, and in every group that has `clip`: `W ← clip(W, −c, c)`.

    `param_groups` are the inner optimizers' own, so schedules drive them; `state_dict` keeps every inner state. A
    parameter belongs to exactly one of them: ValueError where two share one."""

    def __init__(self, optimizers: Iterable[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        parameters = [p for o in self.optimizers for group in o.param_groups for p in group["params"]]
        if len({id(p) for p in parameters}) != len(parameters):
            raise ValueError("a parameter belongs to more than one of the optimizers")
        super().__init__(parameters, {})
        self._share()

    def _share(self) -> None:
        # an inner load_state_dict makes new group dicts; state stays with the inner optimizers, who place it
        self.param_groups = [group for o in self.optimizers for group in o.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        self._limit()
        return loss

    @torch.no_grad()
    def _limit(self) -> None:
        for group in self.param_groups:
            if "center" in group:
                for p in group["params"]:
                    p.sub_(p.mean(1, keepdim=True))
            if "clip" in group:
                for p in group["params"]:
                    p.clamp_(-group["clip"], group["clip"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [o.state_dict() for o in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
            _align(optimizer)
        self._share()


def _align(optimizer: Optimizer) -> None:
    """Lays every moment out in memory as its parameter is: torch's fused Adam reads both in the order of memory, and a
    checkpoint may come from a run with another memory format."""
    for p, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == p.shape and value.stride() != p.stride():
                state[name] = torch.empty_like(p, dtype=value.dtype).copy_(value)


def parts_without_decay(group: dict[str, Any]) -> list[dict[str, Any]]:
    """The group in two: matrices and kernels, and without weight decay the vectors (biases, batch norm)."""
    parts = [[p for p in group["params"] if p.dim() > 1], [p for p in group["params"] if p.dim() < 2]]
    settings: list[dict[str, float]] = [{}, {"weight_decay": 0.0}]
    return [group | {"params": params} | own for params, own in zip(parts, settings, strict=True) if params]


def state_bytes_of(optimizer: Optimizer) -> dict[Tensor, int]:
    """Parameter → bytes of the tensors that its optimizer keeps for it between steps (its moments)."""
    optimizers = optimizer.optimizers if isinstance(optimizer, Composite) else [optimizer]
    return {
        p: sum(v.numel() * v.element_size() for v in state.values() if isinstance(v, Tensor))
        for o in optimizers
        for p, state in o.state.items()
    }


def is_finite(optimizer: Optimizer) -> bool:
    """Whether no parameter and no moment of the optimizer is NaN or infinite: one gradient that was stays in its moving
    average, or without one in the parameter."""
    optimizers = optimizer.optimizers if isinstance(optimizer, Composite) else [optimizer]
    moments = (v for o in optimizers for state in o.state.values() for v in state.values() if isinstance(v, Tensor))
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return all(bool(v.isfinite().all()) for v in chain(parameters, moments))
