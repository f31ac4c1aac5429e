"""Bring home what kernels have left, and put in place what is as its manifest says."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pipeline.artifacts import Artifact, Freshness, invalidate, parse_manifest, remove_backup, updating, verify
from pipeline.config import UserError
from pipeline.execution.kaggle.api import KernelApi
from pipeline.execution.kaggle.names import Kernel, Training
from pipeline.execution.kaggle.records import arriving
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system import atomic, disk
from pipeline.system.progress import echo, fold_names

Task = TypeVar("Task", bound=FoldTask)


def fetch_trained(api: KernelApi, training: Training, kernel: Kernel, tasks: Sequence[TrainTask]) -> list[TrainTask]:
    """Fetch the folds that a kernel has trained.

    Args:
        api: signed in.
        training: of the folds.
        kernel: has ended.
        tasks: the folds that are wanted; those that are not the kernel's are left out.

    Returns:
        The tasks whose networks are in place now.

    Raises:
        UserError: what arrived is damaged, or another training; nothing of it is in place.
    """
    found = []
    with _archives(api, training, kernel, "train", tasks) as archives:
        for task, archive in archives:
            if not _place(archive, task.trained, task.root):
                raise UserError(
                    f"{archive.name} of kernel {kernel.ref} was made of other tiles or settings than those here; if "
                    "the tiles were made again meanwhile, run the same command again"
                )
            # The views that are averaged may have changed since: then this machine predicts.
            _place(archive, task.out_of_fold, task.root)
            remove_backup(task.trained)
            found.append(task)
    return found


def fetch_predicted(
    api: KernelApi, training: Training, kernel: Kernel, tasks: Sequence[PredictTask]
) -> list[PredictTask]:
    """Fetch the predictions of the test tiles that a kernel has made; arguments as in ``fetch_trained``."""
    with _archives(api, training, kernel, "test", tasks) as archives:
        return [task for task, archive in archives if _place(archive, task.predicted, task.root)]


@contextmanager
def _archives(
    api: KernelApi, training: Training, kernel: Kernel, kind: str, tasks: Sequence[Task]
) -> Iterator[list[tuple[Task, Path]]]:
    """The zips of a kernel's folds, in a folder that is removed when the block ends."""
    wanted = [task for task in tasks if task.fold in kernel.folds]
    folder = arriving(training, kernel)
    try:
        if wanted:
            echo(f"fetch: {fold_names(task.fold for task in wanted)} of kernel {kernel.ref}")
            numbers = "|".join(str(task.fold) for task in wanted)
            api.download(kernel, rf"^{re.escape(kind)}-fold-({numbers})\.zip$", folder)
        pairs = [(task, folder / f"{kind}-fold-{task.fold}.zip") for task in wanted]
        yield [(task, path) for task, path in pairs if path.is_file()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(archive: Path, artifact: Artifact, root: Path) -> bool:
    """Put an artifact of a zip in place, unless it was made with other settings or inputs than those here.

    Its files are compared with the hashes of its manifest, which comes last.

    Returns:
        Whether it is in place.

    Raises:
        UserError: it is damaged.
    """
    prefix, arrived = artifact.folder.relative_to(root).as_posix(), archive.with_suffix("")
    try:
        with zipfile.ZipFile(archive) as files:
            content = files.read(f"{prefix}/{artifact.manifest_name}")
            manifest = parse_manifest(content)
            if manifest is None or not Freshness().fits(artifact, manifest):
                return False
            names = [*manifest.outputs, *manifest.extras]
            arrived.mkdir(exist_ok=True)
            for name in names:
                with files.open(f"{prefix}/{name}") as source, (arrived / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                disk.sync(arrived / name)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        if disk.failure(error):
            raise
        raise UserError(f"{archive.name} arrived damaged; the same command fetches it again") from None
    if error_text := verify(replace(artifact, folder=arrived), manifest):
        raise UserError(f"{archive.name} arrived damaged ({error_text}); the same command fetches it again")
    with updating(artifact, invalidate_first=False) as folder:
        invalidate(artifact)
        for name in names:
            (arrived / name).replace(folder / name)
        atomic.write_bytes(artifact.manifest_path, content)
    return True
