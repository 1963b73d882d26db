"""Methods whose weights are drawn in training and evaluated as their likelier sign, or averaged over draws."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from .binary.coin import Drawn
from .recalibrated import RecalibratedMethod


class SampledMethod(RecalibratedMethod):
    """The record's `error` is of the likelier signs; `draws_error` of the softmax averaged over `config.draws` draws.

    Sums of signs are larger than sums of drawn weights, so batch norm's statistics are measured anew for each."""

    config: Any
    averaged = 0

    def predict(self, x: Tensor) -> Tensor:
        if not self.averaged:
            return super().predict(x)
        return torch.stack([self.net(x).float().softmax(1) for _ in range(self.averaged)]).mean(0).log()

    def variants(self) -> Iterator[tuple[str, AbstractContextManager[None]]]:
        yield from super().variants()
        yield "draws", self._averaging(self.config.draws)

    @contextmanager
    def _averaging(self, draws: int) -> Iterator[None]:
        quantizers = [m for m in self.net.modules() if isinstance(m, Drawn)]
        try:
            self.averaged = draws
            for quantizer in quantizers:
                quantizer.drawing = True
            with self.own_statistics():
                yield
        finally:
            self.averaged = 0
            for quantizer in quantizers:
                quantizer.drawing = False
