"""Pixel weights for the loss ``weighted_border``."""

from __future__ import annotations

import cv2
import numpy as np


def border_weights(mask: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Pixel weights that teach a network to separate bodies (Ronneberger et al. 2015, section 3).

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), where d1 and d2 are the distances from a background pixel
    to the nearest and the second nearest body. The paper's cells touch each other, salt bodies rarely do: with a single
    body d2 is d1, which weights the rim around it; without salt only w_c remains. w_c balances the classes: each pixel
    weighs 0.5 divided by its class' share of the tile, limited to 0.5 to 2.

    Args:
        mask: (h, w) uint8, 0 or 1.
        w0: height of the border term.
        sigma: its width in pixels.

    Returns:
        (h, w) float32.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    share = float(mask.mean())
    balance = np.where(mask > 0, _class_weight(share), _class_weight(1 - share)).astype(np.float32)
    bodies, labels = cv2.connectedComponents(mask)  # label 0 is the background
    if bodies < 2:
        return balance
    # Distances to the nearest pixel of each body. With a 5 x 5 mask they are exact to a few hundredths of a pixel;
    # OpenCV's precise distances differ in the last bits from call to call, and batches must be reproducible.
    distances = np.stack(
        [cv2.distanceTransform((labels != body).astype(np.uint8), cv2.DIST_L2, 5) for body in range(1, bodies)]
    )
    nearest = np.sort(distances, axis=0)[:2]
    d1, d2 = nearest[0], nearest[-1]
    border = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return (balance + border * (mask == 0)).astype(np.float32)


def _class_weight(share: float) -> float:
    return float(np.clip(0.5 / max(share, 1e-6), 0.5, 2.0))
