"""The plan of a run that trains a net soft and then hardens it: how far each layer is at any moment."""

from dataclasses import dataclass

BINARIZE = ("at_once", "by_layer", "by_part", "by_part_of_layer")


@dataclass(frozen=True)
class HardeningPlan:
    """A run of `epochs` epochs begins with a soft stage: the share `soft` of them, rounded, at least one. After it
    come the spans in which layers harden. With `by_layer` and `by_part_of_layer` each layer has its own span, front to
    back, about equally long; in a run of few epochs some are empty. Otherwise one span, the rest of the run, serves all
    layers.

    A moment is the number of epochs since the run began. Weights are hardened at the start of an epoch. With `by_part`,
    a part of every layer is hardened at each start within the span, and the last start hardens the rest; with
    `by_part_of_layer`, a part of the one layer whose span it is. Otherwise a
    whole layer is hardened at the first start after its span. (After the last span there is none: evaluation uses the
    signs anyway.)"""

    binarize: str
    epochs: int
    layers: int
    soft: float

    @property
    def soft_epochs(self) -> int:
        return max(1, min(round(self.soft * self.epochs), self.epochs))

    def span(self, layer: int) -> tuple[int, int]:
        """The epochs [first, end) in which `layer` is being hardened."""
        first, length = self.soft_epochs, self.epochs - self.soft_epochs
        if self.binarize in ("at_once", "by_part"):
            return first, self.epochs
        return first + layer * length // self.layers, first + (layer + 1) * length // self.layers

    def progress(self, layer: int, moment: float) -> float:
        """The share of the layer's span that has passed: 0 before it, 1 after it."""
        first, end = self.span(layer)
        if moment >= end:
            return 1.0
        return (moment - first) / (end - first) if moment > first else 0.0

    def hardened(self, layer: int, epoch: int) -> float:
        """The share of the layer's weights that are ±1, and stay so, from the start of `epoch` on.

        In parts: `1 − (1 − k/n)²` at the k-th of the span's n starts, so that the last parts are small."""
        first, end = self.span(layer)
        if self.binarize in ("by_part", "by_part_of_layer") and first <= epoch < end:
            return 1 - (1 - (epoch - first + 1) / (end - first)) ** 2
        return float(epoch >= end)

    def soft_progress(self, moment: float) -> float:
        """The share of the soft stage that has passed, 1 after it."""
        return min(1.0, moment / self.soft_epochs)

    def stage_progress(self, moment: float) -> float:
        """The share of the present stage, the soft one or a span, that has passed, in [0, 1)."""
        stages = [(0, self.soft_epochs), *(self.span(layer) for layer in range(self.layers))]
        first, end = next(stage for stage in stages if stage[0] <= moment < stage[1])
        return (moment - first) / (end - first)
