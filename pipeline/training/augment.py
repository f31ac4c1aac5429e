"""Random augmentation of training tiles.

Every random draw is a function of seed, epoch and tile, not of the worker or the order. So a run is reproducible, and a
resumed run continues with the same tiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks the package index for a newer version

import albumentations as albu
import cv2
import numpy as np

from pipeline.config import TILE, AugmentSettings

CUTOUT_GREY = 128
"""Grey value of cutout's square. The paper fills it with 0 after normalization, which is the mean (DeVries and Taylor
2017, https://arxiv.org/abs/1708.04552); 128 is what the input scaling of a network with norms maps to 0."""


class Augmenter:
    """The training policy, for one thread: each call reseeds it, so threads must not share it.

    Args:
        settings: probabilities and ranges.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self._policy = albu.Compose(_policy(settings))

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, draw: tuple[int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment one tile.

        Args:
            image: (101, 101) uint8 grey values.
            mask: (101, 101) uint8, 1 where salt is.
            draw: seed, epoch and index of the tile; they determine the result.

        Returns:
            Image and mask of the same shapes and dtypes; the mask holds 0 and 1 only.
        """
        self._policy.set_random_seed(int(np.random.SeedSequence(draw).generate_state(1)[0]))
        result = self._policy(image=image, mask=mask)
        return result["image"], result["mask"]

    def augment_rows(
        self, images: np.ndarray, masks: np.ndarray, rows: np.ndarray, seed: int, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment some tiles.

        Args:
            images: (n, 101, 101) uint8 grey values, may be memory-mapped.
            masks: (n, 101, 101) uint8, 1 where salt is.
            rows: (m,) int, rows of both.
            seed: of the run.
            epoch: counted from 0.

        Returns:
            Images and masks, (m, 101, 101) uint8.
        """
        results = [self(images[row], masks[row], (seed, epoch, int(row))) for row in rows]
        return np.stack([image for image, _ in results]), np.stack([mask for _, mask in results])


def _policy(settings: AugmentSettings) -> list[albu.BasicTransform]:
    """The steps with a probability above 0. Borders are mirrored: black ones would look like the artifacts of tiles."""
    border = cv2.BORDER_REFLECT_101
    geometry: list[tuple[float, albu.BasicTransform]] = [
        (settings.flip, albu.HorizontalFlip(p=settings.flip)),
        (
            settings.crop * settings.crop_border,
            albu.Compose(
                [
                    albu.PadIfNeeded(
                        TILE + 2 * settings.crop_border, TILE + 2 * settings.crop_border, border_mode=border
                    ),
                    albu.RandomCrop(TILE, TILE),
                ],
                p=settings.crop,
            ),
        ),
        (
            settings.resized_crop,
            albu.RandomResizedCrop(
                (TILE, TILE),
                scale=settings.resized_crop_area,
                ratio=(1.0, 1.0),
                # Not INTER_NEAREST: it rounds to the corner of a pixel, which shifts the mask against the image.
                mask_interpolation=cv2.INTER_NEAREST_EXACT,
                p=settings.resized_crop,
            ),
        ),
        (
            settings.affine,
            albu.Affine(
                translate_percent=(-settings.shift, settings.shift),
                scale=settings.scale,
                rotate=(-settings.rotate, settings.rotate),
                shear=(-settings.shear, settings.shear),
                border_mode=border,
                p=settings.affine,
            ),
        ),
        (
            settings.elastic,
            albu.ElasticTransform(
                alpha=settings.elastic_alpha, sigma=settings.elastic_sigma, border_mode=border, p=settings.elastic
            ),
        ),
        (
            settings.grid,
            albu.GridDistortion(distort_limit=settings.grid_limit, border_mode=border, p=settings.grid),
        ),
    ]
    values: list[tuple[float, albu.BasicTransform]] = [
        (
            settings.intensity,
            albu.RandomBrightnessContrast(settings.brightness, settings.contrast, p=settings.intensity),
        ),
        (
            settings.gamma,
            albu.RandomGamma(tuple(100 * limit for limit in settings.gamma_limit), p=settings.gamma),
        ),
        (
            # Last, so that no other step moves or changes the square.
            settings.cutout,
            albu.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(settings.cutout_size, settings.cutout_size),
                hole_width_range=(settings.cutout_size, settings.cutout_size),
                fill=CUTOUT_GREY,
                fill_mask=None,
                p=settings.cutout,
            ),
        ),
    ]
    return [step for probability, step in geometry + values if probability > 0]
