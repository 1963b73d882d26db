"""What the notebooks share: their material, how they show tables and figures, and how they are run.

python -m analysis.notebook      runs all notebooks from the records in results/, and keeps what they show
"""

from functools import cache
from pathlib import Path

import nbformat
import pandas as pd
from IPython.display import Image, Markdown, display

from analysis.formats import markdown
from analysis.material import Material, gather
from analysis.plotting import Figure, png
from analysis.selection import RESULTS
from configs.registry import ROOT

FOLDER = ROOT / "analysis" / "notebooks"
DOTS = 72  # an inch, so that the files stay small
NOTHING = "No records of it yet."


@cache
def material() -> Material:
    """All records, and the suites that they make up."""
    return gather(RESULTS)


def show(table: pd.DataFrame) -> None:
    """The table; of an empty one, that there are no records of it."""
    display(Markdown(markdown(table) if len(table) else NOTHING))


def draw(figure: Figure | None) -> None:
    """The figure as a PNG; of None, that there are no records of it."""
    display(Image(png(figure, DOTS), embed=True) if figure else Markdown(NOTHING))


def run(path: Path) -> None:
    """Runs a notebook in Jupyter and writes it back with its outputs, the same bytes every time."""
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(path.parent)}}, record_timing=False).execute()
    book.metadata = {"kernelspec": book.metadata["kernelspec"]}
    nbformat.write(book, path)


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        run(path)
        print(f"notebook {path}", flush=True)
