"""The notebooks run from top to bottom, and the committed outputs are those of the code and of the built-in survey."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

from tests.conftest import TINY

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ("explore", "unet_line_by_line")
VARIES = "varies"
"""Tag of a cell whose text depends on a training, on a setting or on the machine; it is never compared."""
TILES = "tiles"
"""Tag of a cell whose text depends on the number of tiles; it is compared where the run has all of them."""
MOST_VARYING = {"explore": 0.25, "unet_line_by_line": 0.25}
"""Largest share of a notebook's code cells with outputs that may have the tag ``varies``."""
ALL_TILES = " ".join(each for each in TINY.split() if not each.startswith(("survey.", "split.")))
"""Settings of a run with the tiles and folds of the committed one, whose training takes seconds."""


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text(cell: nbformat.NotebookNode) -> str:
    """What a cell prints and returns; a kernel splits what is printed into any number of outputs."""
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def changes(committed: nbformat.NotebookNode, fresh: nbformat.NotebookNode, not_compared: set[str]) -> str:
    """The cells whose text differs in the fresh run, and how; those with a tag in ``not_compared`` are skipped."""
    found = []
    for old, new in zip(code_cells(committed), code_cells(fresh), strict=True):
        if text(new) != text(old) and not tags(new) & not_compared:
            lines = difflib.unified_diff(
                text(old).splitlines(), text(new).splitlines(), "committed", "fresh", lineterm=""
            )
            found += [new.source, *lines]
    return "\n".join(found)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each settings, in which the second notebook finds what the first has made."""
    return {settings: tmp_path_factory.mktemp("notebooks") for settings in (TINY, ALL_TILES)}


@pytest.mark.parametrize("name", NAMES[::-1])
@pytest.mark.parametrize(
    ("settings", "not_compared"),
    [
        pytest.param(TINY, {VARIES, TILES}, id="few tiles"),
        pytest.param(ALL_TILES, {VARIES}, id="all tiles", marks=pytest.mark.slow),
    ],
)
def test_a_run_from_top_to_bottom_prints_what_is_committed(
    name: str, settings: str, not_compared: set[str], roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NOTEBOOK_ROOT", str(roots[settings]))
    monkeypatch.setenv("NOTEBOOK_SET", settings)
    fresh = read(name)
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert any("image/png" in output.get("data", {}) for output in outputs(fresh))
    assert changes(read(name), fresh, not_compared) == "", "run the notebook again and commit it"


def test_a_changed_text_is_found_unless_the_cell_is_left_out():
    def notebook(*printed: str) -> nbformat.NotebookNode:
        outputs = [v4.new_output("stream", text=each) for each in printed]
        return v4.new_notebook(cells=[v4.new_code_cell("print(2 + 2)", outputs=outputs)])

    assert changes(notebook("4\n"), notebook("4", "\n"), set()) == ""
    assert "-5\n+4" in changes(notebook("5\n"), notebook("4\n"), {VARIES})
    assert changes(notebook("4\n"), notebook(), {VARIES}) != ""
    left_out = notebook("5\n")
    left_out.cells[0].metadata["tags"] = [VARIES]
    assert changes(left_out, left_out, {VARIES}) == changes(notebook("4\n"), left_out, {VARIES}) == ""


@pytest.mark.parametrize("name", NAMES)
def test_few_cells_are_left_out_of_the_comparison(name: str):
    with_text = [cell for cell in code_cells(read(name)) if text(cell)]
    assert sum(VARIES in tags(cell) for cell in with_text) <= MOST_VARYING[name] * len(with_text)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_with_clean_outputs(name: str):
    notebook = read(name)
    code = code_cells(notebook)
    assert all(cell.execution_count for cell in code), "run it from top to bottom and save it"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.get("text")
    for cell in code:
        assert "/home/" not in text(cell)
        assert str(FOLDER.parent) not in text(cell)
    assert 'environ.get("NOTEBOOK_DATASET", "demo")' in "".join(cell.source for cell in code)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_048_576


@pytest.mark.parametrize("name", NAMES)
def test_outside_of_a_checkout_the_first_cell_fetches_the_project(tmp_path: Path, name: str):
    origin, elsewhere = tmp_path / "origin", tmp_path / "elsewhere"
    (origin / "pipeline").mkdir(parents=True)
    elsewhere.mkdir()
    (origin / "pipeline/__init__.py").write_text("")
    (origin / "pyproject.toml").write_text('[project]\ndependencies = ["pip"]\n')  # which is installed
    git = ["git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    cell = code_cells(read(name))[0].source.replace("%matplotlib inline", "")
    code = f"{cell}\nimport pipeline\nprint(pipeline.__file__)"

    def run(repository: str) -> subprocess.CompletedProcess[str]:
        env = {
            key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("NOTEBOOK_")
        }
        env["NOTEBOOK_REPOSITORY"] = repository
        return subprocess.run(
            [sys.executable, "-c", code], cwd=elsewhere, env=env, capture_output=True, text=True, timeout=120
        )

    refused = run("")
    assert refused.returncode
    assert "set REPOSITORY in this cell" in refused.stderr
    for _ in range(2):  # what is there is used
        assert run(origin.as_uri()).stdout.strip() == str((elsewhere / "tgs-salt/pipeline/__init__.py").resolve())
        shutil.rmtree(origin, ignore_errors=True)
