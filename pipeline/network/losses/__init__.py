"""Losses on logits.

Each takes ``y_true`` (batch, h, w, 1), 0 or 1 or a student's soft label in between, and ``y_pred`` (batch, h, w, 1)
logits, and computes in float32. It returns a value per pixel (batch, h, w) or per tile (batch,); Keras applies sample
weights and takes the mean.
"""

from pipeline.network.losses.registry import make_loss

__all__ = ["make_loss"]
