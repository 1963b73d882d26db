"""Methods whose weights are random: evaluated as their likelier signs, and as an average over drawn nets."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from .binary.layers import binary_layers
from .binary.norm_statistics import kept_statistics
from .recalibrated import RecalibratedMethod


class SampledMethod(RecalibratedMethod):
    """The quantizers of its weights are `RandomWeight`s. The record's `error` is that of the likelier signs,
    `draws_error` that of the softmax averaged over `config.draws` draws of all weights.

    Sums of signs are larger than sums of drawn weights, so batch norm's statistics are measured anew for each."""

    config: Any
    averaging = False

    def predict(self, x: Tensor) -> Tensor:
        if not self.averaging:
            return super().predict(x)
        softmax = []
        for k in range(self.config.draws):
            self.use_draw(k)
            softmax.append(self.net(x).float().softmax(1))
        return torch.stack(softmax).mean(0).log()

    def variants(self) -> Iterator[tuple[str, AbstractContextManager[None]]]:
        yield from super().variants()
        yield "draws", self.averaged_over_draws()

    @contextmanager
    def averaged_over_draws(self) -> Iterator[None]:
        """Within the context `predict` gives the logarithm of the averaged softmax."""
        quantizers: list[Any] = [layer.quantizer for layer in binary_layers(self.net).values()]
        with kept_statistics(self.net):
            try:
                for quantizer in quantizers:
                    quantizer.drawing = True
                self.prepare_draws()
                self.averaging = True
                yield
            finally:
                self.averaging = False
                for quantizer in quantizers:
                    quantizer.drawing, quantizer.seed = False, None

    # here the net draws its weights in every pass, whatever k is

    def prepare_draws(self) -> None:
        """Called once, while the quantizers draw and before any prediction."""
        self.reestimate()

    def use_draw(self, k: int) -> None:
        """Makes the net the k-th draw, k < `config.draws`."""
