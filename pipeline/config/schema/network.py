"""Section ``network``: the architecture."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import Count, FractionBelowOne, Natural, NonNegative, Section

OwnEncoder = Literal["unet", "resnet34", "se_resnet34"]
Application = Literal[
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetLarge",
    "NASNetMobile",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
]
"""Backbones of ``keras.applications``."""


class NetworkSettings(Section, frozen=True):
    """The U-Net; see ``pipeline/network/unet.py``."""

    encoder: OwnEncoder | Application = "unet"
    """The contracting path: the U-Net's own, a ResNet-34 (also with squeeze and excitation), or a backbone of
    ``keras.applications``."""
    weights: Annotated[str, Meta(max_length=4096)] = "none"
    """Initial weights of a ``keras.applications`` backbone: ``none``, ``imagenet`` (Keras downloads them once), or the
    path of a file. Only the path is compared: save other weights under another name, otherwise finished folds are not
    trained again."""
    width: Count = 32
    """Channels of the first level; each level doubles them."""
    width_max: Count = 256
    """Largest number of channels of a level; a value below ``width`` counts as ``width``."""
    levels: Annotated[int, Meta(ge=1, le=6)] = 3
    """Number of poolings on the contracting path, and of upsamplings on the expansive path."""
    blocks: Annotated[int, Meta(ge=1, le=8)] = 2
    """Blocks of two convolutions on each level of the U-Net's own contracting path; the expansive path has one."""
    stem: Literal["none", "stride2", "stride4"] = "stride2"
    """``stride2`` halves the image before the first level and restores it after the last: a quarter of the
    computation. ``stride4`` also pools after the first convolution, as ResNets do."""
    stem_width: Natural = 0
    """Channels of the stem's convolution, with ``stride4`` also those of the expansive path at that size; 0 takes
    ``width``."""
    full_resolution: Literal["convolution", "logits"] = "convolution"
    """How a network with a stem returns to full resolution: by a ``convolution`` of the upsampled features and the
    image, or by a transposed convolution that computes the ``logits`` from the features of half the resolution."""
    residual: bool = True
    """Add the input of each block to its output (He et al. 2016, https://arxiv.org/abs/1512.03385)."""
    norm: Literal["none", "batch", "group"] = "batch"
    """Normalization after each convolution: ``batch``, ``group`` (does not depend on the batch size), or ``none``."""
    dropout: Annotated[tuple[FractionBelowOne, ...], Meta(min_length=1, max_length=8)] = (0.1,)
    """Dropout rate after each pooling, first level first; the last value repeats. After the pooling of a stem of stride
    4 there is none, and its rate is skipped; a ResNet has dropout after each stage but the last, with the first rate
    after the first stage. A backbone of ``keras.applications`` has its own blocks and dropout; ``dropout``, ``blocks``
    and ``residual`` do not change it."""
    decoder_dropout: Annotated[tuple[FractionBelowOne, ...], Meta(min_length=1, max_length=8)] = (0.1,)
    """Dropout rate after each concatenation, deepest level first; the last value repeats."""
    dropout_kind: Literal["element", "spatial"] = "spatial"
    """``element`` drops single values, ``spatial`` whole feature maps."""
    kernel_initializer: Literal["he_normal", "he_uniform", "glorot_uniform", "glorot_normal"] = "he_normal"
    """Initial values of the convolutions, by Keras' names."""
    padding: Literal["same", "valid"] = "same"
    """``same`` pads each convolution, so that the output has the size of the input; ``valid`` does not pad and crops
    the skip connections, as the U-Net of 2015."""
    upsampling: Literal["transposed", "bilinear", "nearest"] = "transposed"
    """How the expansive path doubles the size: by a transposed convolution, or by bilinear or nearest-neighbour
    interpolation after a 1x1 convolution."""
    upsampling_kernel: Literal[2, 3] = 2
    """Kernel size of the transposed convolution."""
    skip_kernel: Literal[1, 3] = 3
    """Kernel size of the convolution that reduces upsampled features and skip to the level's channels. Only residual
    networks have it."""
    attention: Literal["none", "scse"] = "scse"
    """``scse``: channel and spatial attention on each level of the expansive path."""
    encoder_attention: Literal["none", "scse"] = "none"
    """The same on each level of the contracting path. A backbone of ``keras.applications`` is left unchanged; the
    attention is on those of its features that the expansive path gets."""
    context: Literal["none", "pyramid", "dilated"] = "none"
    """Module at the bottom, between the two paths: ``pyramid`` pools the features over grids of 1, 2, 3 and 6 cells a
    side (PSPNet), ``dilated`` applies dilated convolutions side by side (ASPP)."""
    hypercolumn: bool = True
    """The last convolution gets the output of every level of the expansive path, not only of the finest."""
    hypercolumn_join: Literal["concatenate", "add"] = "concatenate"
    """How the levels of ``hypercolumn`` are joined: ``concatenate``, or ``add``, which has fewer operations."""
    hypercolumn_dropout: FractionBelowOne = 0.0
    """Dropout rate of the concatenated levels of ``hypercolumn``, of the kind ``dropout_kind``."""
    deep_supervision: NonNegative = 0.1
    """Weight of the loss at each coarser level of the expansive path, of which one level without a stem has none; 0
    turns it off."""
    deep_supervision_tiles: Literal["all", "salt"] = "all"
    """Tiles with the losses of ``deep_supervision``: ``all``, or only those with ``salt``."""
    empty_head: NonNegative = 0.1
    """Weight of the loss of a head that classifies tiles as with or without salt; 0 turns it off."""
    empty_gate: Literal["logit", "none", "features"] = "logit"
    """What the head of ``empty_head`` does to the mask: ``logit`` adds the tile's logit, where it is negative, to each
    pixel's at prediction; ``none`` leaves the mask unchanged; ``features`` passes the head's features to the last
    convolution, in training too."""
