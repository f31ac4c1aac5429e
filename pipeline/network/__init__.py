"""Networks, losses and optimizers: everything that is Keras and knows nothing of folds, files or stages.

``classic`` is the article's U-Net in plain Keras and the place to start reading; ``unet`` builds the network of any
experiment from its settings.
"""
