import pytest
import pytorch_lightning as pl


class Rates(pl.Callback):
    """Writes down the learning rate of the first group that each step uses."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen.append(optimizer.param_groups[0]["lr"])


@pytest.fixture
def rates() -> Rates:
    return Rates()
