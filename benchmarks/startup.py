"""The time of commands that have nothing to do."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import Row, seconds

TITLE = "Start-up"
TINY = (
    "survey.train=40 survey.test=12 split.folds=2 network.width=4 network.levels=1 network.blocks=1 train.epochs=1 "
    "train.late_loss= train.batch_size=8"
)


def measure(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        chain(Path(folder), "submit")
        runs = 3 if quick else 9
        status = seconds(lambda: chain(Path(folder), "status"), runs)
        road = seconds(lambda: _road(Path(folder)), runs)
    code = "import sys, pipeline; sys.exit(any(name in sys.modules for name in ('keras', 'numpy', 'pandas', 'cv2')))"
    light = subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    return [
        Row("python -m pipeline status", f"{status:.3f} s", "under 0.25 s", status < 0.25),
        Row("download, train, predict, submit with nothing to do", f"{road:.3f} s", "under 2 s", road < 2),
        Row("import pipeline imports no framework", "yes" if light else "no", "yes", light),
    ]


def _road(root: Path) -> None:
    for stage in ("download", "train", "predict", "submit"):
        chain(root, stage)


def chain(root: Path, stage: str, settings: str = TINY) -> None:
    """Run one command on its own survey."""
    command = [sys.executable, "-m", "pipeline", stage, "--root", str(root), "--set", settings]
    command += ["--dataset", "demo", "--experiment", "demo"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
