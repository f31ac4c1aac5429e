"""Threshold the probabilities, write and check the CSV, and write its receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout, results
from pipeline.config import TILE, UserError
from pipeline.config.datasets import dataset
from pipeline.data.files import SOLUTION
from pipeline.stages import mosaic, predict, prepare, provenance, validate
from pipeline.stages.stage import Context, Stage, of_members
from pipeline.submission.receipts import MARK
from pipeline.system import atomic
from pipeline.system.progress import Progress

if TYPE_CHECKING:
    from pipeline.data.tiles import Tiles

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


def artifact(layout: Layout, folds: Iterable[int]) -> Artifact:
    """The CSV; its manifest is the receipt."""
    folds = tuple(folds)
    return Artifact(
        name="submit",
        stage="submit",
        folder=layout.submission_folder,
        manifest_name=f"{layout.experiment}.json",
        outputs=(f"{layout.experiment}.csv",),
        settings={"folds": list(folds), "message": layout.settings.submit.message},
        inputs=(
            prepare.artifact(layout),
            validate.artifact(layout, folds),
            *of_members(layout, lambda member: [predict.artifact(member, fold) for fold in folds]),
            *mosaic.inputs_of_rules(layout),
        ),
        version=4,
        result=results.Submitted,
        lock_wait=600.0,
        experiment=layout.experiment,
    )


def make(context: Context) -> None:
    """Write ``submissions/<dataset>/<experiment>.csv`` and its receipt."""
    from pipeline.data import tiles
    from pipeline.submission import csv_file

    layout, folds = context.layout, context.folds
    receipt = artifact(layout, folds)
    started, seen = time.monotonic(), artifacts.inputs_now(receipt)
    store = tiles.load(layout.tiles_folder)
    validated = validate.artifact(layout, folds)
    result = context.manifest(validated).result
    masks = _masks(layout, folds, validated, store)
    ids = store.test["id"].tolist()
    salt = 0

    def counted(chunks: Iterator[Any]) -> Iterator[Any]:
        nonlocal salt
        for chunk in chunks:
            salt += int(chunk.sum())
            yield chunk

    with artifacts.updating(receipt):
        with atomic.writing(receipt.path) as path:
            with Progress("encode", len(ids), "tiles") as progress:
                csv_file.write(path, ids, counted(masks(progress=progress)))
            # Decode the file again: what Kaggle will read is what was predicted.
            with_salt = csv_file.check(path, ids, masks())
        mark = artifacts.measure(receipt.path).sha256[:MARK]
        found = {
            **result,
            "message": message(layout, folds, result["cv"]["score"], mark),
            "tiles": len(ids),
            "tiles_with_salt": with_salt,
            "salt": salt / max(len(ids) * TILE**2, 1),
            "versions": _versions(),
            "git_commit": provenance.git_commit(),
        }
        if dataset(layout.dataset).answers_known:
            found["score"] = _score_against(layout.raw_folder / SOLUTION, ids, masks())
        artifacts.commit(receipt, found, started, seen=seen)


def _masks(layout: Layout, folds: Sequence[int], validated: Artifact, store: Tiles) -> Callable[..., Iterator[Any]]:
    """The predicted masks of all test tiles, chunk by chunk, as often as they are asked for."""
    import numpy as np

    from pipeline.submission.masks import predicted_masks, read_choice

    postprocessing, votes = read_choice(validated.folder / "choice.json")
    # Members without a vote are not read; the others are averaged as they are read, a chunk of tiles at a time.
    parts = [(member, fold) for member in layout.members for fold in folds if votes[member.experiment]]
    paths = [predict.artifact(member, fold).path for member, fold in parts]
    found = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    weights = [votes[member.experiment] for member, _ in parts]
    neighbors = mosaic.labelled_neighbors(layout, store.test["id"].tolist(), store)
    return partial(predicted_masks, found, store.test_images, postprocessing, weights, neighbors=neighbors)


def message(layout: Layout, folds: Sequence[int], score: float, mark: str) -> str:
    """The line that goes with the CSV to Kaggle; by the mark at its end an upload is known again."""
    some = "" if len(folds) == len(layout.folds) else f" (folds {','.join(map(str, folds))} of {len(layout.folds)})"
    # Kaggle shows one line; within it, the text stays as it was typed.
    own = " ".join(layout.settings.submit.message.splitlines()).strip()
    return f"{layout.experiment}{some} CV {score:.4f}{' ' + own if own else ''} {mark}"


def _score_against(solution: Path, ids: list[str], masks: Any) -> float:
    """Score of predicted masks against known answers."""
    from pipeline.data import rle, tables
    from pipeline.scoring import metric

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
    from importlib import metadata  # slow to import

    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


STAGE = Stage(
    name="submit",
    help="write and check the CSV and its receipt, upload it to Kaggle (dataset tgs)",
    artifacts=lambda context: [artifact(context.layout, context.folds)],
    make=make,
    blended=True,
)
