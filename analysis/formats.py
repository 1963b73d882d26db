"""A table as Markdown, LaTeX and CSV; its note is in Markdown and LaTeX. And names of files."""

import re

import pandas as pd

LATEX = {"\\": r"\textbackslash{}", **{c: f"\\{c}" for c in "&%$#_{}"}, "±": r"$\pm$", "×": r"$\times$", "→": r"$\to$"}


def file_name(text: str) -> str:
    """`mnist_mlp_256x2` of `MNIST mlp 256×2`: a name of a file, or of a place in a page."""
    return re.sub("[^a-z0-9]+", "_", text.lower().replace("×", "x"))


def markdown(table: pd.DataFrame) -> str:
    """A pipe table with a final newline; a pipe within a cell is escaped. `table.attrs["note"]` stands below it."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    lines = "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows)
    return lines + (f"\n{note}\n" if (note := table.attrs.get("note")) else "")


def latex(table: pd.DataFrame) -> str:
    """A `tabular` with booktabs' rules, and the note above it as a comment."""
    rows = [[_escaped(cell) for cell in row] for row in [list(table.columns), *table.astype(str).to_numpy().tolist()]]
    head, *body = [" & ".join(row) + r" \\" for row in rows]
    begin, end = rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}", r"\end{tabular}"
    note = [f"% {note}"] if (note := table.attrs.get("note")) else []
    return "\n".join([*note, begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", end]) + "\n"


def csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _escaped(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text)


FORMATS = {"md": markdown, "tex": latex, "csv": csv}
