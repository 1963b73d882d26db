"""What the optimizers here share: a step that checks first, then applies one rule to every parameter."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from types import FunctionType
from typing import Any, ClassVar

import torch
from torch import Tensor

Coefficient = float | bool
Rule = Callable[..., None]

# Elements that a thread updates before it moves on: few enough that they and a rule's intermediates stay in a 2 MiB L2.
_CHUNK_PER_CPU_THREAD = 2**16
_CHUNK_ON_ACCELERATOR = 2**22  # large enough that kernel launches do not dominate, small enough for the intermediates
_COMPILE_FROM = 2**14  # below this many elements, entering compiled code costs more than it saves


class MomentOptimizer(torch.optim.Optimizer):
    """Steps every parameter by a rule on moving averages of its gradient. A subclass states the rule.

    A subclass names its `moments`, tensors of zeros at the start, which live in `state[p]`: float32 for parameters in
    half precision, else of the parameter's dtype. It defines

    - `check_group(group)`: raises ValueError if a hyperparameter is out of range;
    - `check_parameter(p)`: None, or what is wrong with the values that `p` has before its first step;
    - `coefficients(group, state)`: the numbers that the rule needs in this step;
    - `rule(w, g, *moments, *coefficients)`: the rule, elementwise, which changes w and the moments in place and leaves
      g as it is. All its tensors are flat and of one dtype.

    The same lines of `rule` run in both modes. Eagerly they run on one chunk of a parameter after the other, so that
    intermediates are small, and the coefficients are Python numbers. Compiled they run on whole parameters, all that
    have the same coefficients in one call, and the coefficients are 0-dimensional tensors: a new value of a schedule
    then needs no new compilation. A bool stays a bool in both, so that a rule may branch on it.

    A step checks everything before it changes anything.
    """

    moments: ClassVar[tuple[str, ...]] = ()
    rule: Rule

    def __init__(self, params: Any, defaults: dict[str, Any], compiled: bool, check_finite: bool) -> None:
        self.compiled = compiled
        self.check_finite = check_finite
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def check_parameter(self, p: Tensor) -> str | None:
        raise NotImplementedError

    def coefficients(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[Coefficient, ...]:
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
        for group in self.param_groups:
            # what one compiled call can serve: one dtype, one device, the same coefficients for all
            together: dict[tuple[Any, ...], list[_Flat]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    flat, coefficients = self._flatten(p), self.coefficients(group, self.state[p])
                    if self.compiled and p.numel() >= _COMPILE_FROM:
                        together.setdefault((p.dtype, p.grad.dtype, p.device, coefficients), []).append(flat)
                    else:
                        self._step_by_chunks(flat, coefficients)
            for (*kind, coefficients), flats in together.items():
                self._step_compiled(flats, coefficients, tuple(kind))
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
        # A sum is finite only if all its terms are; finite terms may overflow, too, so each gradient is looked at then.
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

    def _step_by_chunks(self, flat: "_Flat", coefficients: tuple[Coefficient, ...]) -> None:
        size = _chunk_size(flat.w)
        for chunk in zip(*(x.split(size) for x in flat.tensors), strict=True):
            _apply(type(self).rule, [chunk], coefficients)
        flat.write_back()

    def _step_compiled(
        self, flats: list["_Flat"], coefficients: tuple[Coefficient, ...], kind: tuple[Any, ...]
    ) -> None:
        dtype = flats[0].moments[0].dtype
        apply = _compiled(type(self).rule, kind, tuple(flat.w.numel() for flat in flats))
        arguments = [_argument(c, dtype, position) for position, c in enumerate(coefficients)]
        apply(type(self).rule, [flat.tensors for flat in flats], arguments)
        for flat in flats:
            flat.write_back()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores a `state_dict` exactly: the base class by itself would round the moments to the weights' dtype."""
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
        self.tensors = tuple(x.reshape(-1) for x in laid_out)
        self.w, _, *self.moments = self.tensors
        w_whole, _, *moments_whole = laid_out  # the gradient is only read
        self._copies = [
            (whole, flat)
            for whole, flat in zip((w_whole, *moments_whole), (self.w, *self.moments), strict=True)
            if flat.data_ptr() != whole.data_ptr()
        ]

    def write_back(self) -> None:
        for whole, flat in self._copies:
            whole.copy_(flat.view_as(whole))


def _apply(rule: Rule, parameters: Sequence[tuple[Tensor, ...]], coefficients: Sequence[Any]) -> None:
    """The rule on (w, g, *moments) of every parameter, in the dtype of the moments whatever the dtype of w and g."""
    for w, g, *moments in parameters:
        wide = w.to(moments[0].dtype)
        rule(wide, g.to(wide.dtype), *moments, *coefficients)
        if wide is not w:
            w.copy_(wide)


@cache
def _compiled(rule: Rule, kind: tuple[Any, ...], sizes: tuple[int, ...]) -> Callable[..., None]:
    """`_apply` compiled for parameters of these sizes: one call for all of them, since entering compiled code costs as
    much as a layer.

    torch compiles one code object a few times only, and then raises an error. So each list has a copy of its own."""
    own = FunctionType(_apply.__code__.replace(), globals())
    return torch.compile(own, dynamic=False, fullgraph=True)


@lru_cache(maxsize=64, typed=True)
def _argument(coefficient: Coefficient, dtype: torch.dtype, position: int) -> Tensor | bool:
    """An argument for compiled code: a float would be part of it, and each new value of a schedule a recompilation.

    With `position` in the cache's key, equal values are tensors of their own: compiled code also depends on which of
    its arguments are one object."""
    return coefficient if isinstance(coefficient, bool) else torch.tensor(coefficient, dtype=dtype, device="cpu")


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
