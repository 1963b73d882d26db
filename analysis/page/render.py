"""Puts the page together: template, style, script, data and the parts made by the other files."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from analysis.formats import file_name
from analysis.page.answer import answer, condition, sense
from analysis.page.charts import curves, intervals
from analysis.page.colours import stylesheet
from analysis.page.data import data
from analysis.page.glyphs import marks
from analysis.page.rows import Cell, Content, Curve, Setting
from analysis.page.svg import short, slug
from analysis.page.table import table
from analysis.plotting import colour

HERE = Path(__file__).parent


def page(content: Content) -> str:
    """The whole page; the same content gives the same text."""
    methods = sorted({cell.method for setting in content.settings for cell in setting.cells})
    template = Template((HERE / "template.html").read_text())
    return template.substitute(
        css=_compact((HERE / "page.css").read_text()),
        colours=stylesheet({name: colour(name) for name in methods}),
        marks=marks(methods),
        lead=_lead(content),
        control=escape(content.control),
        answer=answer(content),
        table_note=_table_note(content),
        table=table(content),
        charts=charts(content),
        methods=_methods(content),
        how=Template((HERE / "how.html").read_text()).substitute(root=escape(content.root)),
        data=data(content),
        js=(HERE / "page.js").read_text(),
    )


def _lead(content: Content) -> str:
    cells = [cell for setting in content.settings for cell in setting.cells]
    methods, runs = len({cell.method for cell in cells}), sum(len(cell.runs) for cell in cells)
    count = len(content.settings)
    settings = f"{count} setting{'s' * (count != 1)}"
    return (
        f"A binarized network computes with weights and activations of ±1. Here {methods} methods that train such "
        f"networks are compared: {runs} runs in {settings}, each with a record. Where a setting is complete, "
        "all methods had the same net, data and budget."
    )


def _table_note(content: Content) -> str:
    tested = any(cell.difference for setting in content.settings for cell in setting.cells)
    against = "" if tested else f" No setting is complete, so the column “Against {escape(content.control)}” is empty."
    return (
        "Each row is a method in one setting. Open a row for its configuration, its records and the published figures."
        f"{against} A command makes the first run of its row again; open the row for the others."
    )


def charts(content: Content) -> str:
    keys = sorted({cell.key for setting in content.settings for cell in setting.cells})
    chips = "".join(
        f'<button type="button" class="chip" aria-pressed="false" data-key="{escape(key)}">'
        f'<i class="dot {slug(key)}"></i>{escape(short(key))}</button>'
        for key in keys
    )
    head = f'<div class="chips" role="group" aria-label="Methods to point out in the charts" hidden>{chips}</div>'
    return head + "".join(_setting(setting, content.control) for setting in content.settings)


def _setting(setting: Setting, control: str) -> str:
    """One setting: differences where it is complete, else errors; curves, flips, searches where there are any."""
    name = f"chart-{file_name(setting.suite or setting.title)}"
    tested = sorted((c for c in setting.cells if c.difference), key=lambda c: c.difference.value if c.difference else 0)
    shown = []
    if tested:  # the table has the errors themselves
        rows = [(c.key, c.difference, sense(c) + "*" * bool(sense(c) and condition(c))) for c in tested if c.difference]
        conditions = {f" (* {condition(c)})" for c in tested if sense(c) and condition(c)}
        title = f"Difference to {control}" + "".join(sorted(conditions))
        shown.append(intervals(f"{name}d", title, rows, "points of test error", baseline=0))
    else:
        rows = [(c.key, c.error, "" if c.competitor else "(real)") for c in setting.cells if c.count]
        shown += [] if not rows else [intervals(f"{name}e", "Test error", rows, "test error, %")]
    if error := _drawable(setting, "error_curve"):
        shown.append(curves(f"{name}v", "Validation error while training", error, "epoch", "validation error, %"))
    if flips := _drawable(setting, "flip_curve"):
        shown.append(curves(f"{name}f", "How often weights flip", flips, "epoch", "flips per weight and step"))
    if search := _drawable(setting, "search_curve"):
        title = "What a search finds, by its length"
        shown.append(curves(f"{name}t", title, search, "trials", "lowest validation error so far, %"))
    said = "complete" if setting.complete else "described, not tested"
    return (
        f'<details id="{name}"><summary><span>{escape(setting.title)}</span> '
        f"<small>{_sizes(setting.cells)}; {escape(said)}</small></summary>"
        f'<div class="charts">{"".join(shown)}</div></details>'
    )


def _drawable(setting: Setting, name: str) -> dict[str, Curve]:
    """Cell → its curve of this name, where it has a value that a logarithmic axis can show."""
    found: dict[str, Curve | None] = {cell.key: getattr(cell, name) for cell in setting.cells}
    return {key: curve for key, curve in found.items() if curve and any(value > 0 for value in curve.middle)}


def _sizes(cells: Sequence[Cell]) -> str:
    methods, runs = len(cells), sum(len(cell.runs) for cell in cells)
    return f"{methods} method{'s' * (methods > 1)}, {runs} run{'s' * (runs > 1)}"


def _methods(content: Content) -> str:
    """What each method is, beside its colour."""
    used = {cell.method for setting in content.settings for cell in setting.cells}
    rows = [
        f'<dt><i class="dot {slug(name)}"></i>{escape(name)}</dt><dd>{escape(line)}</dd>'
        for name, line in content.methods.items()
        if name in used
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _compact(css: str) -> str:
    """Without comments, indentation and line breaks."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", css, flags=re.S)).strip()
