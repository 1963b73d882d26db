"""Latent weights whose pseudo-gradient changes while they train: numbers of the quantizers follow a schedule."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from configs.settings import setting

from .binary.sign import Quantizer
from .latent import INITS, OPTIMIZERS, LatentConfig, LatentMethod


@dataclass
class AnnealedConfig(LatentConfig):
    """What `irnet`, `recu` and `reste` share: SGD with momentum and weight decay, and no clipping."""

    lr: float = setting(0.1, "learning rate of SGD", above=0)
    optimizer: str = setting("sgd", "what moves all parameters", choices=OPTIMIZERS)
    momentum: float = setting(0.9, "momentum of sgd", low=0, below=1)
    weight_decay: float = setting(1e-4, "λ: λ·w is added to the gradient of w", low=0)
    init: str = setting("kaiming", "latent weights start from He's draw, or another", choices=("torch7", *INITS))
    clip: float | None = setting(None, "latent weights are clipped to ±clip after each step; null: not", above=0)


class AnnealedMethod(LatentMethod):
    """The value of each schedule in `annealed` is put into the buffers of that name before every step.

    A buffer is a 0-dimensional tensor: a compiled net reads it, where it would be compiled anew for another number.
    Evaluation does not depend on it. The forward pass is a sign, and the schedule shapes the gradient."""

    annealed: ClassVar[tuple[str, ...]] = ()

    def initialize(self) -> None:
        super().initialize()
        self.present: dict[str, float] = {}  # what the buffers hold

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        for name in self.annealed:
            value = self.scheduled[name]
            if self.present.get(name) != value:
                self.present[name] = value
                for buffer in self._buffers_of(name):
                    buffer.fill_(value)

    def _buffers_of(self, name: str) -> list[Tensor]:
        quantizers = [module for module in self.net.modules() if isinstance(module, Quantizer)]
        return [getattr(quantizer, name) for quantizer in quantizers if hasattr(quantizer, name)]
