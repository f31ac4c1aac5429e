"""Artifacts on disk: every path, atomic writes, manifests, what is fresh and why something is stale, locks.

The only module that knows the folder layout. An *artifact* is what one stage (or one fold of it) leaves behind: some
files and a manifest. The manifest is written last and atomically; it names the settings that were read, the content
of the inputs, and the size and hash of each output. An artifact counts as done only where its manifest is present
and matches; anything else is made again.

Inputs are compared by content, not by time: an input that was made again with the same result leaves what follows
fresh.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import io
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pipeline import __version__
from pipeline.artifacts import results
from pipeline.config import Settings, SplitSettings, TrainSettings, UserError, diff, fingerprint, stored, to_toml
from pipeline.config.renamed import current_name
from pipeline.system import disk
from pipeline.system.progress import echo

FORMAT = {
    "download": 1,
    "prepare": 1,
    "split": 1,
    "train": 2,
    "oof": 2,
    "validate": 3,
    "report": 3,
    "predict": 2,
    "submit": 4,
}
"""Version of what each stage writes. Raise it when a change of the code makes old artifacts wrong.

A new setting needs no higher one as long as its default is what was done before there was the setting: in an older
manifest it counts as its default.
"""

RAW_FILES = ("train.csv", "depths.csv", "sample_submission.csv")
RAW_FOLDERS = ("train/images", "train/masks", "test/images")
SOLUTION = "solution.csv"
"""The known test answers, which only the built-in survey has."""
REQUESTED = "folds.json"
"""Which folds of an experiment were asked for."""
STATE = "state.npz"
"""The file of a backup that says how far a training has come."""
CONSENT = "replaces.txt"
"""The file of a backup that names, by its checksum, the manifest of the finished training that it may replace."""
CHUNK = 512
"""Tiles that are predicted at once. Where chunks of the test tiles are made apart, they begin at multiples of it."""
LOCKS = ".locks"
"""Name of the folders of lock files."""
PATIENCE = {"download": 3600.0, **dict.fromkeys(("prepare", "split", "validate", "report", "submit"), 600.0)}
"""Seconds to wait for the lock of a stage's artifact. Training and prediction may take hours; nobody waits for them."""
DAY = 86_400.0
"""Seconds after which a temporary file of another host counts as left behind."""
TILE_FILES = ("train_images.npy", "train_masks.npy", "test_images.npy", "train.csv", "test.csv")


class BusyError(UserError):
    """Another process is making the artifact."""


class ChangedError(UserError):
    """Another process has made the artifact again while it was being read."""


@dataclass(frozen=True)
class Artifact:
    """What one stage leaves on disk, and what that depends on."""

    name: str
    """As people call it, for example ``train fold 0``."""
    stage: str
    folder: Path
    manifest_name: str
    outputs: tuple[str, ...]
    """Files and folders, relative to ``folder``, that what follows depends on."""
    extras: tuple[str, ...] = ()
    """Files that are checked alike, but that nothing depends on (they hold times, for example)."""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    inputs: tuple[Artifact, ...] = ()
    owner: str = ""
    """The experiment that it is of, where it is an input beside the same of other experiments."""

    @property
    def label(self) -> str:
        """Its name among the inputs of something."""
        return f"{self.owner} {self.name}".lstrip()

    @property
    def manifest_path(self) -> Path:
        return self.folder / self.manifest_name

    @property
    def lock_path(self) -> Path:
        """The file that is locked while the artifact is made, outside the folder, which may be replaced."""
        parts = [self.folder.name, self.name.replace(" ", "-")]
        if self.stage == "submit":  # of all experiments in one folder
            parts.insert(1, Path(self.manifest_name).stem)
        return self.folder.absolute().parent / LOCKS / f"{'-'.join(parts)}.lock"


class Output(msgspec.Struct, frozen=True):
    """One file (``files`` is 1), or one folder of files."""

    bytes: int
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    files: int = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record that makes an artifact count."""

    artifact: str
    format: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    extras: dict[str, Output]
    fingerprint: str
    """Of the outputs' content."""
    result: dict[str, Any]
    """What the stage found: counts, scores."""
    made: dict[str, Any]
    """When, in how many seconds, by which versions."""
    checksum: str = msgspec.field(default="", name="seal")
    """Hash of all the rest, so that a damaged manifest is not believed."""


