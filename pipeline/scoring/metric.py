"""The competition's metric: how well predicted masks match the true ones.

A tile's score is the share of the thresholds 0.50, 0.55 ... 0.95 that the intersection over union (IoU) of predicted
and true mask strictly exceeds. A tile without salt scores 1 if nothing is predicted in it and 0 otherwise, and a tile
with salt in which nothing is predicted scores 0. Source: the Evaluation page of the TGS Salt Identification Challenge,
https://www.kaggle.com/competitions/tgs-salt-identification-challenge/overview/evaluation.
"""

from __future__ import annotations

import numpy as np

THRESHOLDS = np.arange(10, 20) / 20
"""(10,) float64, the IoU thresholds 0.50 to 0.95."""


# ---- Scores of masks ------------------------------------------------------------------------------------------------


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of each tile.

    Args:
        predicted: (n, height, width) bool or integer; every value but 0 is salt.
        truth: the same.

    Returns:
        (n,) float64; 1 where both masks are empty.
    """
    predicted_area, truth_area, intersection = mask_areas(predicted, truth)
    return _ratio(intersection, predicted_area + truth_area - intersection)


def dice(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice coefficient of each tile: twice the intersection over the sum of the areas.

    Args:
        predicted: (n, height, width) bool or integer; every value but 0 is salt.
        truth: the same.

    Returns:
        (n,) float64; 1 where both masks are empty.
    """
    predicted_area, truth_area, intersection = mask_areas(predicted, truth)
    return _ratio(2 * intersection, predicted_area + truth_area)


def tile_scores(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The competition's score of each tile.

    Args:
        predicted: (n, height, width) bool or integer; every value but 0 is salt.
        truth: the same.

    Returns:
        (n,) float64, multiples of 0.1 from 0 to 1.
    """
    return scores_from_areas(*mask_areas(predicted, truth))


def score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The competition's score: the mean of ``tile_scores``.

    Raises:
        ValueError: there are no tiles.
    """
    if not len(truth):
        raise ValueError("there are no tiles to score")
    return float(tile_scores(predicted, truth).mean())


# ---- Scores of areas ------------------------------------------------------------------------------------------------


def scores_from_areas(predicted: np.ndarray, truth: np.ndarray, intersection: np.ndarray) -> np.ndarray:
    """The competition's score of each tile from areas in pixels, (n,) integer each; see ``tile_scores``."""
    return thresholds_exceeded(predicted, truth, intersection) / len(THRESHOLDS)


def thresholds_exceeded(predicted: np.ndarray, truth: np.ndarray, intersection: np.ndarray) -> np.ndarray:
    """How many of the ten IoU thresholds each tile exceeds.

    Computed in integers: the IoU exceeds k / 20 when 20 * intersection > k * union, which holds for all k up to
    (20 * intersection - 1) // union. In floating point an IoU of exactly 0.55 could count as more.

    Args:
        predicted: (n,) integer, predicted area in pixels.
        truth: (n,) integer, true area in pixels.
        intersection: (n,) integer, pixels in both.

    Returns:
        (n,) int64, 0 to 10; 10 where both masks are empty.
    """
    union = predicted.astype(np.int64) + truth - intersection
    largest = (20 * intersection.astype(np.int64) - 1) // np.maximum(union, 1)
    return np.where(union > 0, np.clip(largest - 9, 0, 10), 10)


def empty_confusion(predicted_area: np.ndarray, truth_area: np.ndarray) -> np.ndarray:
    """Confusion matrix of tiles with and without salt.

    Args:
        predicted_area: (n,) predicted area; every value above 0 is salt.
        truth_area: the same of the true mask.

    Returns:
        (2, 2) int64 numbers of tiles, rows by truth and columns by prediction, without salt first.
    """
    cell = 2 * (np.asarray(truth_area) > 0) + (np.asarray(predicted_area) > 0)
    return np.bincount(cell, minlength=4).reshape(2, 2)


def empty_accuracy(predicted_area: np.ndarray, truth_area: np.ndarray) -> float:
    """Share of the tiles that are correctly classified as with or without salt; arguments as ``empty_confusion``."""
    return float(np.mean((np.asarray(predicted_area) > 0) == (np.asarray(truth_area) > 0)))


# ---- Areas of masks -------------------------------------------------------------------------------------------------


def mask_area(masks: np.ndarray) -> np.ndarray:
    """Area of each mask in pixels: (n,) int64 from (n, height, width) bool or integer."""
    return _count_bits(_packed(masks))


def mask_areas(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted area, true area and intersection of each tile, (n,) int64 in pixels.

    Args:
        predicted: (n, height, width) bool or integer; every value but 0 is salt.
        truth: the same.

    Raises:
        ValueError: the shapes differ.
    """
    require_same_shape(predicted, truth)
    first, second = _packed(predicted), _packed(truth)
    return _count_bits(first), _count_bits(second), _count_bits(first & second)


def require_same_shape(predicted: np.ndarray, truth: np.ndarray) -> None:
    """Raise a ValueError where predicted and true masks differ in shape."""
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks have shape {predicted.shape}, true ones {truth.shape}")


def _packed(masks: np.ndarray) -> np.ndarray:
    """Masks as bits, (n, bytes) uint8: an eighth of the memory, and counted a byte at a time."""
    return np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)


def _count_bits(packed: np.ndarray) -> np.ndarray:
    return np.bitwise_count(packed).sum(axis=1, dtype=np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
