"""Train an experiment on a machine that is lent for minutes: ``python -m benchmarks.gpu_session --folder results ...``.

Pretrains first where the experiment does. Measures how long an epoch takes there, chooses the largest number of epochs
for which all folds fit into the time that is left, so that the learning rate reaches its end, and trains the folds by
the ordinary command. It ends in time, with exit status 0 also where something is left. The same command continues: the
number of epochs is kept in ``--work``, on the machine's own disk, with everything that a training needs. Results go to
``--folder``, in a few files.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

STARTED = time.monotonic()
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from benchmarks import pace  # noqa: E402
from benchmarks.pace import Pace  # noqa: E402
from pipeline import config  # noqa: E402
from pipeline.artifacts import Freshness, Layout, backup_folder  # noqa: E402
from pipeline.artifacts.backup import saved_history, started  # noqa: E402
from pipeline.config import UserError  # noqa: E402
from pipeline.config.datasets import DEMO, TGS  # noqa: E402
from pipeline.road.request import requested_folds  # noqa: E402
from pipeline.road.select import parse_folds  # noqa: E402
from pipeline.stages import pretrain, train, validate  # noqa: E402
from pipeline.system import machine  # noqa: E402
from pipeline.system.progress import echo, fold_names, format_duration  # noqa: E402

FINISH = 15.0
"""Seconds for the validation and the report after the folds."""
STOP = 12.0
"""Seconds before the end at which a training that is not done is stopped, and its results are collected."""
LARGEST = 15 << 20
"""Bytes of the largest file of probabilities that is left in the folder."""
RESULTS = ("cv.json", "scores.csv", "choice.json", "config.toml", "folds.json", "report.html", "report.json")
FOLD_RESULTS = ("train.json", "history.csv", "oof.json", "metrics.json")


class Session:
    """One call: which folds of which experiment, where, and until when."""

    def __init__(self, options: argparse.Namespace, ends: float) -> None:
        self._options, self.ends = options, ends
        self.settings = config.load(options.experiment, self._assignments())
        self.folds = parse_folds(options.folds, self.settings.split.folds)
        identity = config.fingerprint([config.stored(self.settings), str(options.archive)])[:12]
        default = Path(tempfile.gettempdir()) / f"gpu-session-{options.experiment}-{identity}"
        self.work: Path = options.work or default
        self.kept = self.work / "session.json"
        """The number of epochs, or the seconds of calls that ended in the pretraining, for the calls after."""

    def _assignments(self) -> list[str]:
        return [each for text in self._options.set for each in config.split_assignments(text)]

    def left(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()

    def layout(self, epochs: int) -> Layout:
        """The folders of the experiment with a number of epochs."""
        settings = config.load(self._options.experiment, [*self._assignments(), f"train.epochs={epochs}"])
        return Layout(self.work, self._options.dataset, self._options.experiment, settings)

    def pipeline(self, stage: str, *assignments: str) -> int | None:
        """Run a command of the pipeline until it ends, or until the time is over; its status, or None if stopped."""
        options = self._options
        command = [sys.executable, "-m", "pipeline", stage, "--experiment", options.experiment]
        command += ["--dataset", options.dataset, "--root", str(self.work), "--folds", ",".join(map(str, self.folds))]
        command += ["--jobs", str(options.jobs), *(["--archive", str(options.archive)] if options.archive else [])]
        for each in (*self._assignments(), *assignments):
            command += ["--set", each]
        with subprocess.Popen(command, env=os.environ | _cache(self.work)) as running:
            try:
                return running.wait(max(0.0, self.left() - STOP))
            except subprocess.TimeoutExpired:
                return None
            finally:
                _stop(running, max(0.5, self.left() - STOP / 2))

    # ---- Epochs -----------------------------------------------------------------------------------------------------

    def epochs(self) -> int:
        """The number of epochs: the one that was chosen before, that of ``--epochs``, or the largest that fits."""
        known = self._known()
        if "epochs" in known:
            chosen = int(known["epochs"])
            echo(f"session: continues with {chosen} epochs in {self.work}")
            return chosen
        found: dict[str, object] = {"experiment": self._options.experiment, "folds": self.folds}
        chosen = self._options.epochs
        if not chosen:
            measured = self._pace()
            found |= {"epoch_seconds": round(measured.epoch, 3), "fold_seconds": round(measured.fold, 1)}
            chosen = self._fitting(measured)
        self.kept.write_text(json.dumps(found | {"epochs": chosen}) + "\n", encoding="utf-8")
        return chosen

    def _known(self) -> dict[str, Any]:
        """What calls before have kept."""
        return json.loads(self.kept.read_text(encoding="utf-8")) if self.kept.is_file() else {}

    def pretrain(self) -> int | None:
        """Make the pretrained network, if the folds start from one; the status as of ``pipeline``."""
        layout = self.layout(self.settings.train.epochs)
        if not pretrain.is_used(layout) or Freshness().state(pretrain.artifact(layout)).done:
            return 0
        status = self.pipeline("pretrain")
        if status is None:
            known = self._known()
            spent = known.get("spent_seconds", 0.0) + 60 * self._options.minutes - self.left()
            self.kept.write_text(json.dumps(known | {"spent_seconds": round(spent, 1)}) + "\n", encoding="utf-8")
        return status

    def _pace(self) -> Pace:
        layout = self.layout(self.settings.train.epochs)
        measured = pace.measure(
            [train.task(layout, fold) for fold in self.folds], self._options.jobs, self.left() - STOP
        )
        at_once = f" with {self._options.jobs} folds at once" if self._options.jobs > 1 else ""
        echo(f"session: {measured.epoch:.2f} s for an epoch{at_once}, {measured.fold:.0f} s for the rest of a fold")
        return measured

    def _fitting(self, measured: Pace) -> int:
        later = 60 * ((self._options.in_all or 0) - self._options.minutes) - self._known().get("spent_seconds", 0.0)
        seconds = self.left() - STOP + max(0.0, later)
        chosen = pace.epochs_that_fit(measured, seconds, len(self.folds), self._options.jobs, FINISH)
        about = f"{fold_names(self.folds)}, {self._options.jobs} at once, in {format_duration(seconds)}"
        if not chosen:
            echo(f"session: not one epoch of {about} fits; training 1 epoch, with the rest for the next calls")
        else:
            echo(f"session: {chosen} epochs of {about}")
        return max(1, chosen)

    # ---- Results ----------------------------------------------------------------------------------------------------

    def unfinished(self, layout: Layout) -> list[str]:
        """What is left to do, a few words for each fold, and for the validation of all."""
        freshness, found = Freshness(), []
        for fold in self.folds:
            if freshness.state(train.out_of_fold(layout, fold)).done:
                continue
            artifact = train.trained(layout, fold)
            done = len(saved_history(backup_folder(artifact))) if started(artifact) else 0
            if freshness.state(artifact).done:
                done = layout.settings.train.epochs
            found.append(f"fold {fold} ({done} of {layout.settings.train.epochs} epochs done)")
        validated = validate.artifact(layout, requested_folds(layout))
        return found if found or freshness.state(validated).done else ["the validation"]

    def collect(self, layout: Layout, folder: Path, weights: bool) -> None:
        """Leave results in a folder, as zip files of paths below the root folder; unzip them there to continue."""
        experiment = layout.experiment_folder
        folds = [layout.fold_folder(fold) for fold in self.folds]
        small = [experiment / name for name in RESULTS] + [each / name for each in folds for name in FOLD_RESULTS]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.kept.name).write_bytes(self.kept.read_bytes())
        _zip(folder / "results.zip", small, self.work)
        path = folder / "oof.zip"
        _zip(path, (each / "oof.npy" for each in folds), self.work)
        if path.is_file() and path.stat().st_size > LARGEST:
            echo(f"session: oof.zip would have {path.stat().st_size >> 20} MiB and is left out")
            path.unlink()
        for fold, own in zip(self.folds, folds, strict=True) if weights else ():
            _zip(folder / f"weights-{fold}.zip", sorted(own.glob("*.weights.h5")), self.work)


def _cache(work: Path) -> dict[str, str]:
    """Where JAX keeps what it has compiled for a GPU, so that only the first fold compiles it."""
    known = "JAX_COMPILATION_CACHE_DIR" in os.environ or not machine.gpus()
    return {} if known else {"JAX_COMPILATION_CACHE_DIR": str(work / "jax")}


def _stop(running: subprocess.Popen[bytes], seconds: float) -> None:
    """End a command as a user would: what is done is kept. After some seconds, kill it."""
    if running.poll() is not None:
        return
    running.send_signal(signal.SIGTERM)
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def _zip(path: Path, files: Iterable[Path], root: Path) -> None:
    """Write the files that there are into a zip file; without any, none."""
    there = [each for each in files if each.is_file()]
    path.unlink(missing_ok=True)
    if there:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in there:
                archive.write(each, each.relative_to(root))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_session", description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, help="a zip or folder with the tiles")
    parser.add_argument("--dataset", default=TGS.name, help=f"default {TGS.name}; {DEMO.name} needs no archive")
    parser.add_argument("--folder", type=Path, required=True, help="gets the results, in a few files")
    parser.add_argument("--minutes", type=float, default=9, help="after which this call ends (default 9)")
    parser.add_argument("--in-all", type=float, metavar="MINUTES", help="of this call and the next ones together")
    parser.add_argument("--experiment", default=TGS.default_experiment, metavar="NAME")
    parser.add_argument("--folds", default="", metavar="0,1", help="only these folds (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    parser.add_argument("--jobs", type=int, default=1, help="folds at once (default 1)")
    parser.add_argument("--epochs", type=int, help="this many, instead of those that fit")
    parser.add_argument("--weights", action="store_true", help="leave the weights in the folder, too")
    parser.add_argument("--work", type=Path, help="root folder on the machine's own disk (default: a temporary one)")
    return parser


def main(arguments: Sequence[str] | None = None, began: float | None = None) -> int:
    """Run one call; returns the exit status: 0 also where something is left, 2 where the pipeline fails."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.jobs < 1 or options.minutes <= 0:
        parser.error("--jobs and --minutes must be more than 0")
    try:
        session = Session(options, (time.monotonic() if began is None else began) + 60 * options.minutes)
        session.work.mkdir(parents=True, exist_ok=True)
        if session.pipeline("split"):
            return 2
        if status := session.pretrain():
            return 2
        if status is None:
            echo("session: left: the pretraining, and all folds; the same command continues")
            return 0
        epochs = session.epochs()
        layout = session.layout(epochs)
        status = session.pipeline("train", f"train.epochs={epochs}")
        session.collect(layout, options.folder, options.weights)
        if status:
            return 2
        left = session.unfinished(layout)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    done = f"session: left: {', '.join(left)}; the same command continues" if left else "session: all folds are done"
    echo(f"{done} ({format_duration(max(0.0, session.left()))} left)")
    return 0


if __name__ == "__main__":
    sys.exit(main(began=STARTED))