@dataclass(frozen=True)
class State:
    """Whether an artifact can be used: ``done``, ``stale`` or ``missing``, and why."""

    kind: str
    why: str = ""

    @property
    def done(self) -> bool:
        return self.kind == "done"


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
            settings={"survey": stored(self.settings.survey)} if synthetic else {},
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
            settings={"split": stored(self.settings.split)},
            inputs=(self.tiles,),
        )

    def fold_folder(self, fold: int) -> Path:
        return self.experiment_folder / f"fold-{fold}"

    def train(self, fold: int) -> Artifact:
        """The trained weights of one fold and their history."""
        read = {name: stored(getattr(self.settings, name)) for name in ("input", "network", "augment", "train")}
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
        chosen = stored(self.settings.submit)
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
            folds = msgspec.json.decode(_read_if_any(self.experiment_folder / REQUESTED) or b"[]", type=list[int])
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
        text = f"# fingerprint = {fingerprint(stored(self.settings))}\n{to_toml(self.settings)}"
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


class Freshness:
    """What is done on disk, each manifest read once.

    Make a new one after something was made, or call ``forget``.

    Args:
        trusted: artifacts that count by their manifest alone, because what they were made from lies on another machine.
    """

    def __init__(self, trusted: Iterable[Artifact] = ()) -> None:
        self._trusted = {*trusted}
        self._manifests: dict[Path, Manifest | None] = {}
        # By artifact: the same manifest may be asked about with other settings, folds or inputs.
        self._states: dict[Artifact, State] = {}

    def manifest(self, artifact: Artifact) -> Manifest | None:
        """The artifact's manifest, or None where there is none that can be read, or its result is not of its stage."""
        manifest = self._read(artifact)
        return None if manifest is None or _misfit(artifact, manifest) else manifest

    def state(self, artifact: Artifact) -> State:
        """Whether the artifact is done, and if not, why."""
        if artifact not in self._states:
            self._states[artifact] = self._judge(artifact)
        return self._states[artifact]

    def fits(self, artifact: Artifact, manifest: Manifest) -> bool:
        """Whether a manifest from elsewhere is of this artifact, made from the very inputs that are here."""
        here = {each.label: found.fingerprint for each in artifact.inputs if (found := self.manifest(each))}
        named = {*manifest.outputs} == {*artifact.outputs} and {*manifest.extras} <= {*artifact.extras}
        return named and not (_mismatch(artifact, manifest) or _misfit(artifact, manifest)) and manifest.inputs == here

    def forget(self) -> None:
        self._manifests.clear()
        self._states.clear()

    def _read(self, artifact: Artifact) -> Manifest | None:
        path = artifact.manifest_path
        if path not in self._manifests:
            self._manifests[path] = read_manifest(path)
        return self._manifests[path]

    def _judge(self, artifact: Artifact) -> State:
        manifest = self._read(artifact)
        if manifest is None:
            damaged = artifact.manifest_path.exists()
            return State("stale", f"{artifact.manifest_name} cannot be read") if damaged else State("missing")
        if artifact in self._trusted:
            return State("done")
        if why := _mismatch(artifact, manifest) or _misfit(artifact, manifest):
            return State("stale", why)
        for name, output in {**manifest.outputs, **manifest.extras}.items():
            error = _quick_error(artifact.folder / name, output)
            if error:
                return State("stale", f"{name} {error}")
        if set(manifest.outputs) != set(artifact.outputs):
            return State("stale", "its manifest names other files")
        for each in artifact.inputs:
            state = self.state(each)
            if not state.done:
                return State("stale", f"{each.label} is {state.kind}")
            found = self.manifest(each)
            if found is None or manifest.inputs.get(each.label) != found.fingerprint:
                return State("stale", f"{each.label} has changed")
        return State("done")


def _mismatch(artifact: Artifact, manifest: Manifest) -> str:
    """Why a manifest is not that of this artifact with these settings; an empty string where it is."""
    if manifest.artifact != artifact.name:
        return f"its manifest is that of {manifest.artifact!r}"
    if manifest.format != FORMAT[artifact.stage]:
        return f"made in format {manifest.format}, now {FORMAT[artifact.stage]}"
    changed = changed_settings(artifact, manifest)
    if not changed:
        return ""
    key, (old, new) = next(iter(changed.items()))
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{key} was {old}, now {new}{more}"


