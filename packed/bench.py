"""A packed net side by side with its float32 twin, in torch and in ONNX Runtime, on one thread."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from . import reference
from .engines import engine
from .net import INPUT, PackedNet
from .operations import (
    BYTES,
    Activation,
    Add,
    Average,
    Conv,
    Dense,
    Flatten,
    Norm,
    Operation,
    PackError,
    Pad,
    Pool,
    Prelu,
    Threshold,
)
from .values import Values

FUNCTIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "hardtanh": nn.Hardtanh}


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of a call, and how many times as long as the packed net's, round by round."""

    name: str
    milliseconds: float
    ratio: float


class Sign(nn.Module):
    """Of what is never 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sign(x)


class SignOfReal(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, 1.0, -1.0)


class Total(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


class Graph(nn.Module):
    """Modules that take the results that a packed net's operations take."""

    def __init__(self, net: PackedNet, modules: list[nn.Module]) -> None:
        super().__init__()
        self.net, self.steps = net, nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net.evaluate(x, list(self.steps))


def torch_twin(net: PackedNet) -> nn.Module:
    """The same net of ordinary float32 layers: ±1 weights as floats, a batch norm and a sign for each threshold. Its
    inputs are those of training, x = (2u − 255)/255 for pixels."""
    units = {INPUT: 255 if net.input.kind == BYTES else 1}
    modules: list[list[nn.Module]] = []
    for index, ((operation, before, _), taken) in enumerate(zip(net.steps(), net.graph, strict=True)):
        unit = units[taken[0]]
        modules.append(_twin(operation, before, unit))
        units[index] = 1 if isinstance(operation, Threshold | Norm) else unit
    if net.is_chain:
        return nn.Sequential(*(module for step in modules for module in step)).eval()
    return Graph(net, [step[0] if len(step) == 1 else nn.Sequential(*step) for step in modules]).eval()


@torch.no_grad()
def _twin(operation: Operation, before: Values, unit: int) -> list[nn.Module]:
    match operation:
        case Dense():
            linear = nn.Linear(operation.inputs, len(operation.weight), bias=False)
            linear.weight.copy_(torch.from_numpy(operation.signs()))
            return [linear]
        case Conv(inputs, padding, stride):
            outputs, rows, columns = operation.weight.shape[:3]
            conv = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, bias=False)
            conv.weight.copy_(torch.from_numpy(operation.signs().transpose(0, 3, 1, 2).copy()))
            return [conv]
        case Pool(size, _, padding):
            return [nn.MaxPool2d(size, operation.step, padding)]
        case Average(rows, columns):
            return [nn.AvgPool2d((rows, columns), ceil_mode=True)]
        case Pad(channels, more, top, bottom, left, right):
            return [nn.ZeroPad3d((left, right, top, bottom, channels, more))]
        case Prelu(slope):
            prelu = nn.PReLU(len(slope))
            prelu.weight.copy_(torch.from_numpy(slope))
            return [prelu]
        case Add():
            return [Total()]
        case Flatten():
            return [nn.Flatten()]
        case Activation("sign"):
            return [SignOfReal()]
        case Activation(function):
            return [FUNCTIONS[function]()]
        case Threshold():
            mean = (operation.threshold - 0.5) / unit
            return [_norm(before, mean, np.where(operation.inversions(), -1, 1), 0 * mean), Sign()]
        case Norm(center, scale, shift):
            return [_norm(before, center / unit, scale * unit, shift)]


def _norm(before: Values, mean: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    kind = nn.BatchNorm1d if len(before.shape) == 1 else nn.BatchNorm2d
    norm = kind(before.shape[0], eps=0.0)
    for tensor, values in ((norm.running_mean, mean), (norm.weight, weight), (norm.bias, bias)):
        assert tensor is not None
        tensor.copy_(torch.from_numpy(np.asarray(values, np.float32)))
    return norm


def contenders(net: PackedNet, images: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Name → a call that gives the logits of `images`. Each gets them in the type that it takes, made beforehand."""
    packed = engine(net)
    twin = torch_twin(net)
    unit = 255 if net.input.kind == BYTES else 1
    x = torch.from_numpy(reference.read(net.input, images) / np.float32(unit))

    @torch.inference_mode()
    def run_torch() -> np.ndarray:
        return twin(x).numpy()

    calls: dict[str, Callable[[], np.ndarray]] = {f"packed ({packed.name})": lambda: packed.logits(images)}
    calls["torch float32"] = run_torch
    if find_spec("onnxruntime") and find_spec("onnx"):
        import onnxruntime

        from .qonnx_export import to_onnx

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            content = to_onnx(net, None, quantized=False).SerializeToString()
        except PackError as error:
            print(f"  without ONNX Runtime: {error}", file=sys.stderr)
            return calls
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        floats = images.astype(np.float32)
        calls["ONNX Runtime float32"] = lambda: session.run(None, {"image": floats})[0]
    return calls


def measure(net: PackedNet, images: np.ndarray, seconds: float, label: str) -> list[Timing]:
    """Calls the contenders in turn, round after round for `seconds`, each as often as takes 10 ms (at least once)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _one_thread():
            return _measure(contenders(net, images), seconds, label)
    finally:
        torch.set_num_threads(threads)


def _measure(calls: dict[str, Callable[[], np.ndarray]], seconds: float, label: str) -> list[Timing]:
    repeats = {}
    for name, call in calls.items():
        call()  # compiles, allocates
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.01 / max(time.perf_counter() - start, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = shown = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds or len(times[next(iter(calls))]) < 3:
        if sys.stderr.isatty() and now - shown > 0.5:
            shown = now
            print(f"\r{label}: {now - begin:.0f} of {seconds:.0f} s", end="", file=sys.stderr, flush=True)
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    first = times[next(iter(calls))]
    return [
        Timing(name, 1e3 * statistics.median(t), statistics.median(a / b for a, b in zip(t, first, strict=True)))
        for name, t in times.items()
    ]


def _one_thread():  # type: ignore[no-untyped-def]
    """NumPy's linear algebra on one thread, for the real layers of a net."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
