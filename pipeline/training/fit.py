"""Train one fold."""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing
from typing import Any

import keras

from pipeline.config import TrainSettings
from pipeline.network.averaging import average_batch_norm_statistics
from pipeline.network.device import workers
from pipeline.network.optimizers import make_optimizer
from pipeline.prediction.build import make_network, make_predictor
from pipeline.training.batches import Batches
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.compile import compile_network
from pipeline.training.export import export_weights
from pipeline.training.files import weight_files
from pipeline.training.fold import FoldData, FoldRun
from pipeline.training.history import History, best_row, write_history
from pipeline.training.loop import TrainingLoop
from pipeline.training.pretrained import start_from
from pipeline.training.pseudo_labels import pseudo_labels
from pipeline.training.snapshots import kept_epochs, kept_rows
from pipeline.training.validation import Validation


def fit_fold(run: FoldRun, data: FoldData) -> dict[str, Any]:
    """Train one fold, from the first epoch or from where a killed run stopped, and write its best weights and history.

    The weights that are kept are those of the epoch with the best competition score on the validation tiles, at the
    threshold 0.5, or with ``train.keep = "last"`` those of the last epoch. With ``train.ema_momentum`` or
    ``train.swa_start`` the averaged weights are scored and kept. With ``train.snapshots`` one epoch of each of the last
    cycles is kept (a snapshot ensemble, Huang et al. 2017, https://arxiv.org/abs/1704.00109, who keep the last epoch of
    each).

    Args:
        run: settings, fold, folder, callback.
        data: tiles and rows of the fold.

    Returns:
        Plain values: epochs, best epoch and its score, epochs whose weights are kept, seconds of training, parameters,
        tiles per second, backend, precision.

    Raises:
        UserError: the loss is not finite, a setting does not fit the data or the network, or a package is missing.
        OSError: the disk failed.
    """
    settings, train = run.settings, run.settings.train

    # ---- Network, with the fold's seed; the predictor first, which refuses impossible views before the training ------
    keras.utils.clear_session()
    predictor = make_predictor(settings)
    keras.utils.set_random_seed(run.seed)
    model, transform = make_network(settings, run.seed, pretrained=True)
    if run.pretrained is not None:  # a checkpoint, if there is one, replaces these weights
        start_from(model, run.pretrained, settings)

    # ---- Train, score and save each epoch ---------------------------------------------------------------------------
    validation = Validation(predictor, data.tiles.rows(data.validation))
    checkpoint = Checkpoint(run.backup_folder, run.identity)
    with ExitStack() as stack:
        pseudo = stack.enter_context(pseudo_labels(settings.student, data, run.seed, checkpoint.folder))
        tiles = data.tiles if pseudo is None else pseudo.tiles
        batches = Batches(
            tiles, data.training, transform, settings.augment, train.batch_size, run.seed, workers(train.workers)
        )
        stack.enter_context(closing(batches))
        compile_network(model, make_optimizer(train, len(batches)), train.loss, settings.network)
        model.optimizer.build(model.trainable_variables)
        if train.ema_statistics == "averaged" and train.ema_momentum:
            average_batch_norm_statistics(model, train.ema_momentum)
        history = TrainingLoop(run, model, batches, validation, checkpoint, pseudo).train()

    # ---- Write the fold's files from the checkpoint -----------------------------------------------------------------
    networks = [checkpoint.load_best(epoch) for epoch in kept_epochs(train, history)]
    run.before_overwrite()
    export_weights(model, dict(zip(weight_files(train), networks, strict=True)), run.folder)
    write_history(run.folder, history)
    return _result(model, train, history, len(batches) * batches.batch)


def _result(model: keras.Model, train: TrainSettings, history: History, tiles: int) -> dict[str, Any]:
    """The values of the fold's manifest.

    Args:
        model: trained.
        train: settings of the training.
        history: of all epochs.
        tiles: trained on in each epoch.
    """
    kept = kept_rows(train, history)
    best = best_row(kept)
    seconds = sum(row["seconds"] + row["seconds_scoring"] for row in history)
    # The median: the first epoch includes the tracing of the network, another one the tracing of the late loss.
    epoch_seconds = statistics.median(row["seconds"] for row in history)
    return {
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "score": best["score"],
        "kept_epochs": [row["epoch"] for row in kept],
        "seconds": round(seconds, 1),
        # Of all cores together. Other work on the machine increases the seconds, but not these. Only of this process:
        # the worker processes that prepare batches (train.workers above 1) are not counted.
        "cpu_seconds": round(sum(row["seconds_cpu"] for row in history), 1),
        "parameters": model.count_params(),
        "tiles_per_second": round(tiles / max(epoch_seconds, 1e-9), 1),
        "backend": keras.backend.backend(),
        "precision": model.dtype_policy.name if hasattr(model, "dtype_policy") else "float32",
    }
