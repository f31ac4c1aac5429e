"""Fixtures and helpers of all tests. Everything runs on synthetic tiles in temporary folders."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Several test processes share the machine: one thread each gets more done than all cores for each.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness, Layout
from pipeline.cli import main as command_line
from pipeline.config import EXPERIMENTS
from pipeline.data.folds import fold_of_tiles
from pipeline.reporting import leaderboard, pages
from pipeline.stages import predict, train
from pipeline.system import backends

if TYPE_CHECKING:
    import keras

backends.use_onednn()  # as the command line does

TINY = (
    "survey.train=40 survey.test=12 split.folds=2 split.bins=4 network.width=4 network.levels=1 network.blocks=1 "
    "network.residual=false train.epochs=2 train.batch_size=8 train.precision=float32 train.late_loss_start=1.0"
)
"""Settings of a run that takes seconds; a late loss would trace the training step of each fold a second time."""


LONGEST = (
    "test_end_to_end.py",
    "training/test_fit.py",
    "network/test_unet.py",
    "training/test_loop.py",
    "data/sources/kaggle/test_submissions.py",
    "test_notebooks.py",
    "training/test_pseudo_labels.py",
    "data/sources/kaggle/test_downloads.py",
    "training/test_pretraining.py",
    "test_student_command.py",
)
"""Test files that take longest, which the processes of ``make test`` begin with, so that they end at the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest test files first."""
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from visiting, again and again, the objects of the modules that are now imported.

    Keras and TensorFlow have 400,000 of them: a tenth of the processor time of ``training/test_loop.py``. The
    thresholds stay as they are: networks are cycles of references, and fewer collections would keep many in memory.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _float32() -> Iterator[None]:
    """Restore Keras' precision, which a network sets on a machine that computes in bfloat16."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


class Chain:
    """The command line on its own root folder, in this process, with empty figures.

    Drawing takes most of the time of a report; the figures of ``finished`` and of ``tests/reporting`` are real.
    """

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.printed = ""
        self.error = ""

    def __call__(self, *arguments: str, settings: str = TINY, dataset: str = "demo", experiment: str = "demo") -> int:
        """Run one command; what it printed is in ``printed`` and ``error``."""
        self._capsys.readouterr()
        common = ["--root", str(self.root), "--dataset", dataset, "--experiment", experiment]
        with pytest.MonkeyPatch.context() as patch:
            for module in (pages, leaderboard):
                patch.setattr(module, "drawing", lambda figure, caption: ("", caption))
            try:
                status = command_line.main([*arguments, *common, *(["--set", settings] if settings else [])])
            except SystemExit as exit_:
                status = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        self.printed, self.error = captured.out, captured.err
        return status


@pytest.fixture
def chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    """The command line on an empty root folder."""
    return Chain(tmp_path, capsys)


def answers(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The output of a network for images, as a NumPy array."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic tiles that a small network learns at once: bright discs on noise; every third tile has none.

    Returns:
        Images and masks, (count, 101, 101) uint8.
    """
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:101, :101]
    masks = np.zeros((count, 101, 101), np.uint8)
    for index in range(count):
        if index % 3:
            row, column, radius = draw.integers(20, 80), draw.integers(20, 80), draw.integers(15, 35)
            masks[index] = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    noise = draw.normal(90, 15, masks.shape)
    return np.clip(noise + 80 * masks, 0, 255).astype(np.uint8), masks


def noisy(
    masks: np.ndarray, seed: int, noise: float, *, rock: float = 78, salt: float = 178, patch: int = 6
) -> np.ndarray:
    """Synthetic probabilities of masks, with noise in square patches; the mean of several has less noise.

    Args:
        masks: (n, 101, 101) 0/1.
        seed: of the noise.
        noise: its standard deviation.
        rock: mean value without salt.
        salt: mean value of salt.
        patch: width of a patch in pixels.

    Returns:
        (n, 101, 101) uint8.
    """
    draw = np.random.default_rng(seed)
    patches = draw.normal(0, noise, (len(masks), -(-101 // patch), -(-101 // patch)))
    pixels = patches.repeat(patch, 1).repeat(patch, 2)[:, :101, :101]
    return np.clip(masks * float(salt - rock) + rock + pixels, 0, 255).astype(np.uint8)


def replace_array(artifact: Artifact, content: np.ndarray) -> None:
    """Make an artifact of one array again with other content."""
    result = Freshness().manifest(artifact)
    with artifacts.updating(artifact) as folder:
        np.save(folder / artifact.outputs[0], content)
        artifacts.commit(artifact, result.result if result else {}, 0.0)


def replace_predictions(layout: Layout) -> None:
    """Make the predictions of all folds again as useful networks would; test tiles have the masks of ``blobs``."""
    truth = np.load(layout.tiles_folder / "train_masks.npy", allow_pickle=False)
    fold_of_tile = fold_of_tiles(layout.split_folder)
    for fold in layout.folds:
        replace_array(train.out_of_fold(layout, fold), noisy(truth[fold_of_tile == fold], fold, 45))
        replace_array(predict.artifact(layout, fold), noisy(blobs(12)[1], fold, 45))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with a finished chain, made once for all test processes; tests copy it before they change it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the processes have in common
    root = folder / "finished"
    with FileLock(folder / "finished.lock"):
        if not (root / "printed.txt").is_file():
            ran = command("submit", root=root)
            assert ran.returncode == 0, ran.stderr
            (root / "printed.txt").write_text(ran.stdout)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "root")
    return tmp_path / "root"


def flip_a_bit(path: Path) -> None:
    """Damage a file in its last third, without a change of its size."""
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


HOLD = """
import sys
from pathlib import Path
from pipeline.artifacts import Artifact, locked
name, stage, folder, manifest = sys.argv[1:]
with locked(Artifact(name, stage, Path(folder), manifest, ())):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(artifact: Artifact) -> Iterator[tuple[int, Callable[[], None]]]:
    """Another process holds an artifact's lock; yields its process id, and what makes it release the lock."""

    def release() -> None:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(60)

    asked = [artifact.name, artifact.stage, str(artifact.folder), artifact.manifest_name]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, *asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid, release
    finally:
        holder.kill()
        holder.wait(60)


@cache
def own_experiments() -> frozenset[str]:
    """Experiments that a user has added to this checkout: files which git does not track."""
    listed = subprocess.run(
        ["git", "ls-files", "--others", "*.toml"], cwd=EXPERIMENTS, capture_output=True, text=True, check=False
    )
    return frozenset(Path(name).stem for name in listed.stdout.splitlines())


def command(*arguments: str, root: Path, settings: str = TINY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, *common(root, settings)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=Path(__file__).parent.parent,
    )


def common(root: Path, settings: str = TINY) -> list[str]:
    return ["--root", str(root), "--dataset", "demo", "--experiment", "demo", "--set", settings]
