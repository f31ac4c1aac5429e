"""The pushed script really runs, in a folder laid out like Kaggle's."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.config import SurveySettings
from pipeline.data.sources.synthetic import write_survey
from pipeline.execution.kaggle.kernel import ERROR, STOPPED
from pipeline.system.progress import Progress
from tests.conftest import TINY, Chain
from tests.kaggle_kernels import Kernels, Machine
from tests.kaggle_server import Kaggle, nested_archive

KAGGLE = ("--executor", "kaggle", "--accelerator", "none")
STOP_AFTER_ONE_EPOCH = """
INTERVAL = 0.1
Run.is_over = lambda self: bool(list(self.experiment.glob("fold-*/backup-*/state.npz")))
"""


@pytest.fixture
def machine(kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Machines on which the competition is mounted, and its archive as ``archive.zip``."""
    survey, competition = tmp_path / "survey", tmp_path / "competition"
    with Progress("survey", 52, "tiles") as progress:
        write_survey(survey, SurveySettings(train=40, test=12), progress)
    (tmp_path / "archive.zip").write_bytes(nested_archive(survey))
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        archive.extractall(competition)
    machine = Machine(tmp_path / "kaggle", competition)
    machine.kernels = Kernels(kaggle, machine)
    monkeypatch.setenv("PIPELINE_POLL", "0.2")
    return machine


@pytest.fixture
def chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    return Chain(tmp_path / "root", capsys)


def run(chain: Chain, machine: Machine, *arguments: str, settings: str = TINY) -> int:
    archive = str(machine.competition.parent / "archive.zip")
    return chain(*arguments, "--archive", archive, settings=settings, dataset="tgs", experiment="unet")


@pytest.mark.slow
def test_the_whole_road_with_a_kernel_that_runs_out_of_time(chain: Chain, machine: Machine):
    assert machine.kernels is not None
    machine.patches = [STOP_AFTER_ONE_EPOCH]
    settings = TINY.replace("train.epochs=2", "train.epochs=4")
    assert run(chain, machine, "train", "--folds", "0", *KAGGLE, settings=settings) == 0, chain.printed + chain.error
    first, second = machine.kernels.pushed
    assert any(line.startswith(STOPPED) for line in first.lines)
    assert "started-fold-0.zip" in first.files
    assert any("fold 0: resumes after epoch" in line for line in second.lines)
    assert "fold 0  epoch   4/4" in chain.printed
    assert run(chain, machine, "submit", *KAGGLE, "--dry-run", settings=settings) == 0, chain.printed + chain.error
    assert chain.printed.count("test tiles predicted at Kaggle") == 1
    assert len(machine.kernels.pushed) == 2
    assert (chain.root / "submissions/tgs/unet.csv").is_file()
    assert chain("status", "--verify", "--folds", "0", settings=settings, dataset="tgs", experiment="unet") == 0
    assert "error: interrupted" not in "".join(first.lines)
    assert "stale" not in chain.printed
    assert "damaged" not in chain.printed


@pytest.mark.slow
def test_a_kernel_says_why_it_cannot_train(chain: Chain, machine: Machine, tmp_path: Path):
    assert machine.kernels is not None
    # No GPU.
    assert run(chain, machine, "train", "--executor", "kaggle") == 2
    assert "no GPU: Kaggle gave this kernel none" in chain.error
    # Packages that are missing, and no internet.
    machine.patches = [
        "Run._pip = (lambda pip: lambda self, command: pip(self, [*command, 'no-such-package-0']))(Run._pip)"
    ]
    assert run(chain, machine, "train", *KAGGLE) == 2
    assert "packages cannot be installed" in chain.error
    # Other tiles than at home.
    table = machine.competition / "depths.csv"
    table.write_text(re.sub(r",(\d+)\n", lambda found: f",{int(found[1]) + 1}\n", table.read_text()))
    assert run(chain, machine, "train", *KAGGLE) == 2
    assert "prepare: other tiles than at home" in chain.error
    assert "leave EXECUTOR=kaggle out" in chain.error
    for kernel in machine.kernels.pushed:
        assert kernel.lines[-1].startswith(ERROR)
        assert not any("Traceback" in line for line in kernel.lines)
    assert len(machine.kernels.pushed) == 3
    assert str(sys.executable) not in chain.error
