"""What runs at Kaggle: trains folds, predicts the test tiles with them, and leaves a zip for each fold.

``script`` sends the text of this module, followed by a call of ``main``; therefore it uses the standard library alone
until the packages are installed. It runs the commands of ``python -m pipeline`` in a folder like that at home.
"""

from __future__ import annotations

import base64
import json
import lzma
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("PIPELINE_KAGGLE") or "/kaggle")
"""The folder of ``input`` and ``working``; tests set another one."""
ERROR, STOPPED, NOTE = "PIPELINE-ERROR: ", "PIPELINE-STOPPED: ", "PIPELINE: "
"""How the lines begin that the command at home reads in the log."""
INTERVAL = 10.0
"""Seconds between two looks at which folds are done."""
SECONDS_TO_STOP = 120
"""Seconds that training has to end once it is asked to."""
MIB = 2**20
CUDA = {"tensorflow": "and-cuda", "jax": "cuda12"}
"""Extras of the frameworks that install the CUDA libraries."""


class KernelError(Exception):
    """A reason to end, in one line."""


def main(job: dict[str, Any], payload: str) -> None:
    """Do the work of a kernel, and end the process.

    Args:
        job: what to do, see ``script.make_job``.
        payload: a zip of the wheel (as .xz), the experiment's settings and the split; in base 85.
    """
    run = Run(job)
    try:
        run.prepare(payload)
        run.work()
    except KernelError as error:
        run.collect(started=True)
        print(f"{ERROR}{error}", flush=True)
        sys.exit(1)


