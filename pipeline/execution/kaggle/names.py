"""Names of kernels: they say what a kernel trains, so that a kernel is found by its name alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import inputs_now
from pipeline.config import fingerprint
from pipeline.execution.task import FoldTask

MOST_FOLDS = 64
"""Of an experiment, each of which is a bit in a slug."""
_LONGEST_NAME = 12
"""Letters of the experiment's name in a slug; Kaggle allows 50 for the whole slug."""


@dataclass(frozen=True)
class Training:
    """What the kernels of an experiment have in common: the same settings and inputs."""

    dataset: str
    experiment: str
    folder: Path
    """Of the experiment, here."""
    identity: str
    """A hash of the settings and the inputs."""

    @property
    def prefix(self) -> str:
        """How the slugs of its kernels begin."""
        words = re.sub(r"[^a-z0-9]+", "-", self.experiment.lower())[:_LONGEST_NAME].strip("-")
        return f"salt-{words}-{self.identity}"

    @property
    def records(self) -> Path:
        """The folder of what is known here of its kernels."""
        return self.folder / "kaggle"


@dataclass(frozen=True)
class Kernel:
    """A kernel of a training."""

    owner: str
    """The user's name at Kaggle."""
    prefix: str
    folds: tuple[int, ...]
    run: int
    """1 for the first kernel of a training, 2 for the next."""

    @property
    def slug(self) -> str:
        """The kernel's name, which is its title, too. The folds are the bits of a hexadecimal number."""
        return f"{self.prefix}-{sum(1 << fold for fold in self.folds):x}-{self.run}"

    @property
    def ref(self) -> str:
        """The name by which Kaggle knows the kernel."""
        return f"{self.owner}/{self.slug}"

    @property
    def page(self) -> str:
        return f"https://www.kaggle.com/code/{self.ref}"


def training_of(task: FoldTask) -> Training:
    """The training that a fold belongs to."""
    folder = task.trained.folder.parent
    dataset = folder.relative_to(task.root).parts[1]
    what = [dataset, task.experiment, task.trained.version, task.trained.settings, inputs_now(task.trained)]
    return Training(dataset, task.experiment, folder, fingerprint(what)[:10])


def parse(ref: str, prefix: str) -> Kernel | None:
    """The kernel with a name; None where it is not one of the training with this prefix."""
    owner, _, slug = ref.partition("/")
    found = re.fullmatch(rf"{re.escape(prefix)}-([0-9a-f]{{1,{MOST_FOLDS // 4}}})-([1-9]\d{{0,3}})", slug)
    if not owner or found is None:
        return None
    bits = int(found[1], 16)
    return Kernel(owner, prefix, tuple(fold for fold in range(bits.bit_length()) if bits >> fold & 1), int(found[2]))


def next_run(known: Iterable[Kernel]) -> int:
    """The number of the next kernel of a training."""
    return 1 + max((kernel.run for kernel in known), default=0)
