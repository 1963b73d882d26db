"""What happens around training, for every method alike: diagnostics, curves, resumable checkpoints, progress."""

from .checkpoint import Checkpoint, EpochSeed
from .diagnostics import Diagnostics
from .history import History
from .progress import Progress

__all__ = ["Checkpoint", "Diagnostics", "EpochSeed", "History", "Progress"]
