"""From tiles to salt probabilities: batches of bounded size, test-time augmentation.

Probabilities are kept as uint8, where v stands for v / 255: a step of 0.004 is finer than any threshold that could
be chosen, and 18,000 tiles then take 184 MB a fold instead of 734.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from pipeline.artifacts import CHUNK
from pipeline.augment import Frame


def probabilities(
    model: keras.Model,
    frame: Frame,
    images: np.ndarray,
    out: np.ndarray,
    flip: bool = True,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Salt probabilities of tiles.

    Args:
        model: maps (batch, size, size, 1) float32 to logits (batch, output, output, 1).
        frame: fit between tile and network.
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        out: (n, 101, 101) uint8 array to fill, may be memory-mapped; value v stands for v / 255.
        flip: average with the prediction of the left-right flipped tile.
        batch: tiles per step.
        progress: called with the number of tiles done after each chunk.

    Returns:
        ``out``.
    """
    for start in range(0, len(images), CHUNK):
        chunk = np.asarray(images[start : start + CHUNK])
        found = _once(model, frame, chunk, batch)
        if flip:
            found = (found + _once(model, frame, chunk[:, :, ::-1], batch)[:, :, ::-1]) / 2
        out[start : start + len(chunk)] = np.rint(found * 255).astype(np.uint8)
        if progress is not None:
            progress(start + len(chunk))
    return out


def _once(model: keras.Model, frame: Frame, images: np.ndarray, batch: int) -> np.ndarray:
    """Probabilities of tiles as they are: (n, 101, 101) uint8 -> (n, 101, 101) float32 in 0..1."""
    inputs = frame.to_input(images)
    count = len(inputs)
    batch = min(batch, max(count, 1))
    # A smaller last batch would make the backend compile the network once more; it is filled up instead.
    missing = -count % batch
    if missing:
        inputs = np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)])
    logits = np.concatenate(
        [
            keras.ops.convert_to_numpy(model.predict_on_batch(inputs[at : at + batch]))
            for at in range(0, len(inputs), batch)
        ]
    )[:count, :, :, 0].astype(np.float32)
    # exp of a large number would overflow; beyond 30 the probability is 0 or 1 to float32 anyway.
    return frame.to_tile(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
