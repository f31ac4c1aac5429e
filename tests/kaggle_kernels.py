"""Kernels at the server that answers as Kaggle does: pushed scripts that run, or only seem to."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kaggle_server import COMPETITION, Kaggle

STORAGE, STREAM = "/storage/kernels/", "/api/v1/kernels/logs/stream/"
DENIED = {"code": 403, "message": "Permission 'kernels.get' was denied"}
PROJECT = Path(__file__).parent.parent


@dataclass
class Run:
    """A kernel that was pushed."""

    ref: str
    asked: dict[str, Any]
    """The request."""
    statuses: list[str]
    """What is answered next; the last one stays."""
    lines: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    message: str = ""

    @property
    def job(self) -> dict[str, Any]:
        """What its script is to do."""
        text = self.asked["text"].rpartition("main(json.loads(")[2].partition('), """\n')[0]
        return json.loads(eval(text))  # the project's own text

    @property
    def slug(self) -> str:
        return self.ref.partition("/")[2]


class Kernels:
    """The service of kernels.

    Args:
        kaggle: the server.
        work: called with each kernel that is pushed; sets what becomes of it.
    """

    def __init__(self, kaggle: Kaggle, work: Callable[[Run], None]) -> None:
        self.runs: dict[str, Run] = {}
        self.work = work
        self.refusals: list[dict[str, Any]] = []
        """Answers to the next pushes."""
        self.listed = True
        """Whether the list of kernels names them."""
        self.owner = "somebody"
        self.refresh = "2026-01-03T00:00:00Z"
        self.datasets: dict[str, list[str]] = {}
        """Private datasets -> what is answered about their status, the last one for ever."""
        self.created: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        kaggle.services |= {
            "SaveKernel": self._save,
            "ListKernels": self._list,
            "GetKernelSessionStatus": self._status,
            "ListKernelSessionOutput": self._output,
            "GetAcceleratorQuotaStatistics": lambda body: {"quotaRefreshTime": self.refresh},
            "GetDatasetStatus": self._dataset_status,
            "StartBlobUpload": lambda body: {
                "token": f"token-of-{body['name']}",
                "createUrl": "http://localhost/storage/upload",
            },
            "CreateDataset": self._create_dataset,
        }
        kaggle.pages |= {STORAGE: self._file, STREAM: self._stream}

    @property
    def pushed(self) -> list[Run]:
        """All kernels, in the order in which they were pushed."""
        return list(self.runs.values())

    def _save(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.refusals:
            refused = self.refusals.pop(0)
            if "error" in refused or "code" in refused:
                return refused
        else:
            refused = {}
        ref = body["slug"]
        assert ref.partition("/")[2] == body["newTitle"], "Kaggle would make another name of this title"
        assert len(body["newTitle"]) <= 50
        assert ref not in self.runs, "a second kernel of this name"
        assert body["isPrivate"]
        run = Run(ref, body, ["COMPLETE"])
        self.work(run)
        with self._lock:
            self.runs[ref] = run
        return {"ref": f"/code/{ref}", "url": f"https://www.kaggle.com/code/{ref}", "versionNumber": 1, **refused}

    def _list(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["group"] == "PROFILE"
        return {"kernels": [{"ref": ref, "title": ref} for ref in reversed(self.runs)] if self.listed else []}

    def _status(self, body: dict[str, Any]) -> dict[str, Any]:
        run = self._run(body)
        if run is None:
            return DENIED
        status = run.statuses.pop(0) if len(run.statuses) > 1 else run.statuses[0]
        return {"status": status, **({"failureMessage": run.message} if run.message else {})}

    def _output(self, body: dict[str, Any]) -> dict[str, Any]:
        run = self._run(body)
        if run is None:
            return DENIED
        size, start = 2, int(body.get("pageToken") or 0)  # smaller pages than asked for, so that there are several
        names = sorted(run.files)
        return {
            "files": [
                {"fileName": name, "url": f"http://localhost{STORAGE}{run.slug}/{name}"}
                for name in names[start : start + size]
            ],
            "log": json.dumps([{"stream_name": "stdout", "time": 1.0, "data": f"{line}\n"} for line in run.lines]),
            "nextPageToken": str(start + size) if start + size < len(names) else "",
        }

    def _file(self, path: str) -> tuple[str, bytes]:
        slug, name = path.removeprefix(STORAGE).split("/")
        (run,) = (run for run in self.runs.values() if run.slug == slug)
        return "application/zip", run.files[name]

    def _stream(self, path: str) -> tuple[str, bytes]:
        run = self.runs[path.removeprefix(STREAM)]
        events = [json.dumps({"stream_name": "stdout", "time": 1.0, "data": f"{line}\n"}) for line in run.lines]
        return "text/event-stream", "".join(f"data: {event}\n\n" for event in [*events, "END_OF_LOG"]).encode()

    def _dataset_status(self, body: dict[str, Any]) -> dict[str, Any]:
        statuses = self.datasets.get(f"{body['ownerSlug']}/{body['datasetSlug']}")
        if statuses is None:
            return {"code": 403, "message": "Permission 'datasets.get' was denied"}
        return {"status": statuses.pop(0) if len(statuses) > 1 else statuses[0]}

    def _create_dataset(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        self.datasets[f"{body['ownerSlug']}/{body['slug']}"] = ["BLOBS_RECEIVED", "READY"]
        return {"status": "ok", "error": ""}

    def _run(self, body: dict[str, Any]) -> Run | None:
        return self.runs.get(f"{body['userName']}/{body['kernelSlug']}")


def results(root: Path, run: Run, *folds: int, predicted: bool = True) -> dict[str, bytes]:
    """The output of a kernel that has trained some folds, taken from a root folder where they are trained."""
    job = run.job
    experiment = root / "data" / job["dataset"] / "experiments" / job["experiment"]
    found = {}
    for fold in folds:
        paths = [path for path in (experiment / f"fold-{fold}").iterdir() if path.is_file()]
        found[f"train-fold-{fold}.zip"] = zipped(root, paths)
        if predicted:
            paths = [experiment / f"test/fold-{fold}.{suffix}" for suffix in ("json", "npy")]
            found[f"test-fold-{fold}.zip"] = zipped(root, paths)
    return found


def zipped(root: Path, paths: list[Path]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in paths:
            archive.write(path, path.relative_to(root))
    return stream.getvalue()


class Machine:
    """Runs pushed scripts in a folder laid out like Kaggle's.

    Args:
        folder: of the machines.
        competition: folder of the competition's files.
    """

    def __init__(self, folder: Path, competition: Path) -> None:
        self.folder, self.competition = folder, competition
        self.kernels: Kernels | None = None
        """Gives the output of earlier kernels."""
        self.patches: list[str] = []
        """Code that is put before the call of ``main``, for the next kernels."""

    def __call__(self, run: Run) -> None:
        """Start a kernel."""
        run.statuses = ["QUEUED", "RUNNING"]
        threading.Thread(target=self._run, args=(run,), daemon=True).start()

    def _run(self, run: Run) -> None:
        place = self.folder / run.slug
        (place / "input").mkdir(parents=True)
        (place / "working").mkdir()
        for name in run.asked.get("competitionDataSources", []):
            assert name == COMPETITION
            shutil.copytree(self.competition, place / "input" / name)
        for ref in run.asked.get("kernelDataSources", []):
            assert self.kernels is not None
            # Newer mounts have folders of the kind and of the owner.
            mounted = place / "input/notebooks" / ref
            mounted.mkdir(parents=True)
            for name, content in self.kernels.runs[ref].files.items():
                (mounted / name).write_bytes(content)
        before, call, after = run.asked["text"].rpartition("\n\nmain(")
        script = place / "script.py"
        script.write_text(f"{before}\n{self.patches.pop(0) if self.patches else ''}{call}{after}")
        (place / "scratch").mkdir()
        # Nothing of this checkout, no credentials, and pip may not change anything.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "PYTHON"))}
        ran = subprocess.run(
            [sys.executable, "-u", script.name],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=900,
            env={
                **kept,
                "PIPELINE_KAGGLE": str(place),
                "TMPDIR": str(place / "scratch"),
                "PIP_DRY_RUN": "1",
                "PIP_NO_INDEX": "1",
            },
        )
        run.lines = (ran.stdout + ran.stderr).splitlines()
        run.files = {path.name: path.read_bytes() for path in (place / "working").iterdir()}
        run.statuses = ["ERROR" if ran.returncode else "COMPLETE"]
