"""What the bit-flip optimizers share: moving averages of the gradient, and one careful pass over memory per step."""

import math
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

# Elements a thread updates before it moves on: few enough that weights, moments and scratch stay in a 2 MiB L2 cache.
_CHUNK_PER_CPU_THREAD = 2**16
_CHUNK_ON_ACCELERATOR = 2**22  # large enough that kernel launches do not dominate, small enough for the scratch
_COMPILE_FROM = 2**14  # below this many elements, entering compiled code costs more than it saves


class MomentOptimizer(torch.optim.Optimizer):
    """Steps every parameter by a rule on moving averages of its gradient; a subclass states the rule.

    A subclass names its `moments` (zero at the start, float32 for half-precision parameters and else of the parameter's
    dtype, kept in `state[p]`) and defines

    - `check_group(group)`: raise ValueError if a hyperparameter is out of range;
    - `check_parameter(p)`: None, or what is wrong with the values that `p` has before its first step;
    - `coefficients(group, state)`: the numbers that the rule needs in this step;
    - `update(w, g, *moments, *coefficients, t, u)`: the rule on one flat chunk in place, t and u being scratch tensors,
      all of one dtype;
    - `fused(w, g, *moments, *coefficients)`: the same arithmetic as one expression, for `torch.compile`; w and g may
      have another dtype than the rest.

    A step checks everything before it changes anything.
    """

    moments: ClassVar[tuple[str, ...]] = ()
    update: Callable[..., None]
    fused: Callable[..., None]

    def __init__(self, params: Any, defaults: dict[str, Any], compiled: bool, check_finite: bool) -> None:
        self.compiled = compiled
        self.check_finite = check_finite
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def check_parameter(self, p: Tensor) -> str | None:
        raise NotImplementedError

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Updates every parameter that has a gradient; returns what `closure` returned.

        Raises, with no parameter and no state changed: FloatingPointError for a NaN or infinite gradient, ValueError
        for a hyperparameter out of range or unfit initial weights, RuntimeError for a sparse gradient.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        self._check_step()
        scratch = _Scratch()
        for group in self.param_groups:
            # what one compiled call can serve: one dtype, one device, the same numbers for all
            together: dict[tuple[Any, ...], list[_Flat]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    flat, coefficients = self._flatten(p), self.coefficients(group, self.state[p])
                    if self.compiled and p.numel() >= _COMPILE_FROM:
                        together.setdefault((p.dtype, p.grad.dtype, p.device, coefficients), []).append(flat)
                    else:
                        self._update_by_chunks(flat, coefficients, scratch)
                        flat.write_back()
            for (*_, coefficients), tensors in together.items():
                numbers = _as_tensors(coefficients, tensors[0].moments[0].dtype)
                _compile(type(self).fused)([(flat.w, flat.g, *flat.moments) for flat in tensors], numbers)
                for flat in tensors:
                    flat.write_back()
        return loss

    def _check_step(self) -> None:
        for group in self.param_groups:
            self.check_group(group)
        sums: dict[torch.device, list[Tensor]] = {}
        for name, p in self._named_parameters_with_gradient():
            if p.grad.is_sparse:
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients: {name}")
            if self.moments[0] not in self.state.get(p, {}) and (fault := self.check_parameter(p)):
                raise ValueError(f"{type(self).__name__}: {name} {fault}")
            if self.check_finite:
                sums.setdefault(p.device, []).append(p.grad.sum().float())
        # A sum is finite only if all its terms are; as finite terms may overflow, a sum alone convicts nobody.
        if all(torch.stack(s).isfinite().all().item() for s in sums.values()):
            return
        for name, p in self._named_parameters_with_gradient():
            if not p.grad.isfinite().all():
                raise FloatingPointError(
                    f"{type(self).__name__}: NaN or infinite gradient in {name}; no weight changed"
                )

    def _named_parameters_with_gradient(self) -> Iterator[tuple[str, Any]]:
        for i, group in enumerate(self.param_groups):
            names = group.get("param_names")
            for j, p in enumerate(group["params"]):
                if p.grad is not None:
                    label = f"parameter {names[j]!r}" if names else f"parameter {j}"
                    yield f"{label} of group {i} (shape {tuple(p.shape)})", p

    def _flatten(self, p: Tensor) -> "_Flat":
        assert p.grad is not None
        state = self.state[p]
        for name in self.moments:
            if name not in state:
                state[name] = torch.zeros_like(p, dtype=_moment_dtype(p))
        return _Flat(p, p.grad, [state[name] for name in self.moments])

    def _update_by_chunks(self, flat: "_Flat", coefficients: tuple[float, ...], scratch: "_Scratch") -> None:
        w, g, moments = flat.w, flat.g, flat.moments
        size = _chunk_size(w)
        t, u, w_wide, g_wide = scratch(min(size, w.numel()), moments[0])
        for w_part, g_part, *m_part in zip(*(x.split(size) for x in (w, g, *moments)), strict=True):
            n = w_part.numel()
            if w_part.dtype == t.dtype:
                type(self).update(w_part, g_part, *m_part, *coefficients, t[:n], u[:n])
            else:
                wide = w_wide[:n].copy_(w_part)
                type(self).update(wide, g_wide[:n].copy_(g_part), *m_part, *coefficients, t[:n], u[:n])
                w_part.copy_(wide)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores a `state_dict` exactly: the base class alone would round the moments to the weights' dtype."""
        super().load_state_dict(state_dict)
        keys = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, p in zip(keys, params, strict=True):
            for name in self.moments:
                if name in (saved := state_dict["state"].get(key, {})):
                    self.state[p][name] = saved[name].to(device=p.device, dtype=_moment_dtype(p), copy=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "compiled": self.compiled, "check_finite": self.check_finite}


class _Flat:
    """A parameter, its gradient and its moments as vectors, in the order in which the parameter lies in memory: the
    rules are elementwise. What is not dense in memory is a copy, which `write_back` returns."""

    def __init__(self, p: Tensor, grad: Tensor, moments: list[Tensor]) -> None:
        laid_out = [p, grad, *moments]
        if not all(x.is_contiguous() for x in laid_out):
            order = sorted(range(p.dim()), key=p.stride, reverse=True)
            laid_out = [x.permute(order) for x in laid_out]
        self.w, self.g, *self.moments = (x.reshape(-1) for x in laid_out)
        w_whole, _, *moments_whole = laid_out  # the gradient is only read
        self._copies = [
            (whole, flat)
            for whole, flat in zip((w_whole, *moments_whole), (self.w, *self.moments), strict=True)
            if flat.data_ptr() != whole.data_ptr()
        ]

    def write_back(self) -> None:
        for whole, flat in self._copies:
            whole.copy_(flat.view_as(whole))


class _Scratch:
    """Scratch tensors that live for one step and are shared by all its parameters."""

    def __init__(self) -> None:
        self._held: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(self, size: int, like: Tensor) -> Tensor:
        key = like.dtype, like.device
        if key not in self._held or self._held[key].shape[1] < size:
            self._held[key] = like.new_empty(4, size)
        return self._held[key]


def require(owner: object, group: dict[str, Any], name: str, low: float, high: float = math.inf) -> float:
    """The value of a group's hyperparameter; ValueError unless it is finite and in [low, high]."""
    value = float(group[name])
    if not (math.isfinite(value) and low <= value <= high):
        span = f"in [{low:g}, {high:g}]" if high < math.inf else f"finite and at least {low:g}"
        raise ValueError(f"{type(owner).__name__}: {name} must be {span}, got {value}")
    return value


def not_binary(p: Tensor) -> str | None:
    """What is wrong with weights that are not all exactly −1 or +1, else None."""
    if p.is_floating_point() and p.abs().eq(1).all():
        return None
    return "must hold exactly -1 and +1 before the first step; start it from the sign of a random draw"


def _moment_dtype(p: Tensor) -> torch.dtype:
    return torch.promote_types(p.dtype, torch.float32)


def _chunk_size(like: Tensor) -> int:
    return _CHUNK_PER_CPU_THREAD * torch.get_num_threads() if like.device.type == "cpu" else _CHUNK_ON_ACCELERATOR


@lru_cache(maxsize=16)
def _as_tensors(coefficients: tuple[float, ...], dtype: torch.dtype) -> list[Tensor]:
    """Arguments for compiled code: a float would be part of it, and each new value of a schedule a recompilation."""
    return [torch.tensor(c, dtype=dtype, device="cpu") for c in coefficients]


@cache
def _compile(fused: Callable[..., Any]) -> Callable[..., Any]:
    """`fused` over a list of parameters as one compiled call: entering compiled code costs as much as a layer.

    One compilation serves every list of that length and every value of the hyperparameters."""

    def over_list(parameters: list[tuple[Tensor, ...]], coefficients: list[Tensor]) -> None:
        for tensors in parameters:
            fused(*tensors, *coefficients)

    return torch.compile(over_list, dynamic=False, fullgraph=True)
