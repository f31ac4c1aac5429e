"""The notebook for Kaggle runs in a folder laid out like Kaggle's and writes a submission."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pipeline.config import SurveySettings
from pipeline.data.sources.synthetic import write_survey
from pipeline.system.progress import Progress
from tests.conftest import TINY
from tests.kaggle_server import COMPETITION, nested_archive

PROJECT = Path(__file__).parent.parent
NOTEBOOK = PROJECT / "notebooks/kaggle.ipynb"


def test_it_asks_kaggle_for_a_gpu_and_the_internet_and_holds_no_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    nbformat.validate(notebook)
    assert notebook["metadata"]["kaggle"]["isGpuEnabled"]
    assert notebook["metadata"]["kaggle"]["isInternetEnabled"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])


@pytest.mark.slow
def test_it_runs_the_whole_road_on_mounted_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Progress("survey", 52, "tiles") as progress:
        write_survey(tmp_path / "survey", SurveySettings(train=40, test=12), progress)
    (tmp_path / "archive.zip").write_bytes(nested_archive(tmp_path / "survey"))
    kaggle = tmp_path / "kaggle"
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        archive.extractall(kaggle / "input/competitions" / COMPETITION)
    project = kaggle / "input/datasets/somebody/project"
    project.mkdir(parents=True)
    shutil.copy(PROJECT / "pyproject.toml", project)
    shutil.copytree(PROJECT / "pipeline", project / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (kaggle / "working").mkdir()
    # pip may not change anything.
    for name, value in {
        "PIPELINE_KAGGLE": str(kaggle),
        "NOTEBOOK_SET": TINY,
        "PIP_DRY_RUN": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": "",
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(kaggle / "working")}}
    ).execute()
    lines = (kaggle / "working/submission.csv").read_text().splitlines()
    assert lines[0] == "id,rle_mask"
    assert len(lines) == 13
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "12 tiles in submission.csv" in printed
    assert "dry run: not uploaded" in printed
