"""TensorFlow's own interface, for operations that Keras does not expose."""

from __future__ import annotations

from types import ModuleType

import keras


def is_tensorflow() -> bool:
    """Whether Keras runs on TensorFlow."""
    return keras.backend.backend() == "tensorflow"


def tensorflow() -> ModuleType:
    """The module ``tensorflow``; call it only where ``is_tensorflow()``, since it may not be installed otherwise."""
    import tensorflow as module

    return module
