"""The charts as SVG: curves with bands, intervals side by side, profiles. Colours come from CSS, a class a method."""

from collections.abc import Mapping, Sequence

from analysis.page.glyphs import glyph
from analysis.page.rows import Curve, Estimate, has_interval
from analysis.page.svg import Scale, area, figure, line, px, series, short, spread, text, value
from analysis.tables import limits

WIDTH, HEIGHT = 480, 320
LEFT, TOP, BOTTOM = 56, 26, 42
LABELS = 118  # room for the names at the right
GAP = 14.5  # between two of them
MARKED = 12  # points that are marked, on lines of no more
ROW = 23  # height of an interval's row


def curves(
    name: str,
    title: str,
    lines: Mapping[str, Curve],
    x_title: str,
    y_title: str,
) -> str:
    """Lines with bands on a logarithmic axis, each with its name at its right end. A value of 0 interrupts its line;
    one line has a larger value."""
    values = [v for curve in lines.values() for v in curve.middle if v > 0]
    low, high = min(values) / 1.15, max(values) * 1.15
    ends = [x for curve in lines.values() for x in (curve.x[0], curve.x[-1])]
    first, last = min(ends), max(ends)
    x = Scale(first, last if last > first else first + 1, LEFT, WIDTH - LABELS)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP, log=True)
    parts = axes(x, y, x_title, y_title, whole_x=True)
    shown = {key: curve for key, curve in lines.items() if any(v > 0 for v in curve.middle)}
    drawn = {
        key: [(x(a), y(b)) if b > 0 else None for a, b in zip(c.x, c.middle, strict=True)] for key, c in shown.items()
    }
    at = {key: next(p for p in reversed(points) if p) for key, points in drawn.items()}
    places = spread([p[1] for p in at.values()], GAP, TOP, HEIGHT - BOTTOM)
    for (key, points), place in zip(drawn.items(), places, strict=True):
        curve = lines[key]
        few = " marked" if len(points) <= MARKED else ""
        own = [_band(curve, x, y), f'<path class="line{few}" d="{line(points)}"/>', _name(key, at[key], place)]
        parts.append(series(key, *own))
    return figure(name, title, _described(lines), WIDTH, HEIGHT, parts)


def intervals(
    name: str,
    title: str,
    rows: Sequence[tuple[str, Estimate, str]],
    x_title: str,
    baseline: float | None = None,
) -> str:
    """One row for each (key, estimate, word): its name, a point with its interval, the value and the word in text.

    Rows without a value are left out. baseline: the x of a vertical line, such as 0 for differences."""
    rows = [row for row in rows if row[1].value == row[1].value]
    ends = [v for _, e, _ in rows for v in (e.value, e.low, e.high) if v == v] + (
        [] if baseline is None else [baseline]
    )
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    height = TOP + ROW * len(rows) + BOTTOM
    left, right = 104, WIDTH - 100
    x = Scale(low - margin, high + margin, left, right)
    bottom = height - BOTTOM
    parts = ['<g class="axis">']
    for tick in x.ticks(5):
        parts.append(f'<path d="M{px(x(tick))} {TOP - 8}V{bottom}"/>' + text(x(tick), bottom + 16, value(tick), MIDDLE))
    parts.append(text((left + right) / 2, bottom + 34, x_title, MIDDLE) + "</g>")
    if baseline is not None:
        parts.append(f'<path class="base" d="M{px(x(baseline))} {TOP - 8}V{bottom}"/>')
    for row, (key, estimate, word) in enumerate(rows):
        y = TOP + ROW * (row + 0.5)
        bar = (
            f'<path class="bar" d="M{px(x(estimate.low))} {px(y)}H{px(x(estimate.high))}"/>'
            if has_interval(estimate)
            else ""
        )
        label = text(left - 10, y + 4, short(key), END)
        said = text(right + 8, y + 4, f"{typeset(estimate.value, baseline == 0)} {word}".rstrip())
        parts.append(series(key, label, bar, glyph(key, x(estimate.value), y), said))
    said = "; ".join(f"{key} {interval_text(e, baseline == 0)} {word}".rstrip() for key, e, word in rows)
    return figure(name, title, said, WIDTH, height, parts)


