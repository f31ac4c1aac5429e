"""Draw one tile: image, truth, prediction."""

from __future__ import annotations

import difflib
import json

import numpy as np

from pipeline import artifacts
from pipeline.artifacts import Artifact
from pipeline.config import UserError
from pipeline.data import tables, tiles
from pipeline.data.folds import fold_of_tiles
from pipeline.reporting.tile_images import tiles_picture
from pipeline.scoring import blend
from pipeline.stages import predict, prepare, split, train, validate
from pipeline.stages.command_line import command_line
from pipeline.stages.stage import Context
from pipeline.system import atomic
from pipeline.system.progress import echo


def run(context: Context, name: str) -> bool:
    """Write ``tiles/<id>.png`` beside the experiment's artifacts, and print a line about the tile.

    A labelled tile is shown with the out-of-fold prediction of the fold that did not see it, a test tile with the mean
    of the folds that have predicted it; where nothing is trained, with neither.

    Returns:
        Whether a prediction of it was found.

    Raises:
        UserError: the tiles are not prepared, no tile has that name, or a file to be shown is damaged.
    """
    layout = context.layout
    if context.freshness.state(validate.artifact(layout, context.folds)).done:
        _must_be_whole(validate.artifact(layout, context.folds))
    if not context.freshness.state(prepare.artifact(layout)).done:
        raise UserError(
            f"the tiles of {layout.dataset} are not prepared with these settings: {command_line(context, 'prepare')}"
        )
    _must_be_whole(prepare.artifact(layout))
    store = tiles.load(layout.tiles_folder)
    threshold = _threshold(context)
    found = None
    if (labelled := np.flatnonzero(store.train["id"] == name)).size:
        at = int(labelled[0])
        image, truth, about = store.train_images[at], store.train_masks[at], store.train.iloc[at]
        fold = _fold(context, at)
        line = f"labelled, depth {about['depth']} ft, coverage {about['coverage']:.1%}"
        if fold is not None and context.freshness.state(train.out_of_fold(layout, fold)).done:
            _must_be_whole(train.out_of_fold(layout, fold))
            place = int((fold_of_tiles(layout.split_folder)[:at] == fold).sum())
            found = np.load(train.out_of_fold(layout, fold).path, mmap_mode="r", allow_pickle=False)[place]
            line += f", fold {fold}" + _score(context, name)
    elif (test := np.flatnonzero(store.test["id"] == name)).size:
        at, truth = int(test[0]), None
        image, about = store.test_images[at], store.test.iloc[at]
        folds = [fold for fold in layout.folds if context.freshness.state(predict.artifact(layout, fold)).done]
        _must_be_whole(*(predict.artifact(layout, fold) for fold in folds))
        paths = [predict.artifact(layout, fold).path for fold in folds]
        if paths:
            stores = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
            found = blend.average(stores, at, at + 1)[0]
        line = f"test tile, depth {about['depth']} ft" + (f", mean of {len(folds)} folds" if folds else "")
    else:
        if not name:
            raise UserError(f"name a tile: make show TILE={store.train['id'].iloc[0]}")
        near = difflib.get_close_matches(name, [*store.train["id"], *store.test["id"]], 1)
        hint = f"; did you mean {near[0]}?" if near else f", for example {store.train['id'].iloc[0]}"
        raise UserError(f"{layout.dataset} has no tile {name!r}{hint}")
    if found is not None:
        predicted = f"{(found / 255 > threshold).mean():.1%} predicted at {threshold:.3f}"
        line += f", {predicted}"
    png = tiles_picture(
        image[None],
        None if truth is None else truth[None],
        None if found is None else found[None],
        threshold,
        [name],
    )
    path = layout.experiment_folder / "tiles" / f"{name}.png"
    atomic.write_bytes(path, png)
    echo(f"{name}: {line}")
    echo(f"  {path}")
    return found is not None


def _must_be_whole(*artifacts_used: Artifact) -> None:
    """Compare with hashes what is about to be shown."""
    for each in artifacts_used:
        if error := artifacts.discard_if_damaged(each):
            raise UserError(f"{each.name}: {error}; make {each.stage} makes it again")


def _fold(context: Context, at: int) -> int | None:
    if not context.freshness.state(split.artifact(context.layout)).done:
        return None
    return int(fold_of_tiles(context.layout.split_folder)[at])


def _threshold(context: Context) -> float:
    try:
        path = validate.artifact(context.layout, context.folds).folder / "choice.json"
        return float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError):
        return 0.5


def _score(context: Context, name: str) -> str:
    try:
        scores = tables.read(
            validate.artifact(context.layout, context.folds).folder / "scores.csv",
            dtype={"id": str},
            keep_default_na=False,
        ).set_index("id")
        return f", score {scores.loc[name, 'score']:.1f}, IoU {scores.loc[name, 'iou']:.3f}"
    except (OSError, KeyError, ValueError):
        return ""
