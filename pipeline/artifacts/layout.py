"""The folder layout: the only module that knows a path."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from pipeline.artifacts.artifact import LOCKS, Artifact
from pipeline.config import Settings, SplitSettings, TrainSettings, as_dict, fingerprint, to_toml
from pipeline.system.atomic import read_if_any, write_bytes, write_text

RAW_FILES = ("train.csv", "depths.csv", "sample_submission.csv")
RAW_FOLDERS = ("train/images", "train/masks", "test/images")
SOLUTION = "solution.csv"
"""The known test answers, which only the built-in survey has."""
REQUESTED = "folds.json"
"""Which folds of an experiment were asked for."""
CHUNK = 512
"""Tiles that are predicted at once. Where chunks of the test tiles are made apart, they begin at multiples of it."""
TILE_FILES = ("train_images.npy", "train_masks.npy", "test_images.npy", "train.csv", "test.csv")


class Layout:
    """The artifacts of one experiment on one dataset.

    Args:
        root: the folder that holds ``data/`` and ``submissions/``.
        dataset: ``tgs``, ``demo``, or a name of the user's for an archive of their own.
        experiment: the experiment's name.
        settings: the experiment's resolved settings.
    """

    def __init__(self, root: Path, dataset: str, experiment: str, settings: Settings) -> None:
        self.root, self.dataset, self.experiment, self.settings = root, dataset, experiment, settings
        self.data = root / "data" / dataset
        self.experiment_folder = self.data / "experiments" / experiment
        self.submissions = root / "submissions"
        self.leaderboard = self.submissions / "leaderboard"

    @property
    def members(self) -> tuple[Layout, ...]:
        """The experiments whose predictions are averaged: this one alone."""
        return (self,)

    @property
    def is_blend(self) -> bool:
        return len(self.members) > 1

    @property
    def folds(self) -> range:
        return range(self.settings.split.folds)

    @property
    def download_folder(self) -> Path:
        """Where Kaggle's archive goes; what is unpacked from it is ``raw``."""
        return self.data / "download"

    @property
    def raw(self) -> Artifact:
        """The competition's files as downloaded, with the tiles unpacked."""
        synthetic = self.dataset == "demo"
        return Artifact(
            name="download",
            stage="download",
            folder=self.data / "raw",
            manifest_name="manifest.json",
            outputs=RAW_FILES + RAW_FOLDERS,
            extras=(SOLUTION,) if synthetic else (),
            settings={"survey": as_dict(self.settings.survey)} if synthetic else {},
        )

    @property
    def tiles(self) -> Artifact:
        """Decoded tiles as arrays and tables."""
        return Artifact(
            name="prepare",
            stage="prepare",
            folder=self.data / "tiles",
            manifest_name="manifest.json",
            outputs=TILE_FILES,
            inputs=(self.raw,),
        )

    @property
    def split(self) -> Artifact:
        """The fold of each labelled tile.

        Each way of splitting has a folder of its own, so that experiments with different folds live side by side.
        """
        return Artifact(
            name="split",
            stage="split",
            folder=self.data / "folds" / split_name(self.settings.split),
            manifest_name="manifest.json",
            outputs=("folds.csv",),
            settings={"split": as_dict(self.settings.split)},
            inputs=(self.tiles,),
        )

    def fold_folder(self, fold: int) -> Path:
        return self.experiment_folder / f"fold-{fold}"

    def train(self, fold: int) -> Artifact:
        """The trained weights of one fold and their history."""
        read = {name: as_dict(getattr(self.settings, name)) for name in ("input", "network", "augment", "train")}
        # How many threads prepare batches, and who is told of progress, does not change the result.
        del read["train"]["workers"], read["train"]["tensorboard"]
        return Artifact(
            name=f"train fold {fold}",
            stage="train",
            folder=self.fold_folder(fold),
            manifest_name="train.json",
            outputs=weight_files(self.settings.train),
            extras=("history.csv",),
            settings=read,
            inputs=(self.tiles, self.split),
        )

    def weights(self, fold: int) -> list[Path]:
        """The files of weights of one fold: one, or one for each snapshot."""
        trained = self.train(fold)
        return [trained.folder / name for name in trained.outputs]

    def out_of_fold(self, fold: int) -> Artifact:
        """Probabilities of the tiles that the fold's network did not see, and what they score."""
        return Artifact(
            name=f"out-of-fold {fold}",
            stage="oof",
            folder=self.fold_folder(fold),
            manifest_name="oof.json",
            outputs=("oof.npy",),
            extras=("metrics.json",),
            settings={"predict": _views_only(self.settings)},
            inputs=(self.tiles, self.split, self.train(fold)),
        )

    def test(self, fold: int) -> Artifact:
        """Probabilities of the test tiles from one fold's network."""
        return Artifact(
            name=f"predict fold {fold}",
            stage="predict",
            folder=self.experiment_folder / "test",
            manifest_name=f"fold-{fold}.json",
            outputs=(f"fold-{fold}.npy",),
            settings={"predict": _views_only(self.settings)},
            inputs=(self.tiles, self.train(fold)),
        )

    def test_part(self, fold: int, start: int) -> Artifact:
        """Probabilities of one chunk of the test tiles, for as long as other chunks are being made elsewhere."""
        whole = self.test(fold)
        return replace(
            whole,
            name=f"{whole.name} from tile {start}",
            folder=whole.folder / f"fold-{fold}.parts",
            manifest_name=f"{start}.json",
            outputs=(f"{start}.npy",),
        )

    def validation(self, folds: Iterable[int]) -> Artifact:
        """The cross-fitted score, tile by tile, and what makes the test tiles' masks of probabilities."""
        folds = tuple(folds)
        chosen = as_dict(self.settings.submit)
        del chosen["message"]
        return Artifact(
            name="validate",
            stage="validate",
            folder=self.experiment_folder,
            manifest_name="cv.json",
            outputs=("scores.csv", "choice.json"),
            settings={"folds": list(folds), "submit": chosen},
            inputs=(self.tiles, self.split, *self._of_members(lambda member: map(member.out_of_fold, folds))),
        )

    def report(self, folds: Iterable[int]) -> Artifact:
        """The experiment's page."""
        folds = tuple(folds)
        return Artifact(
            name="report",
            stage="report",
            folder=self.experiment_folder,
            manifest_name="report.json",
            outputs=("report.html",),
            inputs=(
                self.tiles,
                self.validation(folds),
                *self._of_members(lambda member: map(member.out_of_fold, folds)),
            ),
        )

    def submission(self, folds: Iterable[int]) -> Artifact:
        """The CSV; its manifest is the receipt."""
        folds = tuple(folds)
        return Artifact(
            name="submit",
            stage="submit",
            folder=self.submissions / self.dataset,
            manifest_name=f"{self.experiment}.json",
            outputs=(f"{self.experiment}.csv",),
            settings={"folds": list(folds), "message": self.settings.submit.message},
            inputs=(
                self.tiles,
                self.validation(folds),
                *self._of_members(lambda member: map(member.test, folds)),
            ),
        )

    def every(self) -> list[Artifact]:
        """All artifacts in the experiment's folder, and its submission; also of folds that the settings do not have."""
        places = (self.experiment_folder, self.experiment_folder / LOCKS, self.test(0).folder)
        names = [path.name for place in places if place.is_dir() for path in place.iterdir()]
        folds = {int(found[1]) for name in names if (found := re.search(r"fold-(\d{1,9})(?!\d)", name))}
        return [
            *(of(fold) for fold in sorted({*folds, *self.folds}) for of in (self.train, self.out_of_fold, self.test)),
            *(of(()) for of in (self.validation, self.report, self.submission)),
        ]

    def _of_members(self, made: Callable[[Layout], Iterable[Artifact]]) -> Iterator[Artifact]:
        """Artifacts of this experiment; of a blend, those of each member, told apart."""
        yield from made(self)

    def requested_folds(self) -> tuple[int, ...]:
        """The folds that somebody wanted trained so far; empty where nobody has asked for any."""
        folds: list[int] = []
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            folds = msgspec.json.decode(read_if_any(self.experiment_folder / REQUESTED) or b"[]", type=list[int])
        # What was begun was wanted, also where the note of it was lost or overwritten by another process.
        begun = [fold for fold in self.folds if self.fold_folder(fold).is_dir()]
        return tuple(sorted({fold for fold in (*folds, *begun) if fold in self.folds}))

    def request_folds(self, folds: Iterable[int]) -> None:
        """Remember which folds are wanted, so that a command that was killed finds all of them missing, not some."""
        wanted = msgspec.json.encode(sorted({*folds}))
        path = self.experiment_folder / REQUESTED
        if not path.is_file() or path.read_bytes() != wanted:
            write_bytes(path, wanted)

    def write_config(self) -> None:
        """Leave the resolved settings beside the experiment's artifacts."""
        text = f"# fingerprint = {fingerprint(as_dict(self.settings))}\n{to_toml(self.settings)}"
        path = self.experiment_folder / "config.toml"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)


