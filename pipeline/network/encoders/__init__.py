"""Contracting paths other than the U-Net's: ResNet-34 and the backbones of ``keras.applications``.

Each returns the features that the expansive path uses as skips, from fine to coarse, and the bottom last. Each feature
has half the height and width of the one before it.
"""
