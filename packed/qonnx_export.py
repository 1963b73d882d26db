"""A packed net as QONNX: standard ONNX nodes on float32, and a BipolarQuant node wherever a value is ±1.

FINN and hls4ml read such files. Source: Pappalardo et al. 2022, arXiv 2206.07527, and the package qonnx."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .net import INPUT, PackedNet
from .operations import (
    BYTES,
    EXACT_FLOAT32,
    SIGNS,
    SUMS,
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

DOMAIN = "qonnx.custom_op.general"
OPSET = 13
IR_VERSION = 8


def to_onnx(net: PackedNet, batch: int | None = 1, quantized: bool = True) -> onnx.ModelProto:
    """The input `image` is float32 (batch, C, H, W), pixels 0..255 (scaled images, where the net takes those); the
    output `logits` (batch, classes). batch=None leaves the number of images open, which qonnx's executor cannot have.

    quantized=False: the float32 twin of standard nodes only, ±1 weights as floats, Sign for BipolarQuant (no sum is
    at a threshold, so that Sign gives no 0). PackError where sums are too large for float32 to hold them exactly."""
    return _Graph(net, batch, quantized).model()


class _Graph:
    def __init__(self, net: PackedNet, batch: int | None, quantized: bool) -> None:
        self.net, self.batch, self.quantized = net, batch if batch is not None else "N", quantized
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "image"

    def model(self) -> onnx.ModelProto:
        self.read()
        results = {INPUT: self.last}
        for index, ((operation, before, after), taken) in enumerate(zip(self.net.steps(), self.net.graph, strict=True)):
            if after.kind == SUMS and 2 * after.bound + 2 >= EXACT_FLOAT32:
                raise PackError(f"operation {index} ({operation.name}): float32 does not hold sums of {after.bound}")
            self.last = results[taken[0]]
            self.add(operation, before, *(results[other] for other in taken[1:]))
            results[index] = self.last
        self.nodes[-1].output[0] = "logits"
        shape = self.net.input_shape
        graph = helper.make_graph(
            self.nodes,
            "packed",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [self.batch, *shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [self.batch, self.net.classes])],
            self.constants,
        )
        if self.quantized and (self.net.input.kind in (BYTES, SIGNS) or self.net.input.shift is not None):
            annotation = onnx.TensorAnnotation(tensor_name="image")
            annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
            graph.quantization_annotation.append(annotation)
        opsets = [helper.make_opsetid("", OPSET)]
        if self.quantized:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        model = helper.make_model(graph, opset_imports=opsets, producer_name="binarized.packed", ir_version=IR_VERSION)
        for name, value in self.net.info.items():
            model.metadata_props.add(key=name, value=str(value))
        return model

    def read(self) -> None:
        source = self.net.input
        if source.kind == BYTES:
            self.node("Mul", np.float32(2))
            self.node("Sub", np.float32(255))
        elif source.kind == SIGNS:
            self.node("Sub", np.float32(127.5))
            self.sign()
        elif source.shift is not None and source.scale is not None:
            self.node("Sub", source.shift.reshape(1, -1, 1, 1))
            self.node("Div", source.scale.reshape(1, -1, 1, 1))

    def add(self, operation: Operation, before: Values, *others: str) -> None:
        def along(values: np.ndarray) -> np.ndarray:
            return values.astype(np.float32).reshape(1, -1, *[1] * (len(before.shape) - 1))

        match operation:
            case Dense():
                self.node("MatMul", self.weight(operation, operation.signs().T))
            case Conv(_, padding, stride):
                weight = self.weight(operation, operation.signs().transpose(0, 3, 1, 2))
                sides = list(operation.weight.shape[1:3])
                self.node("Conv", weight, kernel_shape=sides, strides=[stride] * 2, pads=[padding] * 4)
            case Pool(size, _, padding):
                self.node("MaxPool", kernel_shape=[size] * 2, strides=[operation.step] * 2, pads=[padding] * 4)
            case Average(rows, columns):
                if before.shape[1] % rows or before.shape[2] % columns:
                    raise PackError(f"ONNX has no averages of {rows}×{columns} at the edge of maps {before.shape}")
                self.node("AveragePool", kernel_shape=[rows, columns], strides=[rows, columns])
            case Pad(channels, more, top, bottom, left, right):
                self.node("Pad", np.array([0, channels, top, left, 0, more, bottom, right], np.int64))
            case Prelu(slope):
                self.node("PRelu", slope.reshape(-1, *[1] * (len(before.shape) - 1)))
            case Add():
                self.node("Add", *others)
            case Flatten():
                self.node("Flatten", axis=1)
            case Threshold():
                self.node("Sub", along(operation.threshold - 0.5))
                if operation.inversions().any():
                    self.node("Mul", along(np.where(operation.inversions(), -1, 1)))
                self.sign()
            case Norm(center, scale, shift):
                if center.any():
                    self.node("Sub", along(center))
                self.node("Mul", along(scale))
                self.node("Add", along(shift))
            case Activation("sign"):
                if not self.quantized:  # real values can be 0, of which Sign gives 0
                    self.node("Sign")
                    self.node("Add", np.float32(0.5))
                self.sign()
            case Activation("hardtanh"):
                self.node("Clip", np.float32(-1), np.float32(1))
            case Activation(function):
                self.node(function.capitalize())

    def weight(self, operation: Dense | Conv, values: np.ndarray) -> str | np.ndarray:
        if operation.weight.dtype != np.uint8 or not self.quantized:
            return values
        last, self.last = self.last, self.constant(values)
        self.sign()
        name, self.last = self.last, last
        return name

    def sign(self) -> None:
        if self.quantized:
            self.node("BipolarQuant", np.float32(1), domain=DOMAIN)
        else:
            self.node("Sign")

    def node(self, kind: str, *others: Any, **attributes: Any) -> None:
        inputs = [self.last, *(other if isinstance(other, str) else self.constant(other) for other in others)]
        self.last = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.last], name=f"{kind}_{len(self.nodes)}", **attributes))

    def constant(self, values: Any) -> str:
        name = f"constant_{len(self.constants)}"
        dtype = np.int64 if getattr(values, "dtype", None) == np.int64 else np.float32
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name