def weight_files(train: TrainSettings) -> tuple[str, ...]:
    """Names of a fold's files of weights: of the best epoch, or of the best one in each of the last cycles."""
    if train.snapshots == 1:
        return ("best.weights.h5",)
    last = range(train.cycles - train.snapshots + 1, train.cycles + 1)
    return tuple(f"best-of-cycle-{cycle}.weights.h5" for cycle in last)


class Blend(Layout):
    """The artifacts of several experiments' mean: what comes after training and prediction, in a folder of its own.

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

    def _of_members(self, made: Callable[[Layout], Iterable[Artifact]]) -> Iterator[Artifact]:
        for member in self._members:
            yield from (replace(each, owner=member.experiment) for each in made(member))


def blend_name(experiments: Iterable[str]) -> str:
    """Name and folder of a blend, for example ``kernel+unet``; the same for any order of its members."""
    return "+".join(sorted(experiments))


def split_name(split: SplitSettings) -> str:
    """Folder name of a way of splitting, for example ``depth-5-seed0``."""
    bins = "" if split.bins == SplitSettings().bins or split.by == "random" else f"-bins{split.bins}"
    return f"{split.by}-{split.folds}-seed{split.seed}{bins}"


def _views_only(settings: Settings) -> dict[str, Any]:
    # The batch size changes the speed, not the answer, so it must not make predictions stale.
    return {"tta": list(settings.predict.tta)}


def remove_parts(layout: Layout, fold: int) -> None:
    """Remove the chunks of a fold's test predictions, which have no use once the whole is there."""
    shutil.rmtree(layout.test_part(fold, 0).folder, ignore_errors=True)
