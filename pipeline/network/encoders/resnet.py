"""The stages of a ResNet-34."""

from __future__ import annotations

from pipeline.config import NetworkSettings
from pipeline.config.geometry import RESNET34
from pipeline.network.blocks import residual_block, scse
from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Tensor


def resnet_encoder(
    factory: LayerFactory, settings: NetworkSettings, x: Tensor, finest: list[Tensor], widths: list[int]
) -> list[Tensor]:
    """The stages of a ResNet-34 after its stem, for ``se_resnet34`` with squeeze and excitation in each block.

    Args:
        factory: of the network's layers.
        settings: ``encoder``, ``encoder_attention``, ``levels``, ``dropout``.
        x: (batch, h, w, c), the output of the stem.
        finest: features of the stem that are finer than ``x``.
        widths: channels of each level.

    Returns:
        ``levels + 1`` features, (batch, h / 2**k, w / 2**k, width of the stage).
    """
    features = list(finest)
    squeeze = settings.encoder == "se_resnet34"
    stages = settings.levels + 1 - len(finest)
    for stage in range(stages):
        width = widths[len(features)]
        for number in range(RESNET34[stage]):
            stride = 2 if stage and not number else 1  # the first block of a stage halves the image
            name = f"stage{stage + 1}_block{number + 1}"
            x = residual_block(factory, x, width, name, stride=stride, squeeze=squeeze)
        if settings.encoder_attention == "scse":
            x = scse(factory, x, f"stage{stage + 1}")
        features.append(x)
        if stage < stages - 1:
            x = factory.dropout(x, settings.dropout, stage, f"stage{stage + 1}_dropout")
    return features
