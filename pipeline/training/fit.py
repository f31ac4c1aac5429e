"""Train one fold: what runs inside a fold, whichever process it runs in."""

from __future__ import annotations

import csv
import errno
import io
import math
import shutil
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from pipeline.artifacts import backup_name
from pipeline.config import InputSettings, LossName, NetworkSettings, Settings, TrainSettings, UserError
from pipeline.config.geometry import output_size
from pipeline.data.input_transform import InputTransform
from pipeline.network.averaging import StochasticAverage, arrays_of, averaged
from pipeline.network.device import gpus, jit, precision, workers
from pipeline.network.encoders.applications import without_pretrained_weights
from pipeline.network.losses import make_loss
from pipeline.network.optimizers import make_optimizer
from pipeline.network.schedules import cycle_edges, plateau_rate
from pipeline.network.unet import build_unet
from pipeline.prediction.predictor import Ensemble, Predictor
from pipeline.scoring import metric, thresholding
from pipeline.system import disk
from pipeline.system.atomic import write_bytes, write_text
from pipeline.system.progress import Epoch, FoldCallback
from pipeline.training.batches import Batches
from pipeline.training.checkpoint import Checkpoint, epochs_done
from pipeline.training.files import weight_files
from pipeline.training.pseudo_labels import VIEWS, PseudoLabels
from pipeline.training.tensorboard import Board

History = list[dict[str, Any]]
PSEUDO = ".pseudo"
"""Folder of the tiles with pseudo-labels, in that of the backup; nothing of it is needed to go on."""


def make_network(settings: Settings, seed: int = 0, pretrained: bool = False) -> tuple[keras.Model, InputTransform]:
    """The network of an experiment with fresh weights, and the fit between it and a tile.

    Args:
        settings: of the experiment.
        seed: of the weights.
        pretrained: let the encoder start from ``network.weights``; who reads trained weights in has no use for it.
    """
    keras.config.set_dtype_policy(precision(settings.train.precision))
    transform = InputTransform(settings.input, output_size(settings.network, settings.input.size))
    network = settings.network if pretrained else without_pretrained_weights(settings.network)
    return build_unet(network, settings.input.size, settings.input.channels, seed), transform


def compile_network(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: LossName = "bce",
    network: NetworkSettings | None = None,
) -> None:
    """Compile with the settings that are fast on this backend and machine; without an optimizer, to predict only.

    ``network`` tells the loss which answers the model gives beside the mask.
    """
    if optimizer is None:
        model.compile(jit_compile=jit())
    else:
        model.compile(optimizer=optimizer, loss=make_loss(loss, network), jit_compile=jit())


def predictor(settings: Settings) -> Predictor:
    """What predicts with the networks of these settings, with fresh weights; the same one for each fold.

    It is traced once in a process, which takes seconds, and then takes over one network's weights after another's.

    Raises:
        UserError: a view of ``predict.tta`` is impossible with this input.
    """
    found = _predictor(settings.input, settings.network, settings.train.precision, settings.predict.batch_size)
    # Before hours of training, not after them.
    found.check(settings.predict.tta)
    return found


@lru_cache(maxsize=2)
def _predictor(
    transform: InputSettings, network: NetworkSettings, wanted: str, batch: int, exact: bool = False
) -> Predictor:
    train = msgspec.structs.replace(TrainSettings(), precision=wanted)
    return Predictor(*make_network(Settings(input=transform, network=network, train=train)), batch, exact)


def load_network(settings: Settings, weights: Path) -> tuple[keras.Model, InputTransform]:
    """The network of an experiment with trained weights, ready to predict.

    Raises:
        UserError: the weights cannot be read or belong to another network.
    """
    model, transform = make_network(settings)
    _read_weights(model, weights)
    return model, transform


def trained_predictor(settings: Settings, *weights: Path) -> Predictor | Ensemble:
    """The predictor of an experiment, with trained weights taken in.

    Args:
        settings: of the experiment.
        weights: files of weights; of several, the mean of their probabilities is what is predicted.

    Raises:
        UserError: the weights cannot be read or belong to another network.
    """
    if len(weights) > 1:
        train, batch = settings.train, settings.predict.batch_size
        exact = _predictor(settings.input, settings.network, train.precision, batch, exact=True)
        networks = []
        for path in weights:
            _read_weights(exact.model, path)
            networks.append(exact.model.get_weights())
        return Ensemble(exact, networks)
    found = predictor(settings)
    _read_weights(found.model, weights[0])
    found.take(found.model)
    return found