def changed_settings(artifact: Artifact, manifest: Manifest) -> dict[str, tuple[Any, Any]]:
    """What differs between a manifest's settings and those of now: dotted key -> (value then, value now)."""
    if manifest.settings == artifact.settings:
        return {}
    changed = diff(_completed(manifest.settings, artifact.settings), artifact.settings)
    return {current_name(key): values for key, values in changed.items()}


def _misfit(artifact: Artifact, manifest: Manifest) -> str:
    """Why a manifest's result is not one that the artifact's stage leaves; an empty string where it is."""
    why = results.error(manifest.result, results.RESULTS[artifact.stage])
    experiment = {"validate": artifact.folder.name, "submit": artifact.manifest_path.stem}.get(artifact.stage)
    if not why and experiment and manifest.result["experiment"] != experiment:
        why = f"it is of experiment {manifest.result['experiment']}"
    return f"{artifact.manifest_name} holds a result that cannot be used: {why}" if why else ""


def _completed(then: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Settings of an older manifest, with those that there were not yet at their defaults."""
    completed = dict(then)
    for section, plain in stored(Settings()).items():
        if isinstance(then.get(section), dict) and isinstance(now.get(section), dict):
            completed[section] = {key: plain[key] for key in now[section] if key in plain} | then[section]
    return completed


def verify(artifact: Artifact, manifest: Manifest) -> str:
    """Compare every output with the hash in its manifest; returns the first error, or an empty string."""
    for name, output in {**manifest.outputs, **manifest.extras}.items():
        error = _quick_error(artifact.folder / name, output)
        try:
            if not error and measure(artifact.folder / name).sha256 != output.sha256:
                error = "has other content than its manifest says"
        except FileNotFoundError:
            error = "is missing"
        if error:
            return f"{name} {error}"
    return ""


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None where there is none, or none that can be believed.

    Raises:
        OSError: the disk failed: what it holds may be whole, and must not be made again for that.
    """
    content = _read_if_any(path)
    return None if content is None else parse_manifest(content)


def _read_if_any(path: Path) -> bytes | None:
    """Content of a file; None where it is missing or cannot be opened, but an error of the disk is raised."""
    try:
        with disk.naming(path):
            return path.read_bytes()
    except OSError as error:
        if disk.is_failure(error):
            raise
        return None


def parse_manifest(content: bytes) -> Manifest | None:
    """The manifest in a file's content; None where there is none that can be believed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        msgspec.convert(manifest.settings, results.Settings)
        msgspec.convert(manifest.made, results.Made)
        parts = [*manifest.extras, *(part for name in manifest.outputs for part in name.split("/"))]
        return manifest if manifest.checksum == _checksum(manifest) and all(map(_is_file_name, parts)) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name}


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Seal a manifest and write it atomically."""
    sealed = msgspec.structs.replace(manifest, checksum=_checksum(manifest))
    write_bytes(path, msgspec.json.format(msgspec.json.encode(sealed), indent=2))


def _checksum(manifest: Manifest) -> str:
    # As it will be read back: a tuple becomes a list, a key a text.
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(manifest, checksum="")))
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]


def discard_damaged(artifacts: Iterable[Artifact]) -> list[str]:
    """View through everything that these artifacts are about to be made from, hash by hash.

    What is not what its manifest says loses its manifest, so that it is made again; a line for each tells what it was.
    """
    used = {each.manifest_path: each for artifact in artifacts for each in artifact.inputs}
    lines = []
    for each in used.values():
        try:
            if error := discard_if_damaged(each):
                lines.append(f"{each.label}: {error}; making it again")
        except ChangedError:
            lines.append(f"{each.label}: another process has made it again meanwhile")
    return lines


def discard_if_damaged(artifact: Artifact) -> str:
    """Remove the manifest of an artifact whose files are not what it says; returns the first error, or an empty string.

    Raises:
        BusyError: the files do not match, and another process is making the artifact. Nothing was removed.
        ChangedError: another process has made the artifact again meanwhile, and it is whole. Nothing was removed.
    """
    read = read_manifest(artifact.manifest_path)
    error = verify(artifact, read) if read is not None else ""
    if not error:
        return ""
    # The files may have been replaced since the manifest was read. Whoever does that holds the lock, so under it a
    # manifest and its files belong together, and the manifest that is removed is the one that was compared.
    with locked(artifact):
        now = read_manifest(artifact.manifest_path)
        if now is None:
            return error
        if error := verify(artifact, now):
            artifact.manifest_path.unlink(missing_ok=True)
        elif now != read:
            raise ChangedError(f"{artifact.label}: another process has made it again meanwhile; run this command again")
        return error


