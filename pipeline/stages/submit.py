"""Cut the probabilities, write the CSV, check it, and leave a receipt."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.artifacts import SOLUTION, Layout
from pipeline.config import CHECKOUT, TILE, UserError
from pipeline.data import rle, tables, tiles
from pipeline.scoring import metric
from pipeline.stages import Context
from pipeline.submission import csv_file
from pipeline.submission.masks import predicted_masks, read_choice
from pipeline.submission.receipts import MARK
from pipeline.system.progress import Progress

LIBRARIES = (
    "albumentations",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "scikit-learn",
    "tensorflow",
    "jax",
)


def run(context: Context) -> None:
    """Write ``submissions/<dataset>/<experiment>.csv`` and its receipt."""
    layout, folds = context.layout, context.folds
    artifact = layout.submission(folds)
    started, seen = time.monotonic(), artifacts.inputs_now(artifact)
    store = tiles.load(layout.tiles.folder)
    validated = context.freshness.manifest(layout.validation(folds))
    assert validated is not None  # the road leads past it
    how, votes = read_choice(layout.validation(folds).folder / "choice.json")
    # Members without a vote are not read; the others are averaged as they are read, a chunk of tiles at a time.
    parts = [(member, fold) for member in layout.members for fold in folds if votes[member.experiment]]
    paths = [member.test(fold).folder / f"fold-{fold}.npy" for member, fold in parts]
    found = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    masks = partial(predicted_masks, found, store.test_images, how, [votes[member.experiment] for member, _ in parts])
    ids = store.test["id"].tolist()
    salt = 0

    def counted(chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal salt
        for chunk in chunks:
            salt += int(np.count_nonzero(chunk))
            yield chunk

    with artifacts.updating(artifact) as folder:
        with artifacts.writing(folder / artifact.outputs[0]) as path:
            with Progress("encode", len(ids), "tiles") as progress:
                csv_file.write(path, ids, counted(masks(progress=progress)))
            # ValidationSet against the tiles once more, from the file: what Kaggle will read is what was predicted.
            salted = csv_file.check(path, ids, masks())
        result = {
            **validated.result,
            "message": message(
                layout,
                folds,
                validated.result["cv"]["score"],
                artifacts.measure(folder / artifact.outputs[0]).sha256[:MARK],
            ),
            "tiles": len(ids),
            "tiles_with_salt": salted,
            "salt": salt / max(len(ids) * TILE**2, 1),
            "versions": _versions(),
            "git_commit": _git_commit(),
        }
        solution = layout.raw.folder / SOLUTION
        if layout.dataset == "demo":
            result["score"] = _score_against(solution, ids, masks())
        artifacts.commit(artifact, result, started, seen=seen)


def message(layout: Layout, folds: tuple[int, ...], score: float, mark: str) -> str:
    """The line that goes with the CSV to Kaggle; by the mark at its end an upload is known again."""
    some = "" if len(folds) == len(layout.folds) else f" (folds {','.join(map(str, folds))} of {len(layout.folds)})"
    # Kaggle shows one line; within it, the text stays as it was typed.
    own = " ".join(layout.settings.submit.message.splitlines()).strip()
    return f"{layout.experiment}{some} CV {score:.4f}{' ' + own if own else ''} {mark}"


def _score_against(solution: Path, ids: list[str], masks: Any) -> float:
    """Score of predicted masks against known answers."""
    try:
        answers = tables.read(solution, dtype=str, keep_default_na=False).set_index("id")["rle_mask"]
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{solution}: is not readable ({reason}); make the survey again: make clean-download") from None
    if not set(ids) <= set(answers.index):
        raise UserError(f"{solution}: it lacks answers of some tiles; make the survey again: make clean-download")
    start, total = 0, 0.0
    for chunk in masks:
        part = answers.loc[ids[start : start + len(chunk)]].tolist()
        total += float(metric.tile_scores(chunk, rle.decode(part, TILE, TILE)).sum())
        start += len(chunk)
    return total / start


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Commit of the code, with ``-dirty`` where files were changed; None outside a checkout."""
    if CHECKOUT is None:
        return None  # the folder around an installed package may be a checkout of something else
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
