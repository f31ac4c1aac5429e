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
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pipeline import __version__
from pipeline.config import Settings, SplitSettings, TrainSettings, UserError, as_dict, diff, fingerprint, to_toml

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
CHUNK = 512
"""Tiles that are predicted at once. Where chunks of the test tiles are made apart, they begin at multiples of it."""
TILE_FILES = ("train_images.npy", "train_masks.npy", "test_images.npy", "train.csv", "test.csv")


class BusyError(UserError):
    """Another process is making the artifact."""


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
    settings: dict[str, Any] = field(default_factory=dict)
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


class Output(msgspec.Struct, frozen=True):
    """One file (``files`` is 1), or one folder of files."""

    bytes: int
    sha256: str
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

    def _of_members(self, made: Callable[[Layout], Iterable[Artifact]]) -> Iterator[Artifact]:
        """Artifacts of this experiment; of a blend, those of each member, told apart."""
        yield from made(self)

    def requested_folds(self) -> tuple[int, ...]:
        """The folds that somebody wanted trained so far; empty where nobody has asked for any."""
        folds: list[int] = []
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            folds = msgspec.json.decode((self.experiment_folder / REQUESTED).read_bytes(), type=list[int])
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


class Freshness:
    """What is done on disk, each manifest read once.

    Make a new one after something was made, or call ``forget``.

    Args:
        trusted: artifacts that count by their manifest alone, because what they were made from lies on another machine.
    """

    def __init__(self, trusted: Iterable[Artifact] = ()) -> None:
        self._trusted = {artifact.manifest_path for artifact in trusted}
        self._manifests: dict[Path, Manifest | None] = {}
        self._states: dict[Path, State] = {}

    def manifest(self, artifact: Artifact) -> Manifest | None:
        """The artifact's manifest, or None where there is none that can be read."""
        path = artifact.manifest_path
        if path not in self._manifests:
            self._manifests[path] = read_manifest(path)
        return self._manifests[path]

    def state(self, artifact: Artifact) -> State:
        """Whether the artifact is done, and if not, why."""
        path = artifact.manifest_path
        if path not in self._states:
            self._states[path] = self._judge(artifact)
        return self._states[path]

    def fits(self, artifact: Artifact, manifest: Manifest) -> bool:
        """Whether a manifest from elsewhere is of this artifact, made from the very inputs that are here."""
        here = {each.label: found.fingerprint for each in artifact.inputs if (found := self.manifest(each))}
        return not _mismatch(artifact, manifest) and manifest.inputs == here

    def forget(self) -> None:
        self._manifests.clear()
        self._states.clear()

    def _judge(self, artifact: Artifact) -> State:
        manifest = self.manifest(artifact)
        if manifest is None:
            damaged = artifact.manifest_path.exists()
            return State("stale", f"{artifact.manifest_name} cannot be read") if damaged else State("missing")
        if artifact.manifest_path in self._trusted:
            return State("done")
        if why := _mismatch(artifact, manifest):
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
    if manifest.settings == artifact.settings:
        return ""
    changed = diff(_completed(manifest.settings, artifact.settings), artifact.settings)
    if not changed:
        return ""
    key, (old, new) = next(iter(changed.items()))
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{key} was {old}, now {new}{more}"


def _completed(then: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Settings of an older manifest, with those that there were not yet at their defaults."""
    completed = dict(then)
    for section, plain in as_dict(Settings()).items():
        if section in then and section in now:
            completed[section] = {key: plain[key] for key in now[section] if key in plain} | then[section]
    return completed


def verify(artifact: Artifact, manifest: Manifest) -> str:
    """Compare every output with the hash in its manifest; returns the first error, or an empty string."""
    for name, output in {**manifest.outputs, **manifest.extras}.items():
        error = _quick_error(artifact.folder / name, output)
        if not error and measure(artifact.folder / name).sha256 != output.sha256:
            error = "has other content than its manifest says"
        if error:
            return f"{name} {error}"
    return ""


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None where there is none, or none that can be believed."""
    try:
        return parse_manifest(path.read_bytes())
    except OSError:
        return None


def parse_manifest(content: bytes) -> Manifest | None:
    """The manifest in a file's content; None where there is none that can be believed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return manifest if manifest.checksum == _checksum(manifest) else None


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
    return [f"{each.label}: {error}; making it again" for each in used.values() if (error := discard_if_damaged(each))]


def discard_if_damaged(artifact: Artifact) -> str:
    """Take the manifest from an artifact that is not what it says; returns the first error, or an empty string."""
    manifest = read_manifest(artifact.manifest_path)
    error = verify(artifact, manifest) if manifest is not None else ""
    if error:
        artifact.manifest_path.unlink(missing_ok=True)
    return error


def _quick_error(path: Path, output: Output) -> str:
    """What a glance at the file system tells: presence and size of a file, number of files in a folder."""
    try:
        if output.files == 1 and path.is_file():
            return "" if path.stat().st_size == output.bytes else "has another size than its manifest says"
        with os.scandir(path) as entries:
            return "" if sum(1 for _ in entries) == output.files else "holds another number of files"
    except OSError:
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


def begun(artifact: Artifact) -> bool:
    """Whether a training with these very settings and inputs would go on, not begin."""
    return (backup_folder(artifact) / STATE).is_file()


@contextlib.contextmanager
def locked(artifact: Artifact) -> Iterator[None]:
    """Hold an artifact's lock. A lock that a dead process left behind does not block.

    Raises:
        BusyError: another process is making the artifact; its process id is named.
    """
    from filelock import FileLock, Timeout

    folder = artifact.folder.parent / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{artifact.folder.name}-{artifact.name.replace(' ', '-')}.lock"
    # What takes seconds is worth waiting for; what takes hours is not.
    patience = 60 if artifact.stage in ("validate", "report", "submit") else 0
    owner = path.with_suffix(".pid")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        with contextlib.suppress(OSError):
            pid = owner.read_text(encoding="utf-8").strip()
            raise BusyError(
                f"{artifact.name}: process {pid} is making it right now; wait for it, or stop it and run this again"
            ) from None
        raise BusyError(f"{artifact.name}: another process is making it right now; wait for it") from None
    try:
        owner.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write a file atomically: fill the path that is yielded; it takes the file's place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f".{path.name}.writing-"
    for leftover in path.parent.glob(f"{start}*"):
        if not _alive(leftover.name.removeprefix(start).split(".")[0]):
            leftover.unlink(missing_ok=True)
    # The process's number keeps two processes apart. The suffix stays last because Keras and NumPy choose by it.
    temporary = path.with_name(f"{start}{os.getpid()}{''.join(path.suffixes[-2:])}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _alive(pid: str) -> bool:
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
            return folder.parent.name
    return ""


class _OtherFilesError(Exception):
    """Files are not those of the manifest that names them."""


def remove_parts(layout: Layout, fold: int) -> None:
    """Remove the chunks of a fold's test predictions, which have no use once the whole is there."""
    shutil.rmtree(layout.test_part(fold, 0).folder, ignore_errors=True)


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """A new memory-mapped .npy file of this shape, uint8, all of whose bytes have their place on the disk.

    Without that, writing to it on a full disk would kill the process.
    """
    import numpy as np

    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return out


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())
