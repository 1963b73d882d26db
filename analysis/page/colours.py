"""The colour of each method as CSS, light and dark: that of the figures, moved until it can be seen on the page."""

from collections.abc import Mapping, Sequence

from analysis.page.svg import slug

LIGHT, DARK = (255, 255, 255), (22, 24, 27)  # the page's backgrounds, as page.css has them
CONTRAST = {LIGHT: 3.0, DARK: 4.0}  # of graphics; WCAG 2.2 asks for 3
Colour = tuple[int, int, int]


def stylesheet(colours: Mapping[str, str]) -> str:
    """Rules that give every method's class its colour `--c` in both modes, and its lines their marks.

    colours: method → `#rrggbb`."""
    light = "".join(f".{slug(m)}{{--c:{hexed(seen(rgb(c), LIGHT))}}}" for m, c in colours.items())
    dark = "".join(f".{slug(m)}{{--c:{hexed(seen(rgb(c), DARK))}}}" for m, c in colours.items())
    marks = "".join(f".{slug(m)} .marked{{marker:url(#mark-{m})}}" for m in colours)
    return f"{light}{marks}\n@media screen and (prefers-color-scheme:dark){{{dark}}}"


def seen(colour: Colour, background: Colour) -> Colour:
    """The colour, mixed with black on a light background or with white on a dark one, no further than it takes.
    Black becomes nearly white on a dark one, as text does."""
    if colour == (0, 0, 0) and luminance(background) < 0.5:
        return (232, 232, 229)
    towards = 0 if luminance(background) > 0.5 else 255
    for step in range(101):
        mixed: Sequence[int] = [round(c + (towards - c) * step / 100) for c in colour]
        found = (mixed[0], mixed[1], mixed[2])
        if contrast(found, background) >= CONTRAST[background]:
            return found
    return (towards,) * 3


def contrast(a: Colour, b: Colour) -> float:
    """WCAG's contrast ratio, (lighter + .05)/(darker + .05) of the relative luminances, from 1 to 21."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: Colour) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 12.92 if (c := v / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for v in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(text: str) -> Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def hexed(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
