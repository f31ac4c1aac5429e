"""The U-Net with another last layer, which fills in masked pixels, and the layers of its two paths."""

from __future__ import annotations

import keras

from pipeline.config import NetworkSettings

FILLED = "filled"
"""Name of the layer that replaces all heads."""
HEAD_SEED = 1
"""Of its initial weights."""


def masked_network(model: keras.Model) -> keras.Model:
    """The network with one 1x1 convolution in place of its heads, for masked pretraining.

    Args:
        model: from ``build_unet``.

    Returns:
        A model of the same layers, with the same weights, except those of the heads: the mask's logits, the empty-tile
        head and deep supervision. Input as before -> (batch, out, out, 1) float32, the grey values of the standardised
        tile.
    """
    logits = model.get_layer("logits")
    initializer = keras.initializers.GlorotUniform(seed=HEAD_SEED)
    head = type(logits).from_config(logits.get_config() | {"kernel_initializer": initializer, "name": FILLED})
    filled = head(logits.input)
    return keras.Model(model.input, filled, name="masked")


def shared_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers of a network that its ``masked_network`` has as well: all but the heads."""
    return list(keras.Model(model.input, model.get_layer("logits").input).layers)


def contracting_layers(model: keras.Model, settings: NetworkSettings) -> list[keras.Layer]:
    """The layers of the contracting path, with those at the bottom.

    They are the layers that the expansive path's first layer and its skips are computed by.

    Args:
        model: from ``build_unet``.
        settings: that it was built with.
    """
    names = {layer.name for layer in model.layers}
    # An interpolation comes after a convolution that sets its number of channels.
    upsample = f"up{settings.levels}_upsample"
    first = f"{upsample}_conv" if f"{upsample}_conv" in names else upsample
    skips = [model.get_layer(f"up{level}_concat").input[1] for level in range(1, settings.levels + 1)]
    return list(keras.Model(model.input, [model.get_layer(first).input, *skips]).layers)
