from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from datamodules import DataModule
from methods.base import Method
from results.record import Record
from run import build
from training.recording import begin
from training.trainer import Training, prepare


class Run(NamedTuple):
    """A run before its first step."""

    config: Any
    data: DataModule
    method: Method
    record: Record
    training: Training


@pytest.fixture
def assemble() -> Callable[..., Run]:
    """assemble(config, callback, …) puts a run together as `train` does, with callbacks of the test's own as well."""

    def assemble(config, *callbacks) -> Run:
        device = torch.device("cpu")
        data, method = build(config, device)
        record = begin(config, method, data, device)
        training = prepare(config, method, data, device, Path(config.output_dir) / record.run_id)
        training.trainer.callbacks[:0] = callbacks
        return Run(config, data, method, record, training)

    return assemble
