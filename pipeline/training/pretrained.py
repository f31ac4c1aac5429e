"""Start a fold's network from pretrained weights."""

from __future__ import annotations

from pathlib import Path

import keras

from pipeline.config import Settings
from pipeline.network.averaging import arrays_of
from pipeline.network.masked import contracting_layers, masked_network, shared_layers
from pipeline.prediction.load import load_weights


def start_from(model: keras.Model, path: Path, settings: Settings) -> None:
    """Overwrite the initial weights of a fold's network with pretrained ones, except those of its heads.

    Args:
        model: from ``build_unet``, with the same sections ``input`` and ``network`` as the pretrained network.
        path: ``.weights.h5`` file of the pretrained network.
        settings: ``network``; ``pretrain.layers``.

    Raises:
        UserError: the weights cannot be loaded.
    """
    encoder = settings.pretrain.layers == "encoder"
    taken = contracting_layers(model, settings.network) if encoder else shared_layers(model)
    replaced = {id(weight) for layer in taken for weight in layer.weights}
    # The file is loaded whole; what is not to be taken from it gets its initial values back.
    kept = [variable for variable in model.variables if id(variable) not in replaced]
    values = arrays_of(kept)
    load_weights(masked_network(model), path, again="run make clean-pretrain, then the same command again")
    for variable, value in zip(kept, values, strict=True):
        variable.assign(value)
