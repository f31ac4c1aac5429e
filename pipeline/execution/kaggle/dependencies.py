"""What a kernel has to install: from the internet, or from a private dataset of wheels where it has no internet."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import UserError, fingerprint
from pipeline.execution.kaggle.api import KernelApi
from pipeline.execution.kaggle.watch import persistently, poll
from pipeline.execution.kaggle.wheel import requirements
from pipeline.system.progress import echo

PYTHONS = ("3.11", "3.12", "3.13")
"""Versions of Python that the wheels are for, as the package allows them: Kaggle's image has one of them."""
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64", "any")
_NOT_NEEDED = ("kaggle",)
"""A kernel's tiles are mounted."""
_OF_THE_IMAGE = ("tensorflow",)
"""Too large for a dataset of wheels, and built for the image's CUDA."""


def kernel_requirements() -> list[str]:
    """What the package needs in a kernel."""
    return _without(requirements(), _NOT_NEEDED)


def wheels_dataset(api: KernelApi) -> str:
    """The private dataset with wheels of the dependencies, ``owner/slug``; made where there is none.

    Raises:
        UserError: the wheels cannot be downloaded here, or Kaggle does not take them.
    """
    wanted = _without(kernel_requirements(), _OF_THE_IMAGE)
    dataset = f"{api.owner}/tgs-salt-wheels-{fingerprint([wanted, PYTHONS, PLATFORMS])[:10]}"
    status = api.dataset_status(dataset)
    if status is None:
        with tempfile.TemporaryDirectory(prefix="tgs-salt-") as folder:
            echo("wheels: downloading those of the dependencies")
            download_wheels(wanted, Path(folder))
            files = [path for path in Path(folder).iterdir() if path.is_file()]
            size = sum(path.stat().st_size for path in files) / 1e6
            echo(f"wheels: uploading {len(files)}, {size:.0f} MB, as the private dataset {dataset}")
            api.create_dataset(dataset, Path(folder))
        status = "new"
    while status != "ready":
        if status in ("failed", "deleted"):
            raise UserError(
                f"dataset {dataset}: Kaggle could not make it; remove it on https://www.kaggle.com/datasets/{dataset}, "
                "and run the same command again, or leave NO_INTERNET out"
            )
        time.sleep(poll())
        status = persistently(lambda: api.dataset_status(dataset)) or "new"
    return dataset


def download_wheels(wanted: Sequence[str], folder: Path) -> None:
    """Download the wheels of packages, and of what they need, for the machines of Kaggle.

    Raises:
        UserError: pip failed.
    """
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    for version in PYTHONS:
        ran = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder),
             "--only-binary=:all:", "--python-version", version, *platforms, *wanted],
            capture_output=True,
            text=True,
        )  # fmt: skip
        if ran.returncode:
            reason = ([line for line in ran.stderr.splitlines() if line.strip()] or ["no reason given"])[-1]
            raise UserError(
                f"the wheels for a kernel without internet cannot be downloaded ({reason.removeprefix('ERROR: ')}); "
                "check the network and run the same command again, or leave NO_INTERNET out"
            )


def _without(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    return [each for each in wanted if re.split(r"[^\w-]", each, maxsplit=1)[0].lower() not in names]
