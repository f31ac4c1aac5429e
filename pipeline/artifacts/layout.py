"""The folder layout: where everything of an experiment on a dataset lies.

    data/<dataset>/download/                              what Kaggle's client fetched
    data/<dataset>/raw/                                   the competition's files
    data/<dataset>/tiles/                                 arrays and tables
    data/<dataset>/mosaic/                                neighbouring tiles, sections
    data/<dataset>/folds/<way of splitting>/              the fold of each tile
    data/<dataset>/pretrained/<fingerprint>/              weights of a pretrained network
    data/<dataset>/experiments/<experiment>/              config.toml, scores, report
    data/<dataset>/experiments/<experiment>/fold-K/       weights, history, out-of-fold probabilities
    data/<dataset>/experiments/<experiment>/test/         probabilities of the test tiles
    submissions/<dataset>/<experiment>.csv, .json         the CSV and its receipt
    submissions/leaderboard.csv, .md, .html

The names of the files of an artifact are declared by the stage that writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from pipeline import config
from pipeline.artifacts.artifact import LOCKS
from pipeline.config import Settings, SplitSettings

_FOLD = re.compile(r"fold-(\d{1,9})(?!\d)")


class Layout:
    """Folders of one experiment on one dataset.

    Args:
        root: the folder that holds ``data/`` and ``submissions/``.
        dataset: ``tgs``, ``demo``, or a name chosen by the user for an archive.
        experiment: the experiment's name.
        settings: the experiment's resolved settings.
    """

    def __init__(self, root: Path, dataset: str, experiment: str, settings: Settings) -> None:
        self.root, self.dataset, self.experiment, self.settings = root, dataset, experiment, settings
        self.data_folder = root / "data" / dataset
        self.download_folder = self.data_folder / "download"
        self.raw_folder = self.data_folder / "raw"
        self.tiles_folder = self.data_folder / "tiles"
        self.mosaic_folder = self.data_folder / "mosaic"
        self.split_folder = self.data_folder / "folds" / split_name(settings.split)
        self.experiments_folder = self.data_folder / "experiments"
        self.experiment_folder = self.experiments_folder / experiment
        self.test_folder = self.experiment_folder / "test"
        self.submissions = root / "submissions"
        self.submission_folder = self.submissions / dataset

    @property
    def members(self) -> tuple[Layout, ...]:
        """The experiments whose predictions are averaged: this one alone."""
        return (self,)

    @property
    def is_blend(self) -> bool:
        return len(self.members) > 1

    @cached_property
    def teachers(self) -> tuple[Layout, ...]:
        """The experiments that label the test tiles for this one, by name.

        Raises:
            UserError: see ``config.teachers``.
        """
        found = config.teachers(self.experiment, self.settings)
        return tuple(Layout(self.root, self.dataset, name, settings) for name, settings in found.items())

    @property
    def folds(self) -> range:
        return range(self.settings.split.folds)

    def fold_folder(self, fold: int) -> Path:
        return self.experiment_folder / f"fold-{fold}"

    def pretrained_folder(self, fingerprint: str) -> Path:
        """The folder of a pretrained network; the fingerprint is that of its settings."""
        return self.data_folder / "pretrained" / fingerprint

    def folds_on_disk(self) -> list[int]:
        """Folds that have left files or locks, also those that the settings no longer have."""
        places = (self.experiment_folder, self.experiment_folder / LOCKS, self.test_folder)
        names = [path.name for place in places if place.is_dir() for path in place.iterdir()]
        return sorted({int(found[1]) for name in names if (found := _FOLD.search(name))})


class Blend(Layout):
    """Folders of the mean of several experiments, which has validation, report and submission, but no training.

    Args:
        members: experiments on the same dataset with the same split, two or more, in any order.
        settings: of the blend, see ``config.blend``.
    """

    def __init__(self, members: Iterable[Layout], settings: Settings) -> None:
        self._members = tuple(sorted(members, key=lambda member: member.experiment))
        first = self._members[0]
        super().__init__(first.root, first.dataset, blend_name(each.experiment for each in self._members), settings)

    @property
    def members(self) -> tuple[Layout, ...]:
        """The experiments whose predictions are averaged, by name."""
        return self._members


def leaderboard_file(root: Path, suffix: str) -> Path:
    """One of the files of the leaderboard: ``.csv``, ``.md`` or ``.html``."""
    return (root / "submissions" / "leaderboard").with_suffix(suffix)


def blend_name(experiments: Iterable[str]) -> str:
    """Name and folder of a blend, for example ``kernel+unet``; the same for any order of its members."""
    return "+".join(sorted(experiments))


def split_name(split: SplitSettings) -> str:
    """Folder name of a way of splitting, for example ``depth-5-seed0``."""
    bins = "" if split.bins == SplitSettings().bins or split.by == "random" else f"-bins{split.bins}"
    group = "" if split.group == "none" else f"-{split.group}"
    ratio = "" if not group or split.mosaic_ratio == SplitSettings().mosaic_ratio else f"{split.mosaic_ratio:g}"
    return f"{split.by}-{split.folds}-seed{split.seed}{bins}{group}{ratio}"
