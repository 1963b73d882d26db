"""Every notebook runs from the committed records, and shows tables; committed ones hold no output that ages."""

from typing import Any

import IPython.display
import nbformat
import pytest
from nbclient import NotebookClient

from analysis.__main__ import HERE

NOTEBOOKS = {path.stem: path for path in sorted((HERE / "notebooks").glob("*.ipynb"))}


@pytest.fixture(params=NOTEBOOKS)
def book(request) -> Any:
    return nbformat.read(NOTEBOOKS[request.param], as_version=4)


def test_the_cells_of_a_notebook_run(book, tmp_path, monkeypatch):
    """In this process, which has pandas and seaborn already; what a notebook displays is collected."""
    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            exec(compile(cell.source, "notebook", "exec"), names)
    tables = [content.data for content in shown if isinstance(content, IPython.display.Markdown)]
    assert any("| ste |" in table for table in tables)
    assert None not in shown  # a figure without records


@pytest.mark.slow
def test_a_notebook_runs_in_jupyter(book, tmp_path):
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    tables = [output["data"]["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]
    assert any("| ste |" in table for table in tables)
    assert not [output for output in outputs if output.get("name") == "stderr"]
