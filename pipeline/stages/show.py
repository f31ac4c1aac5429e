"""Draw one tile: image, truth, prediction."""

from __future__ import annotations

import difflib
import json

import numpy as np

from pipeline import artifacts, blend, figures, tables, tiles
from pipeline.artifacts import Artifact
from pipeline.config import UserError
from pipeline.folds import fold_of_tiles
from pipeline.progress import say
from pipeline.stages import Context


def run(context: Context, name: str) -> bool:
    """Write ``tiles/<id>.png`` beside the experiment's artifacts, and say what is known of the tile.

    A labelled tile is shown with the out-of-fold prediction of the fold that did not see it, a test tile with the mean
    of the folds that have predicted it; where nothing is trained, with neither.

    Returns:
        Whether there was a prediction of it to show.

    Raises:
        UserError: the tiles are not prepared, there is none of that name, or what is to be shown is damaged.
    """
    tree = context.tree
    if context.ledger.state(tree.validation(context.folds)).done:
        _must_be_whole(tree.validation(context.folds))
    if not context.ledger.state(tree.tiles).done:
        raise UserError(f"the tiles of {tree.dataset} are not prepared yet: make prepare DATASET={tree.dataset}")
    _must_be_whole(tree.tiles)
    store = tiles.load(tree.tiles.folder)
    threshold = _threshold(context)
    found = None
    if (labelled := np.flatnonzero(store.train["id"] == name)).size:
        at = int(labelled[0])
        image, truth, about = store.train_images[at], store.train_masks[at], store.train.iloc[at]
        fold = _fold(context, at)
        said = f"labelled, depth {about['depth']} ft, coverage {about['coverage']:.1%}"
        if fold is not None and context.ledger.state(tree.out_of_fold(fold)).done:
            _must_be_whole(tree.out_of_fold(fold))
            place = int((fold_of_tiles(tree.split.folder)[:at] == fold).sum())
            found = np.load(tree.fold_folder(fold) / "oof.npy", mmap_mode="r", allow_pickle=False)[place]
            said += f", fold {fold}" + _score(context, name)
    elif (test := np.flatnonzero(store.test["id"] == name)).size:
        at, truth = int(test[0]), None
        image, about = store.test_images[at], store.test.iloc[at]
        folds = [fold for fold in tree.folds if context.ledger.state(tree.test(fold)).done]
        _must_be_whole(*(tree.test(fold) for fold in folds))
        paths = [tree.test(fold).folder / f"fold-{fold}.npy" for fold in folds]
        if paths:
            stores = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
            found = blend.average(stores, at, at + 1)[0]
        said = f"test tile, depth {about['depth']} ft" + (f", mean of {len(folds)} folds" if folds else "")
    else:
        near = difflib.get_close_matches(name, [*store.train["id"], *store.test["id"]], 1)
        hint = f"; did you mean {near[0]}?" if near else f", for example {store.train['id'].iloc[0]}"
        raise UserError(f"{tree.dataset} has no tile {name!r}{hint}")
    if found is not None:
        predicted = f"{(found / 255 > threshold).mean():.1%} predicted at {threshold:.3f}"
        said += f", {predicted}"
    png = figures.tiles_picture(
        image[None],
        None if truth is None else truth[None],
        None if found is None else found[None],
        threshold,
        [name],
    )
    path = tree.experiment_folder / "tiles" / f"{name}.png"
    artifacts.write_bytes(path, png)
    say(f"{name}: {said}")
    say(f"  {path}")
    return found is not None


def _must_be_whole(*artifacts_used: Artifact) -> None:
    """Compare with hashes what is about to be shown."""
    for each in artifacts_used:
        if fault := artifacts.discard_if_damaged(each):
            stage = "train" if each.stage == "oof" else each.stage
            raise UserError(f"{each.name}: {fault}; make {stage} makes it again")


def _fold(context: Context, at: int) -> int | None:
    if not context.ledger.state(context.tree.split).done:
        return None
    return int(fold_of_tiles(context.tree.split.folder)[at])


def _threshold(context: Context) -> float:
    try:
        path = context.tree.validation(context.folds).folder / "choice.json"
        return float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError):
        return 0.5


def _score(context: Context, name: str) -> str:
    try:
        told = tables.read(
            context.tree.validation(context.folds).folder / "scores.csv", dtype={"id": str}, keep_default_na=False
        ).set_index("id")
        return f", score {told.loc[name, 'score']:.1f}, IoU {told.loc[name, 'iou']:.3f}"
    except (OSError, KeyError, ValueError):
        return ""