def _quick_error(path: Path, output: Output) -> str:
    """What a glance at the file system tells: presence and size of a file, number of files in a folder."""
    try:
        if output.files == 1 and path.is_file():
            return "" if path.stat().st_size == output.bytes else "has another size than its manifest says"
        with os.scandir(path) as entries:
            return "" if sum(1 for _ in entries) == output.files else "holds another number of files"
    except OSError as error:
        if disk.is_failure(error):
            raise
        return "is missing"


def measure(path: Path) -> Output:
    """Size and hash of a file; of a folder, number and total size of its files and a hash over names and contents."""
    if path.is_file():
        with path.open("rb") as stream:
            return Output(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    whole, size, files = hashlib.sha256(), 0, 0
    for each in sorted(path.iterdir()):
        content = each.read_bytes()
        whole.update(f"{each.name}\0{len(content)}\0".encode())
        whole.update(content)
        size, files = size + len(content), files + 1
    return Output(size, whole.hexdigest(), files)


def commit(
    artifact: Artifact,
    result: dict[str, Any],
    started: float,
    at: Path | None = None,
    seen: dict[str, str] | None = None,
) -> Manifest:
    """Measure the outputs and write the manifest: from now on the artifact counts.

    Args:
        artifact: what was made; all its outputs lie on disk.
        result: what the stage found, plain values.
        started: ``time.monotonic()`` of the stage's start.
        at: where the files lie now, if not yet in the artifact's folder.
        seen: the inputs (``inputs_now``) when the work began.

    Raises:
        UserError: an input is gone, or another one than was seen.
    """
    _unchanged(artifact, seen)
    folder = at or artifact.folder
    freshness = Freshness()
    inputs = {}
    for each in artifact.inputs:
        manifest = freshness.manifest(each)
        if manifest is None:
            raise UserError(f"{each.label}: {each.manifest_path} vanished meanwhile; run the command again")
        inputs[each.label] = manifest.fingerprint
    outputs = {name: measure(folder / name) for name in artifact.outputs}
    manifest = Manifest(
        artifact=artifact.name,
        format=FORMAT[artifact.stage],
        settings=artifact.settings,
        inputs=inputs,
        outputs=outputs,
        extras={name: measure(folder / name) for name in artifact.extras},
        fingerprint=fingerprint({name: output.sha256 for name, output in outputs.items()}),
        result=result,
        made={
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started, 1),
            "pipeline": __version__,
        },
    )
    write_manifest(folder / artifact.manifest_name, manifest)
    return manifest


def update_result(path: Path, found: dict[str, Any]) -> None:
    """Add to the result of a manifest what became known later; what it says of files and inputs stays as it is."""
    manifest = read_manifest(path)
    if manifest is not None:
        write_manifest(path, msgspec.structs.replace(manifest, result={**manifest.result, **found}))


def inputs_fingerprint(artifact: Artifact) -> str:
    """A short hash of everything that decides an artifact's content: settings, inputs and format."""
    return fingerprint([artifact.name, FORMAT[artifact.stage], artifact.settings, inputs_now(artifact)])


