"""The mark of each method, that of the figures (`analysis.plotting`), as SVG."""

import math
from collections.abc import Iterable

from analysis.page.svg import px, slug
from analysis.plotting import Marker, marker

RADIUS = 3.8


def glyph(key: str, x: float, y: float) -> str:
    """The method's mark at (x, y), one of `marks`."""
    return f'<use href="#g{slug(key)}" x="{px(x)}" y="{px(y)}"/>'


def marks(methods: Iterable[str]) -> str:
    """Definitions for `glyph`, and of the smaller marks that lines have at their points, `mark-<method>`."""
    return "".join(
        f'<path id="g{slug(name)}" class="glyph" d="{outline(marker(name))}"/><marker id="mark-{name}" '
        f'class="{slug(name)}" viewBox="-5 -5 10 10" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse">'
        f"{glyph(name, 0, 0)}</marker>"
        for name in methods
    )


def outline(sign: Marker, r: float = RADIUS) -> str:
    """Path data of a Matplotlib marker around (0, 0), about as large as a circle of radius r."""
    if sign == "o":
        return f"M{px(-r)} 0a{px(r)} {px(r)} 0 1 0 {px(2 * r)} 0a{px(r)} {px(r)} 0 1 0 {px(-2 * r)} 0Z"
    return "M" + "L".join(f"{px(r * a)} {px(r * b)}" for a, b in CORNERS[sign]) + "Z"


def _at(angle: float, length: float = 1.1) -> tuple[float, float]:
    """A point by its angle, clockwise from the top."""
    return length * math.sin(angle), -length * math.cos(angle)


PLUS = [(-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4)]
PLUS = [*PLUS, *((-a, -b) for a, b in PLUS)]
CORNERS: dict[Marker, list[tuple[float, float]]] = {
    "s": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "D": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    "d": [(0, -1.3), (0.8, 0), (0, 1.3), (-0.8, 0)],
    "^": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
    "v": [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
    "<": [(-1.15, 0), (0.85, -1.1), (0.85, 1.1)],
    ">": [(1.15, 0), (-0.85, -1.1), (-0.85, 1.1)],
    "P": PLUS,
    "X": [((a - b) * math.sqrt(0.5), (a + b) * math.sqrt(0.5)) for a, b in PLUS],
    "*": [_at(math.pi * k / 5, 1.4 if k % 2 == 0 else 0.6) for k in range(10)],
    "p": [_at(2 * math.pi * k / 5) for k in range(5)],
    "h": [_at(2 * math.pi * k / 6) for k in range(6)],
    "8": [_at(math.pi / 8 + 2 * math.pi * k / 8) for k in range(8)],
    (4, 1, 0): [_at(math.pi * k / 4, 1.5 if k % 2 == 0 else 0.55) for k in range(8)],
}
