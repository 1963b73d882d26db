"""The packed net: operations in order, each with what it takes, and the check that all fit together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from .operations import REAL, SUMS, Conv, Dense, Input, Operation, PackError
from .values import Values, after, input_values, text

T = TypeVar("T")
INPUT = -1  # the number of the input among the operations
LARGEST_SIZE = 2**53  # bytes, which a float has exactly


@dataclass(frozen=True, eq=False)
class PackedNet:
    """A net as it is deployed: `operations` on images of `input_shape` (C, H, W), whose last gives `classes` logits.

    sources: for each operation the numbers of those whose results it takes, `INPUT` for the input; every result is
    taken. None: each takes the result of the one before it. `info` are plain values for a reader: where the net comes
    from, and `float32_bytes`, the size of its state as trained. Text in it is printable: it is shown as it is.

    PackError where an operation does not fit, or a value of `info`."""

    input_shape: tuple[int, int, int]
    classes: int
    input: Input
    operations: tuple[Operation, ...]
    info: dict[str, str | int | float | None] = field(default_factory=dict)
    sources: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.sources is None:
            object.__setattr__(self, "sources", tuple((i - 1,) for i in range(len(self.operations))))
        self.values()
        self._check_info()

    def _check_info(self) -> None:
        for name, value in self.info.items():
            if not isinstance(value, str | int | float | None) or not (name + str(value)).isprintable():
                raise PackError(f"info: {ascii(name)[:40]} is {ascii(value)[:40]}, no printable text or number")
        size = self.info.get("float32_bytes", 1)
        if type(size) is not int or not 0 < size < LARGEST_SIZE:
            raise PackError(f"info: float32_bytes is {ascii(size)[:40]}, no number of bytes")

    @property
    def graph(self) -> tuple[tuple[int, ...], ...]:
        """`sources`, of every operation."""
        assert self.sources is not None
        return self.sources

    @property
    def is_chain(self) -> bool:
        """Whether each operation takes the result of the one before it, and nothing else."""
        return all(taken == (i - 1,) for i, taken in enumerate(self.graph))

    def values(self) -> list[Values]:
        """What goes into each operation of a chain: the input's values, then what comes out of each operation."""
        passed = [input_values(self.input, self.input_shape)]
        unused = {INPUT}
        if len(self.graph) != len(self.operations):
            raise PackError(f"{len(self.operations)} operations, {len(self.graph)} of which say what they take")
        for index, (operation, taken) in enumerate(zip(self.operations, self.graph, strict=True)):
            try:
                if not taken or min(taken) < INPUT or max(taken) >= index:
                    raise PackError(f"takes results {list(taken)}, of which some do not come before it")
                passed.append(after(operation, *(passed[source + 1] for source in taken)))
            except PackError as error:
                raise PackError(f"operation {index} ({operation.name}): {error}") from error
            unused = (unused - set(taken)) | {index}
        if passed[-1].kind not in (REAL, SUMS) or passed[-1].shape != (self.classes,):
            raise PackError(f"the last operation gives {text(passed[-1])}, not {self.classes} logits")
        if len(unused) > 1:
            raise PackError(f"no operation takes the result of operation {min(unused)}")
        return passed

    def steps(self) -> Iterator[tuple[Operation, Values, Values]]:
        """Each operation with what goes in (into a sum: its first term) and what comes out."""
        values = self.values()
        for operation, taken, result in zip(self.operations, self.graph, values[1:], strict=True):
            yield operation, values[taken[0] + 1], result

    def evaluate(
        self, value: T, functions: Sequence[Callable[..., T]], seen: Callable[[int, T], None] | None = None
    ) -> T:
        """The last result, where function i computes operation i. A result is kept until its last use. `seen` is
        called with each operation's number and result."""
        last_use = {source: index for index, taken in enumerate(self.graph) for source in taken}
        kept = {INPUT: value}
        for index, (function, taken) in enumerate(zip(functions, self.graph, strict=True)):
            value = function(*(kept[source] for source in taken))
            for source in set(taken):
                if last_use[source] == index:
                    del kept[source]
            kept[index] = value
            if seen:
                seen(index, value)
        return value

    def multiply_adds(self) -> int:
        """Products of weights and values for one image."""
        products = [(o.terms, result.shape) for o, _, result in self.steps() if isinstance(o, Dense | Conv)]
        return sum(terms * int(np.prod(shape)) for terms, shape in products)
