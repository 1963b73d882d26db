"""Every notebook runs from the committed records, and what it keeps is what it shows today: tables to the letter,
figures by their size."""

import base64
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import IPython.display
import nbformat
import pytest

from analysis import notebook

NOTEBOOKS = {path.stem: path for path in sorted(notebook.FOLDER.glob("*.ipynb"))}
AGAIN = "the notebook's outputs are not current: python -m analysis.notebook, in a checkout with committed records only"


@pytest.fixture(params=NOTEBOOKS)
def name(request) -> str:
    return request.param


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    return struct.unpack(">II", png[16:24])


def kept(path: Path) -> list[list[Any]]:
    """For each code cell what it shows: text, tables as Markdown, figures by their size in pixels."""
    cells = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shown: list[Any] = []
            for output in cell.outputs:
                data = output.get("data", {})
                if "image/png" in data:
                    shown.append(size(base64.b64decode(data["image/png"])))
                else:
                    shown.append(data["text/markdown"] if "text/markdown" in data else output["text"])
            cells.append(shown)
    return cells


@pytest.mark.slow
def test_the_outputs_of_a_notebook_are_current(name, committed_material, tmp_path, monkeypatch, capsys):
    """Run in this process, which has pandas and seaborn already; what a notebook displays is collected."""
    shown: list[Any] = []

    def display(content: Any) -> None:
        table = isinstance(content, IPython.display.Markdown)
        shown.append(content.data if table else size(content.data))

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(notebook, "display", display)
    monkeypatch.setattr(notebook, "material", lambda: committed_material)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    cells = []
    capsys.readouterr()
    for cell in nbformat.read(NOTEBOOKS[name], as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "notebook", "exec"), names)
            if printed := capsys.readouterr().out:
                shown.append(printed)
            cells.append(shown.copy())
            shown.clear()
    assert cells == kept(NOTEBOOKS[name]), AGAIN
    assert any("| ste |" in text for texts in cells for text in texts if isinstance(text, str))


def test_the_figures_of_an_answer_stand_below_it(name):
    """The verdict's notebook has none: the README answers its question."""
    first, *_ = nbformat.read(NOTEBOOKS[name], as_version=4).cells
    answer = first.source.partition("**Answer:**")[2].partition("\n\n")[0]
    assert bool(answer) == (name != "verdict")
    below = "\n".join(str(item) for shown in kept(NOTEBOOKS[name]) for item in shown)
    assert [n for n in re.findall(r"\d+\.\d\d", answer) if n not in below] == []


@pytest.mark.slow
def test_a_notebook_runs_in_jupyter(name, tmp_path):
    again = Path(shutil.copy(NOTEBOOKS[name], tmp_path))
    notebook.run(again)
    # not what they show: here it reads all of results/, also what somebody's runs left
    assert [len(shown) for shown in kept(again)] == [len(shown) for shown in kept(NOTEBOOKS[name])], AGAIN
    assert b'"stderr"' not in again.read_bytes()


@pytest.mark.slow
def test_a_notebook_has_the_same_bytes_every_time(tmp_path):
    contents = []
    for _ in range(2):
        again = Path(shutil.copy(NOTEBOOKS["shift"], tmp_path))
        notebook.run(again)
        contents.append(again.read_bytes())
    assert contents[0] == contents[1]