class Run:
    """The work of one kernel."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.started = job, time.monotonic()
        scratch = Path(tempfile.mkdtemp(prefix="tgs-salt-"))
        self.code, self.root, self.out = scratch / "code", scratch / "root", FOLDER / "working"
        self.experiment = self.root / "data" / job["dataset"] / "experiments" / job["experiment"]
        self.errors: list[str] = []
        self.stopping = False

    def prepare(self, payload: str) -> None:
        """Unpack, install what is missing, and make the tiles."""
        if self.job["gpu"] and not _gpus():
            raise KernelError("no GPU: Kaggle gave this kernel none")
        self._unpack(payload)
        self._install()
        for slug in self.job["sources"]:
            self._continue(slug)
        self._tiles()

    def work(self) -> None:
        """Train and predict until all is done or the time is over."""
        folds = self.job["folds"]
        jobs = max(1, min(len(folds), len(_gpus())))
        status = self._pipeline("train", "--folds", _numbers(folds), "--jobs", str(jobs), stoppable=True)
        if done := [fold for fold in folds if self._trained(fold)]:
            predicted = self._pipeline("predict", "--folds", _numbers(done), "--jobs", str(jobs))
            status = status or predicted
        self.collect(started=True)
        if len(done) < len(folds) and self.is_over():
            left = [fold for fold in folds if fold not in done]
            print(f"{STOPPED}no time left for folds {_numbers(left)}", flush=True)
        elif status:
            reason = self.errors[-1] if self.errors else f"the pipeline ended with status {status}"
            raise KernelError("out of memory" if status == -signal.SIGKILL else reason)

    def is_over(self) -> bool:
        """Whether the time for training is over."""
        return time.monotonic() - self.started >= self.job["seconds"]

    def collect(self, started: bool = False) -> None:
        """Write a zip of each fold that is done, and of each that is only started where asked for."""
        for fold in self.job["folds"]:
            folder, test = self.experiment / f"fold-{fold}", self.experiment / "test"
            if self._trained(fold):
                self._zip(f"train-fold-{fold}.zip", [path for path in folder.iterdir() if _is_plain(path)])
                (self.out / f"started-fold-{fold}.zip").unlink(missing_ok=True)
            elif started and (backups := [path for path in folder.glob("backup-*/*") if _is_plain(path)]):
                self._zip(f"started-fold-{fold}.zip", backups)
            if (test / f"fold-{fold}.json").is_file():
                self._zip(f"test-fold-{fold}.zip", [test / f"fold-{fold}.{suffix}" for suffix in ("json", "npy")])

    def _unpack(self, payload: str) -> None:
        archive = zipfile.ZipFile(BytesIO(base64.b85decode("".join(payload.split()))))
        with zipfile.ZipFile(BytesIO(lzma.decompress(archive.read(self.job["wheel"])))) as wheel:
            wheel.extractall(self.code)
        path = self.code / self.job["settings"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read("settings.toml"))
        for name in archive.namelist():
            if name.startswith("data/"):
                archive.extract(name, self.root)
        os.environ.update(self.job["environment"])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.code), os.environ.get("PYTHONPATH")]))

    def _install(self) -> None:
        """Install what Kaggle's image lacks; pip leaves alone what is new enough."""
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if self.job["wheels"]:
            folder = _find(self.job["wheels"])
            if folder is None:
                raise KernelError(f"the dataset {self.job['wheels']} is not mounted")
            pip += ["--no-index", "--find-links", str(folder)]
        self._pip([*pip, *self.job["requirements"]])
        backend = os.environ["KERAS_BACKEND"]
        if self.job["gpu"] and not self._gpus_of_framework():
            # A framework that is newer than the image's needs the CUDA libraries that belong to it.
            version = self._answer(f"from importlib.metadata import version; print(version({backend!r}))")
            if backend in CUDA:
                self._pip([*pip, f"{backend}[{CUDA[backend]}]=={version}"])
            if not self._gpus_of_framework():
                raise KernelError(f"no GPU: {backend} does not find the {len(_gpus())} of this machine")

    def _pip(self, command: list[str]) -> None:
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
            print("\n".join(lines), flush=True)
            offline = any("resolution" in line or "retrying" in line.lower() for line in lines)
            reason = "no internet" if offline else (lines or ["pip failed"])[-1].removeprefix("ERROR: ")
            raise KernelError(f"packages cannot be installed: {reason}")

    def _gpus_of_framework(self) -> int:
        found = self._answer("from pipeline.network import device; print(len(device.gpus()))")
        print(f"{NOTE}GPUs that {os.environ['KERAS_BACKEND']} finds: {found}", flush=True)
        return int(found) if found.isdigit() else 0

    def _answer(self, code: str) -> str:
        """The last word that some code prints in a process of its own."""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if ran.returncode:
            print(ran.stderr[-2000:], flush=True)
        return (ran.stdout.split() or [""])[-1]

    def _continue(self, slug: str) -> None:
        """Take over what an earlier kernel has left of these folds."""
        folder = _find(slug)
        if folder is None:
            return
        for fold in self.job["folds"]:
            for path in (folder / f"{kind}-fold-{fold}.zip" for kind in ("started", "train", "test")):
                if path.is_file():
                    with zipfile.ZipFile(path) as archive:
                        archive.extractall(self.root)
                    print(f"{NOTE}{path.name} of {slug}", flush=True)

    def _tiles(self) -> None:
        """Make the tiles, and compare them with those at home."""
        if self.job["competition"]:
            folder = _find(self.job["competition"])
            if folder is None:
                raise KernelError("the competition's files are not mounted: its rules are not accepted")
            status = self._pipeline("split", "--archive", str(folder))
        else:
            status = self._pipeline("split")
        if status:
            raise KernelError(self.errors[-1] if self.errors else f"the tiles cannot be prepared (status {status})")
        for name, (path, wanted) in self.job["inputs"].items():
            if json.loads((self.root / path).read_text())["fingerprint"] != wanted:
                raise KernelError(f"{name}: other tiles than at home")

    def _trained(self, fold: int) -> bool:
        folder = self.experiment / f"fold-{fold}"
        return (folder / "train.json").is_file() and (folder / "oof.json").is_file()

    def _pipeline(self, stage: str, *options: str, stoppable: bool = False) -> int:
        """Run a command of the pipeline, and collect what it has done meanwhile.

        Args:
            stage: its name.
            options: of the command.
            stoppable: whether it is stopped once the time is over.

        Returns:
            The exit status.
        """
        where = ["--root", str(self.root), "--dataset", self.job["dataset"], "--experiment", self.job["experiment"]]
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pipeline", stage, *where, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        reader = threading.Thread(target=self._print, args=(process,))
        reader.start()
        while True:
            try:
                process.wait(INTERVAL)
                break
            except subprocess.TimeoutExpired:
                self.collect()
                if stoppable and self.is_over():
                    self.stopping = True
                    _stop(process)
        reader.join()
        self.stopping = False
        return process.returncode

    def _print(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("error: "):
                self.errors.append(line.removeprefix("error: ").strip())
                if self.stopping:
                    continue  # it says that it was interrupted
            print(line, end="", flush=True)

    def _zip(self, name: str, paths: list[Path]) -> None:
        """Write a zip of files below the root folder, unless it is there."""
        path = self.out / name
        if path.exists() and not name.startswith("started"):
            return
        writing = self.out / f".{name}.writing"
        with zipfile.ZipFile(writing, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for each in sorted(paths):
                archive.write(each, each.relative_to(self.root))
        writing.replace(path)
        print(f"{NOTE}{name}, {path.stat().st_size / MIB:.1f} MiB", flush=True)


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, which saves nothing more: its last finished epoch is on disk."""
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()


def _find(name: str) -> Path | None:
    """A folder of the input with this name; Kaggle mounts some below a folder of their kind or owner."""
    level = [FOLDER / "input"]
    for _ in range(4):
        level = [path for folder in level if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
        for path in level:
            if path.name == name:
                return path
    return None


def _gpus() -> list[str]:
    try:
        ran = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in ran.stdout.splitlines() if line.startswith("GPU ")] if not ran.returncode else []


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _numbers(folds: list[int]) -> str:
    return ",".join(map(str, folds))
