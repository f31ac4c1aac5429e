"""The epochs of one fold: train, score and save each."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import keras
import numpy as np

from pipeline.config import LossName, TrainSettings, UserError
from pipeline.config.phases import epochs_before
from pipeline.network.averaging import StochasticAverage, arrays_of, averaged
from pipeline.network.schedules import plateau_rate
from pipeline.system.environment import option
from pipeline.system.progress import Epoch
from pipeline.training.batches import Batches
from pipeline.training.checkpoint import Checkpoint, remove_other_backups
from pipeline.training.compile import compile_network
from pipeline.training.epoch import train_one_epoch
from pipeline.training.fold import FoldRun
from pipeline.training.history import History, best_row, stops_early
from pipeline.training.pseudo_labels import PseudoLabels
from pipeline.training.snapshots import is_kept, kept_epochs
from pipeline.training.tensorboard import TensorBoardLog
from pipeline.training.validation import Validation


class TrainingLoop:
    """Trains the epochs of a fold that its checkpoint does not hold yet.

    Args:
        run: of the fold; the sections ``train`` and ``network`` of its settings are read.
        model: compiled with ``train.loss``; its optimizer is built.
        batches: training tiles.
        validation: scores the network after each epoch.
        checkpoint: state of the training.
        pseudo: pseudo-labels, or None.
    """

    def __init__(
        self,
        run: FoldRun,
        model: keras.Model,
        batches: Batches,
        validation: Validation,
        checkpoint: Checkpoint,
        pseudo: PseudoLabels | None = None,
    ) -> None:
        self._run, self._train, self._network = run, run.settings.train, run.settings.network
        self._model, self._batches, self._validation = model, batches, validation
        self._checkpoint, self._pseudo = checkpoint, pseudo
        self._loss = self._train.loss
        self._history: History = []
        self._average = StochasticAverage(self._train, [])

    def train(self) -> History:
        """Train the remaining epochs; return the history of all.

        Raises:
            UserError: the loss is not finite, or the package tensorboard is missing.
        """
        run, train, history = self._run, self._train, self._resume()
        log = TensorBoardLog(run.folder / "tensorboard", history) if train.tensorboard else None
        for epoch in range(len(history), train.epochs):
            if stops_early(history, train.early_stopping):
                break
            started = time.monotonic()
            history.append(self._train_epoch(epoch))
            if log is not None:
                log.add(history[-1])
            self._checkpoint.save(self._model, history, kept_epochs(train, history), self._average.arrays)
            remove_other_backups(run.folder, self._checkpoint.folder)
            run.callback.epoch(self._progress(time.monotonic() - started))
        return history

    def _resume(self) -> History:
        """Restore the checkpoint; the history of the epochs that are done."""
        self._checkpoint.folder.mkdir(parents=True, exist_ok=True)
        self._history, mean = self._checkpoint.restore(self._model)
        self._average = StochasticAverage(self._train, mean)
        if self._history:
            self._run.callback.resumed(self._run.fold, len(self._history))
        elif (kept := self._checkpoint.set_aside()) is not None:
            self._run.callback.unusable(self._run.fold, kept)
        return self._history

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """Train and score one epoch; its row of the history."""
        started, cpu_started = time.monotonic(), time.process_time()
        self._set_loss(loss_of_epoch(self._train, epoch))
        if self._train.schedule == "plateau":
            self._model.optimizer.learning_rate = plateau_rate(self._train, [row["score"] for row in self._history])
        test_tiles = self._test_tiles(epoch)
        self._batches.start(epoch, weighted=self._loss == "weighted_border", others=test_tiles)
        learning_rate = float(keras.ops.convert_to_numpy(self._model.optimizer.learning_rate))
        loss = train_one_epoch(self._model, self._batches, epoch, partial(self._report_step, epoch))
        trained = time.monotonic() - started
        if not math.isfinite(loss):
            lower = f"train.learning_rate={self._train.learning_rate / 3:.2g}"
            raise UserError(
                f"fold {self._run.fold}, epoch {epoch + 1}: the loss or a weight is not finite. Start the fold "
                f"again with a lower learning rate, for example {option('set', lower)}"
            )
        score = self._score(epoch)
        row = {
            "epoch": epoch + 1,
            "loss": round(loss, 6),
            "score": round(score, 6),
            "learning_rate": learning_rate,
            "seconds": round(trained, 2),
            "seconds_scoring": round(time.monotonic() - started - trained, 2),
            "seconds_cpu": round(time.process_time() - cpu_started, 2),
        }
        return row if self._pseudo is None else row | {"pseudo_labels": 0 if test_tiles is None else len(test_tiles)}

    def _set_loss(self, loss: LossName) -> None:
        if loss != self._loss:
            compile_network(self._model, self._model.optimizer, loss, self._network)
            self._loss = loss

    def _test_tiles(self, epoch: int) -> np.ndarray | None:
        """Rows of the test tiles of an epoch; None where it has none."""
        if self._pseudo is None or epoch >= epochs_before(self._run.settings.student.end, self._train.epochs):
            return None
        return self._pseudo.rows(epoch)

    def _averaged(self) -> AbstractContextManager[None]:
        """The weights' moving average in place of the weights, with the statistics of ``train.ema_statistics``."""
        return averaged(self._model, self._batches.images if self._train.ema_statistics == "recomputed" else None)

    def _score(self, epoch: int) -> float:
        """Score the network, or the average of its weights; save the weights that are scored if they are to be kept."""
        self._average.add(self._model, epoch)
        with self._averaged(), self._average.in_place(self._model, self._batches.images):
            score = self._validation.score(self._model)
            if is_kept(self._train, self._history, epoch, score):
                self._checkpoint.save_best(arrays_of(self._model.weights), epoch)
        return score

    def _report_step(self, epoch: int, step: int) -> None:
        self._run.callback.step(self._run.fold, epoch, step, len(self._batches))

    def _progress(self, seconds: float) -> Epoch:
        """The last epoch, for the callback."""
        last, best = self._history[-1], best_row(self._history)
        return Epoch(
            self._run.fold,
            last["epoch"],
            self._train.epochs,
            last["loss"],
            last["score"],
            best["score"],
            best["epoch"],
            seconds,
            tuple(self._history),
        )


def loss_of_epoch(train: TrainSettings, epoch: int) -> LossName:
    """The loss of an epoch, counted from 0: ``loss``, or ``late_loss`` after ``late_loss_start`` of the epochs."""
    if train.late_loss and epoch >= epochs_before(train.late_loss_start, train.epochs):
        return train.late_loss
    return train.loss