@contextlib.contextmanager
def replacing(artifact: Artifact) -> Iterator[Path]:
    """Make a whole folder anew: write into the folder that is yielded, call ``commit(at=...)`` on it, leave.

    The artifact's folder is replaced only then. What an earlier, killed attempt left is removed first.
    """
    folder = artifact.folder
    fresh, old = folder.with_name(f".{folder.name}.making"), folder.with_name(f".{folder.name}.old")
    with locked(artifact):
        for leftover in (fresh, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        fresh.mkdir(parents=True)
        try:
            yield fresh
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        if folder.exists():
            # Gone before the new one is in its place: of what is done, nothing would come back to remove it.
            folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        fresh.rename(folder)


@contextlib.contextmanager
def updating(artifact: Artifact, invalidate_first: bool = True) -> Iterator[Path]:
    """Make an artifact in place: write into the folder that is yielded, then ``finish``.

    Args:
        artifact: what is to be made.
        invalidate_first: remove the old manifest at once. A stage that takes long, or may be refused, calls
            ``invalidate`` itself, right before it writes: until then the earlier result counts.
    """
    with locked(artifact):
        artifact.folder.mkdir(parents=True, exist_ok=True)
        if invalidate_first:
            invalidate(artifact)
        yield artifact.folder


def invalidate(artifact: Artifact, seen: dict[str, str] | None = None) -> None:
    """Take away the manifest before the files that it names are replaced, so that nothing half-made counts.

    Raises:
        UserError: an input is another one than was seen (``inputs_now``) when the work began.
    """
    _unchanged(artifact, seen)
    artifact.manifest_path.unlink(missing_ok=True)


def inputs_now(artifact: Artifact) -> dict[str, str]:
    """The fingerprint of each input that is there; what takes long looks at the beginning, and again at its end."""
    freshness = Freshness()
    return {each.label: found.fingerprint for each in artifact.inputs if (found := freshness.manifest(each))}


def _unchanged(artifact: Artifact, seen: dict[str, str] | None) -> None:
    if seen is None:
        return
    now = inputs_now(artifact)
    for label, found in seen.items():
        if now.get(label) != found:
            raise UserError(f"{artifact.name}: {label} was made again meanwhile by another command; run this one again")


def backup_folder(artifact: Artifact) -> Path:
    """Where a fold's training keeps what it needs to go on after a kill.

    Each combination of settings and inputs has a folder of its own, so that trying others loses no training.
    """
    return artifact.folder / backup_name(inputs_fingerprint(artifact))


def backup_name(identity: str) -> str:
    """Name of the folder of a training with this fingerprint of settings and inputs."""
    return f"backup-{identity}"


def remove_backup(artifact: Artifact) -> None:
    """Remove what a fold's training kept to go on, once its manifest is written: it has no use after that."""
    shutil.rmtree(backup_folder(artifact), ignore_errors=True)


def finished(artifact: Artifact) -> Manifest | None:
    """The manifest of a training that has come to its end, whatever its settings and inputs were.

    Returns:
        None where there is no manifest, or one of its files is missing or has another hash.
    """
    manifest = read_manifest(artifact.manifest_path)
    whole = manifest is not None and manifest.outputs and not verify(artifact, manifest)
    return manifest if whole else None


def agree(artifact: Artifact, replaced: Manifest) -> None:
    """Write down that a training may replace a finished one; it lasts until the training is done."""
    write_text(backup_folder(artifact) / CONSENT, replaced.checksum)


def agreed(artifact: Artifact, replaced: Manifest) -> bool:
    """Whether a training with these very settings and inputs may replace a finished one."""
    with contextlib.suppress(OSError):
        return (backup_folder(artifact) / CONSENT).read_bytes() == replaced.checksum.encode()
    return False


def begun(artifact: Artifact) -> bool:
    """Whether a training with these very settings and inputs would go on, not begin."""
    return (backup_folder(artifact) / STATE).is_file()


_held: set[Path] = set()
"""Locks that this process holds."""


@contextlib.contextmanager
def locked(artifact: Artifact, patience: float | None = None) -> Iterator[None]:
    """Hold an artifact's lock. A lock that a dead process left behind does not block.

    Within one process the lock is reentrant: what holds it may call what takes it.

    Args:
        artifact: what is to be made, or removed.
        patience: seconds to wait for another process that holds the lock; by default those of the stage in
            ``PATIENCE``. A wait of more than a second is announced on screen.

    Raises:
        BusyError: another process holds the lock; its process id is named.
    """
    from filelock import FileLock

    path = artifact.lock_path
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    owner, lock = path.with_suffix(".pid"), FileLock(path)
    _acquire(lock, artifact, PATIENCE.get(artifact.stage, 0.0) if patience is None else patience, owner)
    try:
        _held.add(path)
        owner.write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        _held.discard(path)
        owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: Any, artifact: Artifact, patience: float, owner: Path) -> None:
    from filelock import Timeout

    with contextlib.suppress(Timeout):
        lock.acquire(timeout=min(patience, 1.0))
        return
    if patience > 0:
        echo(f"{artifact.name}: {_holder(owner)} is making it; waiting for it")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=patience, poll_interval=0.2)
            return
    raise BusyError(
        f"{artifact.name}: {_holder(owner)} is making it right now; wait for it, or stop it and run this again"
    )


