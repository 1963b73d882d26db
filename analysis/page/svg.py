"""The parts of a chart: scales and their ticks, paths, labels that keep their distance, escaped text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """Maps values from [low, high] to pixels from `start` to `end`, linearly or by their logarithm. Values outside are
    drawn at the ends."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        """At most `most` round values in the range: as many of each decade as there is room for; on a linear scale,
        multiples of 1, 2 or 5 times a power of ten."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
                found = [m * 10.0**d for d in decades for m in steps if self.low <= m * 10.0**d <= self.high]
                if len(found) <= most:
                    return found
            return found[:: math.ceil(len(found) / most)]
        step = nice_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(k * step, 10) for k in range(first, last + 1)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least `gap` apart and as close as possible to the `wanted` ones (least squares), within [low, high]
    where they fit. Labels of lines that end close together get their places so."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, int]] = []  # mean of wanted − rank·gap, and how many labels share it
    for rank, i in enumerate(order):
        mean, count = wanted[i] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            other, size = blocks.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        blocks.append((mean, count))
    shifted = [mean for mean, count in blocks for _ in range(count)]
    last = max(low, high - (len(wanted) - 1) * gap)
    places = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        places[i] = min(max(shifted[rank], low), last) + rank * gap
    return places


def px(value: float) -> str:
    """A coordinate with one decimal, none where that is 0."""
    return f"{value + 0:.1f}".removesuffix(".0")


def line(points: Sequence[tuple[float, float] | None], decimals: int = 1) -> str:
    """Path data through the points; a None interrupts it. Steps are relative to the rounded point before, which takes
    half the characters of absolute ones and adds up no errors."""
    parts: list[str] = []
    last: tuple[float, float] | None = None
    for point in points:
        if point is None:
            last = None
            continue
        here = (round(point[0], decimals), round(point[1], decimals))
        if last is None:
            parts.append(f"M{px(here[0])} {px(here[1])}")
        else:
            parts.append(f"l{px(here[0] - last[0])} {px(here[1] - last[1])}")
        last = here
    return "".join(parts)


def area(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """Path data of what lies between two lines, in whole pixels."""
    return line([*upper, *reversed(lower)], decimals=0) + "Z"


def text(x: float, y: float, content: str, attributes: str = "") -> str:
    return f'<text x="{px(x)}" y="{px(y)}"{" " + attributes if attributes else ""}>{escape(content)}</text>'


def value(number: float) -> str:
    """A tick's value: `0.02`, `3·10⁻⁵`, `10⁻⁶`."""
    if number == 0 or abs(number) >= 1e-3:
        return f"{number:.10f}".rstrip("0").rstrip(".")
    mantissa, _, exponent = f"{number:.0e}".partition("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def slug(key: str) -> str:
    """The CSS class of a method's colour; `bayesbinn, activations ±1` has that of `bayesbinn`."""
    return "m-" + key.partition(",")[0]


def series(key: str, *parts: str) -> str:
    """All that is drawn of one method, which page.js finds by its key."""
    return f'<g class="series {slug(key)}" data-key="{escape(key)}">{"".join(parts)}</g>'


def short(key: str) -> str:
    """A key as a label: `bayesbinn ±1`."""
    return key.replace(", activations", "")


def figure(name: str, title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    """A <figure> with its caption and an SVG, which a screen reader reads as one image with its description."""
    content, said = "".join(parts), escape(f"{title}. {description}")
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}"><title id="{name}">{said}</title>{content}</svg></figure>'
    )