def _read_weights(model: keras.Model, weights: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns where a file lacks some of the layers, and leaves their random weights in place.
            warnings.simplefilter("error")
            model.load_weights(weights)
    except (OSError, ValueError, KeyError, RuntimeError, Warning) as error:
        if disk.failure(error):
            raise  # the weights may be whole
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{weights}: cannot be loaded into this network ({reason}); train the fold again") from None


class _H5(io.BytesIO):
    """A file in memory that Keras takes for one of weights: it looks at the name before it writes."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def serialized(model: keras.Model) -> memoryview:
    """The weights of a network as the content of a ``.weights.h5`` file.

    HDF5 reports a failed write of a file only from a destructor, and Keras not at all, so that a full disk would leave
    a damaged file and no error.
    """
    stream = _H5()
    model.save_weights(stream)
    return stream.getbuffer()


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape != other.shape or one.dtype != other.dtype or one.tobytes() != other.tobytes()


def fit_fold(
    settings: Settings,
    images: np.ndarray,
    masks: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    fold: int,
    folder: Path,
    identity: str,
    callback: FoldCallback | None = None,
    depths: np.ndarray | None = None,
    unlabelled: np.ndarray | None = None,
    unlabelled_depths: np.ndarray | None = None,
    before_overwrite: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Train one fold, resuming where a killed run stopped, and leave its best weights and history.

    The weights that are kept are those of the epoch with the best competition score on the validation tiles (at the
    plain threshold of 0.5); with ``train.ema_momentum`` or ``train.swa_start`` an average is what is scored and kept.
    With ``train.snapshots`` the best epoch of each of the last cycles is kept (a snapshot ensemble, Huang et al. 2017,
    https://arxiv.org/abs/1704.00109, who keep the last epoch of each).

    Args:
        settings: of the experiment.
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        masks: (n, 101, 101) uint8 0/1.
        training: (t,) int, rows to train on.
        validation: (v,) int, rows to score on.
        fold: number of the fold; it is part of the seed.
        folder: where the weights (``artifacts.weight_files``) and ``history.csv`` go, and the backup while the run
            lasts.
        identity: fingerprint of settings and inputs; a backup with another one is not used. Of those the one that has
            come furthest stays, so that a training with other settings may still go on after this one.
        callback: told of progress.
        depths: (n,) float32 in feet, for a network that sees them.
        unlabelled: (m, 101, 101) uint8 test tiles for ``train.pseudo_fraction``, may be memory-mapped.
        unlabelled_depths: (m,) float32 in feet, likewise.
        before_overwrite: called once, when all epochs are done, before the first file of an earlier training is
            replaced.

    Returns:
        Plain values: epochs, best epoch and its score, epochs whose weights are kept, seconds of training, parameters,
        tiles per second.

    Raises:
        UserError: the loss is not a finite number any more.
    """
    callback = callback or FoldCallback()
    train = settings.train
    seed = (train.seed * 1000 + fold) % 2**32  # what NumPy, and with it Keras, takes
    keras.utils.clear_session()
    predictor(settings)  # made before the network, whatever becomes of the fold
    # After the predictor, which draws random numbers only when it is first made in a process.
    keras.utils.set_random_seed(seed)
    model, transform = make_network(settings, seed, pretrained=True)
    # Read once: validation tiles are looked at after every epoch.
    validation_set = ValidationSet(
        images[validation], masks[validation], None if depths is None else depths[validation]
    )
    checkpoint = Checkpoint(folder / backup_name(identity), identity)
    with ExitStack() as stack:
        pseudo = None
        if train.pseudo_fraction and unlabelled is not None and len(unlabelled):
            both = None if depths is None or unlabelled_depths is None else (depths, unlabelled_depths)
            tiles = round(train.pseudo_fraction * len(training))
            if not tiles:
                raise UserError(
                    f"train.pseudo_fraction = {train.pseudo_fraction} of {len(training)} tiles is none; take more, or 0"
                )
            room = checkpoint.folder / PSEUDO
            stack.callback(shutil.rmtree, room, ignore_errors=True)  # also where there is no room for all of it
            pseudo = PseudoLabels(images, masks, unlabelled, tiles, train.pseudo_keep_fraction, seed, room, both)
            images, masks, depths = pseudo.images, pseudo.masks, pseudo.depths
        batches = Batches(
            images,
            masks,
            training,
            transform,
            settings.augment,
            train.batch_size,
            seed,
            workers=workers(train.workers),
            depths=depths,
        )
        stack.callback(batches.close)
        compile_network(model, make_optimizer(train, len(batches)), train.loss, settings.network)
        model.optimizer.build(model.trainable_variables)
        history = _epochs(settings, model, batches, validation_set, fold, folder, checkpoint, callback, pseudo)
    return _export_best(model, train, checkpoint, history, folder, len(batches) * batches.batch, before_overwrite)


@dataclass(frozen=True)
class ValidationSet:
    """The tiles that a fold is scored on."""

    images: np.ndarray
    masks: np.ndarray
    depths: np.ndarray | None


def _epochs(
    settings: Settings,
    model: keras.Model,
    batches: Batches,
    validation_set: ValidationSet,
    fold: int,
    folder: Path,
    checkpoint: Checkpoint,
    callback: FoldCallback,
    pseudo: PseudoLabels | None,
) -> History:
    """Train the epochs that are not done yet; score and save after each. The history of all."""
    train, compiled, answer = settings.train, settings.train.loss, predictor(settings)
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    history, mean = checkpoint.restore(model)
    average = StochasticAverage(train, mean)
    if history:
        callback.resumed(fold, len(history))
    board = Board(folder / "tensorboard", history) if train.tensorboard else None
    found = np.empty(validation_set.images.shape, np.uint8)
    for epoch in range(len(history), train.epochs):
        if _stops_early(history, train.early_stopping):
            break
        started, busy = time.monotonic(), time.process_time()
        wanted = _loss_of(train, epoch)
        if wanted != compiled:
            compile_network(model, model.optimizer, wanted, settings.network)
            compiled = wanted
        if train.schedule == "plateau":
            model.optimizer.learning_rate = plateau_rate(train, [row["score"] for row in history])
        others = None
        if pseudo is not None and epoch >= max(1, math.ceil(train.pseudo_start * train.epochs)):
            with averaged(model):
                answer.take(model)
                others = pseudo.renew(epoch, partial(_labelled, answer))
        batches.start(epoch, weighted=wanted == "weighted_border", others=others)
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        loss = one_epoch(model, batches, epoch, partial(_tell, callback, fold, epoch, len(batches)))
        trained = time.monotonic() - started
        if not math.isfinite(loss):
            raise UserError(
                f"fold {fold}, epoch {epoch + 1}: the loss is {loss}; the epochs before it are kept. "
                f"Lower the learning rate, for example --set train.learning_rate={train.learning_rate / 3:.2g}"
            )
        average.add(model, epoch)
        with averaged(model), average.in_place(model, batches.images):
            answer.take(model)
            answer(validation_set.images, found, ("plain",), depths=validation_set.depths)
            score = metric.score(thresholding.apply(found, 0.5, 0), validation_set.masks)
            rivals = _rivals(train, history, epoch)
            if rivals is not None and score > max(rivals, default=-math.inf):
                checkpoint.save_best(arrays_of(model.weights), epoch)
        history.append(
            {
                "epoch": epoch + 1,
                "loss": round(loss, 6),
                "score": round(score, 6),
                "learning_rate": rate,
                "seconds": round(trained, 2),
                "seconds_scoring": round(time.monotonic() - started - trained, 2),
                "seconds_cpu": round(time.process_time() - busy, 2),
            }
        )
        if pseudo is not None:
            history[-1]["pseudo_labels"] = 0 if others is None else len(others)
        if board is not None:
            board.epoch(history[-1])
        checkpoint.save(model, history, [row["epoch"] - 1 for row in _kept(train, history)], average.arrays)
        _remove_other_backups(folder, checkpoint.folder)
        top = _best(history)
        callback.epoch(
            Epoch(
                fold,
                epoch + 1,
                train.epochs,
                loss,
                score,
                top["score"],
                top["epoch"],
                time.monotonic() - started,
            )
        )
    return history


def _tell(callback: FoldCallback, fold: int, epoch: int, steps: int, step: int) -> None:
    callback.step(fold, epoch, step, steps)


def _labelled(answer: Predictor, images: np.ndarray, depths: np.ndarray | None) -> np.ndarray:
    """Salt probabilities of test tiles, (k, 101, 101) uint8."""
    return answer(images, np.empty(images.shape, np.uint8), VIEWS, depths=depths)


def one_epoch(
    model: keras.Model, batches: Batches, epoch: int, told: Callable[[int], object] = lambda step: None
) -> float:
    """Train on every batch once, in order.

    Args:
        model: compiled.
        batches: of a started epoch.
        epoch: the first is 0.
        told: called with the number of steps whose batches the backend has taken so far, which may be one or two ahead.

    Returns:
        The mean loss.
    """
    if keras.backend.backend() == "jax" or gpus():
        # The device works ahead of Python here, and ``fit`` lets it; ``train_on_batch`` would wait for the loss at each
        # step, and so would ``fit`` with a callback for steps. From a plain generator it takes the batches in their
        # order, which Keras' own workers do not keep.
        options = {"initial_epoch": epoch, "epochs": epoch + 1, "steps_per_epoch": len(batches)}
        found = model.fit(_told(batches, told), shuffle=False, verbose=0, **options)
        told(len(batches))
        return float(found.history["loss"][-1])
    # On a CPU ``fit`` would put tf.data between the batches and the step, whose threads get into the network's way:
    # on two cores some of its epochs took as long as one core needs. This loop never did.
    losses = []
    for step, batch in enumerate(batches.ahead(), start=1):
        losses.append(model.train_on_batch(*batch, return_dict=True)["loss"])
        told(step)
    return float(np.mean(losses))


def _told(batches: Batches, told: Callable[[int], object]) -> Iterator[tuple[np.ndarray, ...]]:
    """The batches of an epoch; when the next one is asked for, the step before it was given to the device."""
    for step, batch in enumerate(batches.ahead()):
        if step:
            told(step)
        yield batch


def _loss_of(train: TrainSettings, epoch: int) -> LossName:
    """The loss of an epoch, the first is 0."""
    late = train.late_loss and epoch >= math.ceil(train.late_loss_start * train.epochs)
    return train.late_loss if late and train.late_loss else train.loss


def _best(history: History) -> dict[str, Any]:
    """The first of the best epochs."""
    return max(history, key=lambda row: (row["score"], -row["epoch"]))


def _contests(train: TrainSettings) -> list[range]:
    """Epochs, the first is 0, of each of which the best is kept: all of them, or those of each of the last cycles."""
    if train.snapshots == 1:
        return [range(train.epochs)]
    return [range(*edges) for edges in pairwise(cycle_edges(train))][-train.snapshots :]


def _rivals(train: TrainSettings, history: History, epoch: int) -> list[float] | None:
    """Scores that an epoch has to surpass to be kept; None where it is not to be kept at all."""
    contest = next((epochs for epochs in _contests(train) if epoch in epochs), None)
    return None if contest is None else [row["score"] for row in history if row["epoch"] - 1 in contest]


def _kept(train: TrainSettings, history: History) -> History:
    """The epochs whose weights are kept, as far as there are any yet."""
    rows = [[row for row in history if row["epoch"] - 1 in epochs] for epochs in _contests(train)]
    return [_best(each) for each in rows if each]


def _stops_early(history: History, patience: int) -> bool:
    return bool(patience and history) and history[-1]["epoch"] - _best(history)["epoch"] >= patience


def _export_best(
    model: keras.Model,
    train: TrainSettings,
    checkpoint: Checkpoint,
    history: History,
    folder: Path,
    tiles: int,
    before_overwrite: Callable[[], object] | None,
) -> dict[str, Any]:
    """Write the fold's outputs from the checkpoint, which alone is the truth, and say what came of it."""
    kept, names = _kept(train, history), weight_files(train)
    networks = [checkpoint.load_best(row["epoch"] - 1) for row in kept]
    if before_overwrite is not None:
        before_overwrite()
    # Keras would write the optimizer's state beside the weights, three times as large, which prediction has no use for.
    model.optimizer = None
    for network, name in zip(networks, names, strict=True):
        for weight, value in zip(model.weights, network, strict=True):
            weight.assign(value)
        write_bytes(folder / name, serialized(model))
        # By the same way as prediction reads it: only then may a manifest name it.
        _read_weights(model, folder / name)
        if any(map(_differ, arrays_of(model.weights), network)):
            raise OSError(errno.EIO, "Other weights were read back than were written", str(folder / name))
    for old in folder.glob("*.weights.h5"):
        if old.name not in names:  # of a run that kept another number of snapshots
            old.unlink()
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, list(history[0]))
    table.writeheader()
    table.writerows(history)
    write_text(folder / "history.csv", stream.getvalue())
    seconds = sum(row["seconds"] for row in history)
    # The median: a first epoch holds the tracing of the network, another one that of the later loss.
    epoch = statistics.median(row["seconds"] for row in history)
    best = _best(kept)
    return {
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "score": best["score"],
        "kept_epochs": [row["epoch"] for row in kept],
        "seconds": round(seconds + sum(row["seconds_scoring"] for row in history), 1),
        # Of all cores together: other work on the machine, which makes the seconds more, leaves them as they are.
        # Of this process alone: with train.workers above 1, what the others do to prepare batches is not in it.
        "cpu_seconds": round(sum(row["seconds_cpu"] for row in history), 1),
        "parameters": model.count_params(),
        "tiles_per_second": round(tiles / max(epoch, 1e-9), 1),
        "backend": keras.backend.backend(),
        "precision": model.dtype_policy.name if hasattr(model, "dtype_policy") else "float32",
    }


def _remove_other_backups(folder: Path, own: Path) -> None:
    """Of trainings with other settings, leave the backup of the one that has come furthest; the latest of several."""
    others = [path for path in folder.glob("backup*") if path != own]
    if len(others) > 1:
        others.sort(key=lambda path: (epochs_done(path), path.stat().st_mtime_ns))
        for path in others[:-1]:
            shutil.rmtree(path, ignore_errors=True)