def _holder(owner: Path) -> str:
    """The process that holds a lock, as its owner file tells."""
    with contextlib.suppress(OSError, ValueError):
        pid, host = owner.read_text(encoding="utf-8").split()
        if host != socket.gethostname():
            return f"process {pid} on {host}"
        if _alive(pid):
            return f"process {pid}"
    return "another process"


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, locks last: until then nobody else begins to write there.

    The caller holds the locks of what is in the folder.
    """
    if not (folder / LOCKS).is_dir() or folder.is_symlink():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.name != LOCKS:
            shutil.rmtree(path)
    shutil.rmtree(folder / LOCKS)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # by now somebody may have begun anew there
            raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write a file atomically: fill the path that is yielded; it takes the file's place when the block ends well.

    What a library would write there is serialised to memory and written by ``disk.write``: libraries do not check
    every write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f".{path.name}.writing-"
    here = f"{start}{_host()}-"
    _remove_leftovers(path.parent, here, lambda leftover: not _alive(leftover.name.removeprefix(here).split("-")[0]))
    # Unique also where several hosts share the folder. The suffix stays last because Keras and NumPy choose by it.
    temporary = path.with_name(f"{here}{os.getpid()}-{secrets.token_hex(4)}{''.join(path.suffixes[-2:])}")
    try:
        yield temporary
        disk.sync(temporary)
        # By the file system's clock, which wrote both times; clocks of hosts may differ.
        oldest = temporary.stat().st_mtime - DAY
        _remove_leftovers(path.parent, start, lambda leftover: leftover.stat().st_mtime < oldest)
        temporary.replace(path)
        disk.sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here is the one to report
            temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(folder: Path, start: str, dead: Callable[[Path], bool]) -> None:
    """Remove temporary files that a killed process has left behind."""
    for leftover in folder.glob(f"{glob.escape(start)}*"):
        with contextlib.suppress(OSError):  # removed by another process, or not ours to remove
            if dead(leftover):
                leftover.unlink()


def _host() -> str:
    """A short hash of the host, and in a container of the container: where a process id means the same."""
    processes = ""
    with contextlib.suppress(OSError):
        processes = str(Path("/proc/self/ns/pid").readlink())
    return fingerprint([socket.gethostname(), processes])[:8]


def _alive(pid: str) -> bool:
    """Whether this host runs a process with this id."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def reuse_weights(layout: Layout, fold: int) -> str:
    """Take over a fold's network from another experiment that trained the very same one.

    Experiments that differ only in what comes after training (views, threshold, rules) share their networks that way.

    Returns:
        The other experiment's name; an empty string where there is none.
    """
    artifact, freshness = layout.train(fold), Freshness()
    for folder in sorted(layout.experiment_folder.parent.glob(f"*/{artifact.folder.name}")):
        other = replace(artifact, folder=folder)
        manifest = freshness.manifest(other)
        if folder == artifact.folder or manifest is None or not freshness.fits(artifact, manifest):
            continue
        # The other experiment may be trained anew, or removed, while its files are copied: then nothing came of it.
        with updating(artifact, invalidate_first=False), contextlib.suppress(_OtherFilesError, FileNotFoundError):
            with contextlib.ExitStack() as copies:
                for name, output in {**manifest.outputs, **manifest.extras}.items():
                    path = copies.enter_context(writing(artifact.folder / name))
                    shutil.copyfile(folder / name, path)
                    if measure(path).sha256 != output.sha256:
                        raise _OtherFilesError
                invalidate(artifact)
            write_manifest(artifact.manifest_path, manifest)
            remove_backup(artifact)
            return folder.parent.name
    return ""


class _OtherFilesError(Exception):
    """Files are not those of the manifest that names them."""


def remove_parts(layout: Layout, fold: int) -> None:
    """Remove the chunks of a fold's test predictions, which have no use once the whole is there."""
    shutil.rmtree(layout.test_part(fold, 0).folder, ignore_errors=True)


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """A new memory-mapped .npy file of this shape, uint8, all of whose bytes have their place on the disk.

    Without that, writing to it on a full disk would kill the process. The caller ends with its ``flush`` and with
    ``disk.sync`` on its file (``writing`` does that): both raise what writing its pages failed with.
    """
    import numpy as np

    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with disk.naming(path), path.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return out


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically, and read it back before it takes its place.

    Raises:
        OSError: a write, a sync, a close or the renaming failed, or other bytes were read back.
    """
    with writing(path) as temporary:
        disk.write(temporary, content)


def write_array(path: Path, array: Any) -> None:
    """Write a NumPy array as a .npy file atomically, by way of memory."""
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write_bytes(path, stream.getbuffer())


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named NumPy arrays as an .npz file atomically, by way of memory."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getbuffer())


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())
