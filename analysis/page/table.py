"""The table of all cells: static HTML, which page.js sorts, filters and opens."""

import math
from html import escape

from analysis.page.answer import difference
from analysis.page.charts import interval_text
from analysis.page.rows import Cell, Content, Setting
from analysis.page.svg import short, slug

COLUMNS = (  # (key that page.js sorts by, title, explanation)
    ("method", "Method", ""),
    ("setting", "Setting", ""),
    ("error", "Test error, %", "and 95 % interval"),
    ("difference", "Against {control}", "points"),
    ("count", "Replicates", "or seeds"),
    ("failed", "Failed", "runs"),
    ("packed", "KiB packed", "of float32"),
    ("speed", "Images/s", "in training"),
    ("", "Run it again", ""),
)


def table(content: Content) -> str:
    head = "".join(_header(key, title.format(control=content.control), note) for key, title, note in COLUMNS)
    cells = [(setting, cell) for setting in content.settings for cell in setting.cells]
    rows = "".join(_row(number, setting, cell) for number, (setting, cell) in enumerate(cells))
    return (
        f"{_controls(content)}"
        '<div class="scroll" role="region" tabindex="0" aria-labelledby="table-h"><table id="cells">'
        '<caption class="hidden">One row for each method and setting; the buttons in the header sort it, and the name '
        "of a method opens its details."
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _header(key: str, title: str, note: str) -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    if not key:
        return f'<th scope="col">{escape(title)}{small}</th>'
    return (
        f'<th scope="col" aria-sort="none"><button type="button" data-sort="{key}">{escape(title)}'
        f'<span class="arrow" aria-hidden="true"></span></button>{small}</th>'
    )


def _controls(content: Content) -> str:
    settings = "".join(f'<option value="{i}">{escape(s.title)}</option>' for i, s in enumerate(content.settings))
    keys = sorted({cell.key for setting in content.settings for cell in setting.cells})
    methods = "".join(f"<option>{escape(key)}</option>" for key in keys)
    return (
        '<form class="controls" id="filters" hidden>'
        '<label>Search <input type="search" name="text" autocomplete="off"></label>'
        f'<label>Setting <select name="setting"><option value="">all</option>{settings}</select></label>'
        f'<label>Method <select name="method"><option value="">all</option>{methods}</select></label>'
        '<label class="check"><input type="checkbox" name="binary"> only ±1 weights and activations</label>'
        '<button type="reset">Clear</button></form><p class="controls"><output id="shown" role="status"></output></p>'
        '<p id="said" class="hidden" role="status"></p>'
    )


def _row(number: int, setting: Setting, cell: Cell) -> str:
    note = f" <small>{escape(cell.note)}</small>" if cell.note else ""
    if not cell.competitor:
        note += " <small>real weights or activations</small>"
    count = f"{cell.count} <small>{escape(cell.unit)}</small>"
    return (
        f'<tr data-i="{number}"><th scope="row"><i class="dot {slug(cell.method)}"></i>'
        f'<span class="name">{escape(short(cell.key))}</span>{note}</th>'
        f"<td>{escape(setting.dataset)}<small>{escape(setting.budget)}</small></td><td>{_error(cell)}</td><td>{difference(cell)}</td><td>{count}</td>"
        f"<td>{cell.failed}</td><td>{_packed(cell)}</td><td>{_speed(cell)}</td><td class='command'></td></tr>"
    )


def _error(cell: Cell) -> str:
    if math.isnan(cell.error.value):
        return "all failed"
    value, _, interval = interval_text(cell.error).partition(" (")
    return value + (f"<small>{interval.removesuffix(')')}</small>" if interval else "")


def _packed(cell: Cell) -> str:
    if math.isnan(cell.packed_bytes):
        return ""
    share = f"<small>1/{cell.float32_bytes / cell.packed_bytes:.0f}</small>" if cell.float32_bytes > 0 else ""
    return f"{cell.packed_bytes / 1024:.1f}{share}"


def _speed(cell: Cell) -> str:
    if math.isnan(cell.images_per_second):
        return ""
    return f"{cell.images_per_second:,.0f}" + ("<small>shared</small>" if cell.beside_others else "")
