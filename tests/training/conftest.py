from collections.abc import Callable

import pytest

from training.place import ALONE, Place
from training.recording import new_record
from training.run import Run
from training.train import build
from training.trainer import Training, prepare


@pytest.fixture
def assemble() -> Callable[..., Training]:
    """assemble(run, callback, …): the run before its first step, with callbacks of the test's own as well; `place`:
    that of this process among those that train together."""

    def assemble(run: Run, *callbacks, place: Place = ALONE) -> Training:
        data, method = build(run, place)
        training = prepare(run, data, method, new_record(run, data, method), place=place)
        training.trainer.callbacks[:0] = callbacks
        return training

    return assemble