def profiles(name: str, title: str, lines: Mapping[str, Sequence[tuple[float, float]]], x_title: str) -> str:
    """Steps: for each method the share of its runs whose error is at most x times the control's."""
    right = max(r for points in lines.values() for r, _ in points)
    left = min(r for points in lines.values() for r, _ in points)
    x = Scale(left, right if right > left else left + 1, LEFT, WIDTH - LABELS)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, x_title, "share of replicates")
    places = spread([y(points[-1][1]) for points in lines.values()], GAP, TOP, HEIGHT - BOTTOM)
    for (key, points), place in zip(lines.items(), places, strict=True):
        steps = f"M{px(x(points[0][0]))} {px(y(points[0][1]))}"
        steps += "".join(f"H{px(x(r))}V{px(y(share))}" for r, share in points[1:])
        end = (x(right), y(points[-1][1]))
        parts.append(series(key, f'<path class="line" d="{steps}H{px(end[0])}"/>', _name(key, end, place)))
    at_one = {key: max((share for r, share in points if r <= 1), default=0.0) for key, points in lines.items()}
    said = ", ".join(f"{key} {share:.2f}" for key, share in sorted(at_one.items(), key=lambda item: -item[1]))
    return figure(name, title, f"At 1: {said}", WIDTH, HEIGHT, parts)


def axes(x: Scale, y: Scale, x_title: str, y_title: str, whole_x: bool = False) -> list[str]:
    """Horizontal grid lines with their values, values along the bottom, and the titles of both axes."""
    parts = ['<g class="axis">']
    for tick in y.ticks():
        parts.append(f'<path d="M{px(x.start)} {px(y(tick))}H{px(x.end)}"/>')
        parts.append(text(x.start - 6, y(tick) + 4, value(tick), END))
    for tick in x.ticks(6):
        if not whole_x or tick == round(tick):
            parts.append(text(x(tick), y.start + 17, value(tick), MIDDLE))
    parts.append(text((x.start + x.end) / 2, y.start + 35, x_title, MIDDLE))
    parts.append(text(4, 13, y_title) + "</g>")
    return parts


MIDDLE, END = 'text-anchor="middle"', 'text-anchor="end"'


def _band(curve: Curve, x: Scale, y: Scale) -> str:
    """The area between `low` and `high`, cut off at the ends of the y axis; nothing where it has no width."""
    rows = [row for row in zip(curve.x, curve.low, curve.high, strict=True) if row[1] == row[1]] if curve.low else []
    if all(low == high for _, low, high in rows):
        return ""
    upper, lower = ([(x(row[0]), y(row[i])) for row in rows] for i in (2, 1))
    return f'<path class="band" d="{area(upper, lower)}"/>'


def _name(key: str, end: tuple[float, float], place: float) -> str:
    """The name of a line at the right, with a thin line that leads to it."""
    x = WIDTH - LABELS
    lead = f'<path class="lead" d="M{px(end[0] + 2)} {px(end[1])}L{x + 12} {px(place)}"/>'
    return lead + glyph(key, x + 16, place) + text(x + 23, place + 4, short(key))


def _described(lines: Mapping[str, Curve]) -> str:
    """The last values in words, lowest first."""
    last = {key: next((v for v in reversed(curve.middle) if v == v), None) for key, curve in lines.items()}
    known = sorted((v, key) for key, v in last.items() if v is not None)
    return "Last values: " + ", ".join(f"{key} {v:.3g}" for v, key in known)


def typeset(value: float, sign: bool = False) -> str:
    """A number with a real minus sign; `sign`: with a plus too, as a difference has it."""
    rounded = f"{value:+.2f}" if sign else f"{value:.2f}"
    return rounded.replace("-", "−") if float(rounded) else "0.00"


def interval_text(estimate: Estimate, sign: bool = False) -> str:
    """`2.69 (2.46 to 2.92)`, or only the value where there is no interval."""
    between = limits(estimate.low, estimate.high, lambda value: typeset(value, sign))
    return typeset(estimate.value, sign) + (f" ({between})" if between else "")
