"""What the shift-based method multiplies by and divides by: powers of two and zero, wherever its sources shift."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from methods.binary.shift import ShiftBatchNorm1d, ShiftBatchNorm2d
from methods.optim import ShiftAdaMax

# operations besides mul, div and addcdiv that take products, quotients or roots
OTHERS = {
    "addcmul", "addmm", "bmm", "dot", "exp", "exp2", "ldexp", "lerp", "log2", "matmul", "mean", "mm", "norm", "pow",
    "prod", "reciprocal", "rsqrt", "softmax", "sqrt", "square", "std", "true_divide", "var", "var_mean",
}  # fmt: skip


def is_power_or_zero(x) -> bool:
    mantissas = torch.as_tensor(x).double().abs().frexp().mantissa
    return bool(((mantissas == 0.5) | (mantissas == 0)).all())


class Products(TorchDispatchMode):
    """Factors and divisors that are not powers of two or zero, as they are when they are used, and OTHERS in use."""

    def __init__(self) -> None:
        super().__init__()
        self.exact = 0
        self.inexact: list[float] = []  # NaN for a tensor
        self.others: set[str] = set()

    def _note(self, exact: bool, factor) -> None:
        self.exact += exact
        if not exact:
            self.inexact.append(factor if isinstance(factor, int | float) else float("nan"))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        if name == "mul":
            exact = is_power_or_zero(args[1]) or (isinstance(args[1], torch.Tensor) and is_power_or_zero(args[0]))
            self._note(exact, args[1])
        elif name == "div":
            self._note(is_power_or_zero(args[1]), args[1])
        elif name == "addcdiv":
            for factor in (args[2], (kwargs or {}).get("value", 1)):
                self._note(is_power_or_zero(factor), factor)
        elif "batch_norm" in name or name in OTHERS:
            self.others.add(name)
        return func(*args, **kwargs or {})


def layer(shape, **options):
    norm = (ShiftBatchNorm2d if len(shape) == 4 else ShiftBatchNorm1d)(5, **options)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -0.3, 3.0, 0.0, 1.4]))
        norm.bias.copy_(torch.tensor([0.0, 0.7, -2.0, 0.25, 0.1]))
    return norm


def batch(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 3, 3)])
def test_training_pass_of_batch_norm(shape):
    norm, x = layer(shape), batch(shape).requires_grad_()
    with Products() as forward:
        y = norm(x)
    assert forward.inexact == []
    assert forward.others == {"mean", "rsqrt", "lerp"}  # 1/M, the root per feature, and the running statistics
    with Products() as backward:
        y.backward(batch(shape, 1))
    assert backward.inexact == 2 * [x.numel() // 5]  # 1/M in two means
    assert backward.others == set()
    assert min(forward.exact, backward.exact) >= 4


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 3, 3)])
@pytest.mark.parametrize("statistic", ["inverse_std", "variance"])
def test_evaluation_of_batch_norm(shape, statistic):
    norm = layer(shape, statistic=statistic)
    for seed in range(3):
        norm(batch(shape, seed))
    norm.eval()
    x = batch(shape, 9)
    with Products() as evaluation, torch.no_grad():
        norm(x)
    assert evaluation.inexact == []
    assert evaluation.exact >= 2
    assert evaluation.others == ({"rsqrt"} if statistic == "variance" else set())  # no product, but a root per feature


@pytest.mark.parametrize("write_back", [True, False])
@pytest.mark.parametrize("eps", [2**-27, 1e-8])
def test_step_of_adamax(write_back, eps):
    params = [nn.Parameter(batch((4, 5), seed)) for seed in range(3)]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, (0.3, 0.01, 0.0), strict=True)]
    optimizer = ShiftAdaMax(groups, eps=eps, write_back=write_back, check_finite=False)
    for seed in range(20):
        for i, p in enumerate(params):
            p.grad = batch((4, 5), 10 * seed + i) * 10.0 ** (3 - 6 * i)
            p.grad[0] = 0.0
        with Products() as step:
            optimizer.step()
        assert step.exact == 2 * 3  # the denominator and the step size of each parameter
        assert step.inexact == 3 * [
            1 - 0.9,
            0.999,
        ]  # the moving averages' constants, which the paper leaves as they are
        assert step.others == set()


def test_the_watch_sees_what_is_no_shift():
    x = batch((6, 5))
    with Products() as watch:
        nn.BatchNorm1d(5)(x)
        assert watch.others == {"native_batch_norm"}
        x * 3.0 / 5.0 * x
    assert watch.inexact[:2] == [3, 5]
    assert len(watch.inexact) == 3
    with Products() as step:
        p = nn.Parameter(torch.ones(3))
        p.grad = torch.ones(3)
        torch.optim.Adamax([p], lr=2**-6).step()
    assert step.inexact or step.others
