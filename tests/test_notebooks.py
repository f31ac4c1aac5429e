"""The notebooks run from top to bottom, and the committed outputs show the built-in survey only."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import TINY

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ("explore", "unet_line_by_line")


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for both, so that the second finds what the first has made."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("name", NAMES[::-1])
def test_it_runs_from_top_to_bottom_on_the_built_in_survey(name: str, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOTEBOOK_ROOT", str(root))
    monkeypatch.setenv("NOTEBOOK_SET", TINY)
    notebook = read(name)
    NotebookClient(
        notebook, timeout=170, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_with_clean_outputs(name: str):
    notebook = read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code), "run it from top to bottom and save it"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")
        text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        assert "/home/" not in text
        assert str(FOLDER.parent) not in text
    assert 'environ.get("NOTEBOOK_DATASET", "demo")' in "".join(cell.source for cell in code)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_048_576
