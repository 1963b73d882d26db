"""Matplotlib and seaborn as every figure uses them: drawn into files, never in a window. Each method has one colour and
one marker in all figures."""

import io
import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from configs.registry import METHODS

__all__ = ["Figure", "colour", "marker", "panels", "plain_ticks", "plt", "png", "sns", "ticks_between"]

COLUMNS = 3  # panels in a row

# Paul Tol's "muted" scheme and three of his other colours, safe for colour-blind readers (SRON/EPS/TN/09-002), with
# black for the real net. Methods that are added take them again with other markers, but not those of `real` and `ste`.
Marker = str | tuple[int, Literal[1], int]  # (4, 1, 0): a star of four points
LOOKS: dict[str, tuple[str, Marker]] = {
    "real": ("#000000", "*"),
    "binaryconnect": ("#DDCC77", "X"),
    "ste": ("#332288", "o"),
    "ste_shift": ("#88CCEE", "s"),
    "bnnplus": ("#CC6677", "D"),
    "irnet": ("#EE7733", "h"),
    "recu": ("#0077BB", "d"),
    "reste": ("#661100", (4, 1, 0)),
    "bop": ("#117733", "^"),
    "bop2nd": ("#44AA99", "v"),
    "pbop": ("#999933", "<"),
    "pbnet": ("#882255", "P"),
    "bayesbinn": ("#777777", "p"),
    "bernoulli": ("#AA4499", ">"),
}
AGAIN = [shade for name, (shade, _) in LOOKS.items() if name not in ("real", "ste")]
OTHERS = cycle([(shade, shape) for shape in ("h", "d", "8") for shade in AGAIN])


def _look(key: str) -> tuple[Any, Marker]:
    """Of a method, or of a cell of it (`bayesbinn, activations ±1`)."""
    family = key.partition(",")[0]
    if family not in LOOKS:
        others = [name for name in METHODS if name not in LOOKS] + [family]
        LOOKS.update(zip(others, OTHERS, strict=False))
    return LOOKS[family]


def colour(key: str) -> Any:
    return _look(key)[0]


def marker(key: str) -> Marker:
    return _look(key)[1]


def panels(count: int, width: float, height: float, sharey: bool = False) -> tuple[Figure, list[plt.Axes]]:
    """Axes in rows of up to COLUMNS; those that are not needed are removed."""
    across = min(count, COLUMNS)
    down = math.ceil(count / across)
    size = (1.6 + width * across, 0.5 + height * down)
    figure, axes = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False, sharey=sharey)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def ticks_between(low: float, high: float) -> list[float]:
    """Round values of each decade; more of them where low and high are close together."""
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9) if high < 4 * low else (1, 2, 3, 5, 7)
    return [tick for e in range(-2, 3) for m in steps if low <= (tick := m * 10.0**e) <= high]


def plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """These ticks and no others, written out where the axis is logarithmic."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def png(figure: Figure, dpi: int = 120) -> bytes:
    """The figure as a PNG that does not name the version of Matplotlib; the figure is closed."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    return content.getvalue()
