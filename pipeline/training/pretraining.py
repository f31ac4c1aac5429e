"""Pretraining without labels: the network learns to fill in masked blocks of tiles.

After SimMIM (Xie et al. 2022, https://arxiv.org/abs/2111.09886): masked blocks are replaced in the input, one layer
predicts their pixels, and the loss is the mean absolute error of the masked pixels alone. There a masked block is
replaced by a learned vector, and only an encoder is kept. Here it has the mean of its tile, the pixels to predict are
standardised by the tile's own mean and deviation, and the expansive path is trained and kept, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras

from pipeline.artifacts import backup_name
from pipeline.config import Settings, TrainSettings, UserError
from pipeline.network.averaging import arrays_of
from pipeline.network.device import jit
from pipeline.network.masked import masked_network
from pipeline.network.optimizers import make_optimizer
from pipeline.prediction.build import make_network
from pipeline.system.environment import option
from pipeline.system.progress import PretrainingCallback
from pipeline.training.checkpoint import Checkpoint, remove_other_backups
from pipeline.training.epoch import train_one_epoch
from pipeline.training.export import export_weights
from pipeline.training.files import PRETRAINED
from pipeline.training.history import History, write_history
from pipeline.training.masking import MaskedBatches, TileImages

EPOCH_VIEWS = 4000
"""Views between two checkpoints, about."""
WARMUP = 0.02
"""Fraction of the steps in which the learning rate rises."""
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class PretrainingRun:
    """One pretraining.

    Attributes:
        settings: the sections ``input``, ``network`` and ``pretrain``, and ``train.precision`` are read.
        folder: for the weights, ``history.csv`` and, during the pretraining, the backup.
        identity: fingerprint of settings and inputs. A run resumes only from a backup with the same identity.
        callback: receives the progress.
        before_overwrite: called once, before the first file of an earlier pretraining is replaced.
    """

    settings: Settings
    folder: Path
    identity: str
    callback: PretrainingCallback
    before_overwrite: Callable[[], object] = lambda: None


def fit_masked(run: PretrainingRun, parts: Sequence[TileImages]) -> dict[str, Any]:
    """Pretrain a network, from the first view or from where a killed run stopped; write its weights and history.

    Args:
        run: settings, folder, callback.
        parts: images of all tiles.

    Returns:
        Plain values: views, tiles, loss of the last epoch, seconds, parameters, backend, precision.

    Raises:
        UserError: the loss is not finite.
        OSError: the disk failed.
    """
    settings = run.settings.pretrain
    keras.utils.clear_session()
    keras.utils.set_random_seed(settings.seed)
    network, transform = make_network(run.settings, settings.seed, pretrained=True)
    model = masked_network(network)
    batches = MaskedBatches(parts, transform, settings, EPOCH_VIEWS)
    model.compile(
        # The mean over masked pixels: their weight is 1, that of all others 0.
        loss=keras.losses.MeanAbsoluteError(reduction="mean_with_sample_weight"),
        optimizer=_optimizer(settings.learning_rate, batches.steps),
        jit_compile=jit(),
    )
    model.optimizer.build(model.trainable_variables)
    history = _train(run, model, batches)
    run.before_overwrite()
    export_weights(model, {PRETRAINED: arrays_of(model.weights)}, run.folder)
    write_history(run.folder, history)
    return {
        "views": history[-1]["views"],
        "tiles": sum(len(part.images) for part in parts),
        "loss": history[-1]["loss"],
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "cpu_seconds": round(sum(row["seconds_cpu"] for row in history), 1),
        "parameters": model.count_params(),
        "backend": keras.backend.backend(),
        "precision": keras.config.dtype_policy().name,
    }


def _train(run: PretrainingRun, model: keras.Model, batches: MaskedBatches) -> History:
    """Train the epochs that the checkpoint does not hold yet; the history of all."""
    checkpoint = Checkpoint(run.folder / backup_name(run.identity), run.identity)
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    history, _ = checkpoint.restore(model)
    if history:
        run.callback.resumed(history[-1]["views"], batches.total)
    elif (kept := checkpoint.set_aside()) is not None:
        run.callback.unusable(kept)
    for epoch in range(len(history), batches.epochs):
        started, cpu_started = time.monotonic(), time.process_time()
        batches.start(epoch)
        learning_rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        loss = train_one_epoch(model, batches, epoch, partial(_report_step, run.callback, batches))
        if not math.isfinite(loss):
            rate = run.settings.pretrain.learning_rate
            raise UserError(
                f"pretrain, after {batches.views(0):,} views: the loss or a weight is not finite. Start again with a "
                f"lower learning rate, for example {option('set', f'pretrain.learning_rate={rate / 3:.2g}')}"
            )
        history.append(
            {
                "epoch": epoch + 1,
                "views": batches.views(),
                "loss": round(loss, 6),
                "learning_rate": learning_rate,
                "seconds": round(time.monotonic() - started, 2),
                "seconds_cpu": round(time.process_time() - cpu_started, 2),
            }
        )
        checkpoint.save(model, history, ())
        remove_other_backups(run.folder, checkpoint.folder)
        run.callback.epoch(batches.views(), batches.total, loss)
    return history


def _report_step(callback: PretrainingCallback, batches: MaskedBatches, step: int) -> None:
    callback.views(batches.views(step), batches.total)


def _optimizer(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with a short warm-up and half a cosine over all steps."""
    settings = TrainSettings(
        optimizer="adamw",
        learning_rate=learning_rate,
        weight_decay=WEIGHT_DECAY,
        schedule="cosine",
        epochs=1,
        warmup_epochs=WARMUP,
        min_lr_ratio=0.01,
        ema_momentum=0.0,
    )
    return make_optimizer(settings, steps)
