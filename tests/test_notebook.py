"""The report as a notebook: runs from top to bottom, and is committed without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


@pytest.fixture
def notebook():
    return nbformat.read(ROOT / "project_report.ipynb", as_version=4)


def outputs(notebook, kind):
    found = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [output.data[kind] for output in found if kind in output.get("data", {})]


def test_the_notebook_is_committed_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_the_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("ELSR_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=400, kernel_name="python3", resources=where).execute()
    # The network, a pair, the curves, two stills, the frames and the choice; the two GIFs.
    assert len(outputs(notebook, "image/png")) == 7
    assert len(outputs(notebook, "image/gif")) == 2
    assert (tmp_path / "out" / "notebook" / "stage5" / "best.safetensors").is_file()
