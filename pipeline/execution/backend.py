"""Import the code that runs inside a fold, and with it Keras and its backend."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from pipeline.config import UserError
from pipeline.system.backends import BACKENDS, is_installed, select


def load_fold_module() -> ModuleType:
    """Import ``pipeline.execution.fold``, and with it the framework.

    TensorFlow writes a page of notes to standard error when it starts and first looks for a GPU, from C++, at any log
    level. They would break the progress bar, so standard error is closed meanwhile; a failure is still an exception.

    Raises:
        UserError: the backend that the user has set is unknown or not installed.
    """
    _check_backend(select())
    # TensorFlow would warn that each fold's network is traced again.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _quiet_stderr():
        from pipeline.execution import fold
        from pipeline.network import device

        device.gpus()
    return fold


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise UserError(f"KERAS_BACKEND = {name}: take {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if not is_installed(name):
        how = "make .venv/ready-jax installs it" if name == "jax" else f"{sys.executable} -m pip install {name} does it"
        raise UserError(f"KERAS_BACKEND = {name}: the package {name} is not installed; {how}, or take another backend")


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discard everything that is written to the file descriptor of standard error until the block ends."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
