"""Run folds, and chunks of predictions, as tasks of a Ray cluster: on this machine's cores, on its GPUs, or on many.

The only module that knows Ray. Inside a task runs what runs without Ray (``launch.train_one`` and the functions of
``pipeline.execution.fold``). The driver, which is the command's own process, only schedules, shows progress, and
puts the chunks of predictions together. A task writes nothing but its own fold's folder, or its own chunks of
predictions.

A worker that is lost (its process killed, its machine gone) costs what it had not saved: Ray runs the task again on
another one, which goes on after the fold's last finished epoch.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pipeline
from pipeline.artifacts import (
    Artifact,
    BusyError,
    Freshness,
    Layout,
    Manifest,
    backup_folder,
    backup_name,
    begun,
    commit,
    inputs_now,
    invalidate,
    locked,
    remove_backup,
    remove_parts,
    updating,
    verify,
)
from pipeline.artifacts.layout import CHUNK
from pipeline.artifacts.remote import Store
from pipeline.config import ClusterSettings, UserError, fingerprint
from pipeline.execution import local as launch
from pipeline.system import disk, machine
from pipeline.system.atomic import mapped, writing
from pipeline.system.progress import Epoch, FoldCallback, Progress, echo

RETRIES = 8
"""Workers that a task may lose before it fails."""
PAUSE = 0.5
"""Seconds between two looks at the cluster, and between two words of a task about its steps."""
PATIENCE = 90.0
"""Seconds that a task waits for a lock: the worker that was lost may take a moment to be gone."""
SCRATCH = "PIPELINE_SCRATCH"
"""Variable of a machine's environment: its folder for copies of a store's artifacts; by default a temporary one."""
PASSED = ("KERAS_BACKEND", "NO_ALBUMENTATIONS_UPDATE", "TF_CPP_MIN_LOG_LEVEL")
"""Variables of the driver's environment that hold in its tasks."""

Work = Sequence[tuple[Layout, Sequence[int]]]
"""Experiments, and of each the folds."""


@dataclass(frozen=True)
class Share:
    """What a task gets of a machine."""

    cpus: int
    gpus: float
    slots: int
    """Tasks that the cluster runs at once."""


@dataclass(frozen=True)
class TaskContext:
    """What all tasks of a run are told."""

    share: Share
    store: str
    environment: dict[str, str]
    progress: Any
    """The actor that takes what tasks have to say."""


@dataclass(frozen=True)
class Job:
    """What one task is about."""

    number: int
    layout: Layout
    fold: int
    inputs: dict[str, str]
    """Fingerprints of tiles and split that the driver sees."""
    starts: tuple[int, ...] = ()
    """First tiles of the chunks to predict."""


# ---- The driver -----------------------------------------------------------------------------------------------------


def train(work: Work, place: ClusterSettings) -> None:
    """Train the folds of some experiments and predict their out-of-fold tiles, whatever of it is not done yet.

    Args:
        work: experiments and their folds.
        place: where.

    Raises:
        UserError: Ray or the cluster is not there, or folds failed; the others are done.
    """
    work, freshness = _absolute(work), Freshness()
    pairs = [(layout, fold) for layout, folds in work for fold in folds]
    named = len(work) > 1
    with ExitStack() as stack:
        store = _open(place, work, freshness)
        if store is not None:
            for layout, fold in pairs:
                # Tasks elsewhere do not see the locks here.
                stack.enter_context(locked(layout.train(fold)))
                stack.enter_context(locked(layout.out_of_fold(fold)))
            pairs = [pair for pair in pairs if not _brought(store, *pair)]
            for layout, fold in pairs:
                _offer(store, layout, fold)
        jobs = [Job(number, layout, fold, _inputs(layout, freshness)) for number, (layout, fold) in enumerate(pairs)]
        if not jobs:
            return
        ray = stack.enter_context(_joined(place))
        share = _share(ray, place, len(jobs))
        shown = stack.enter_context(_Training(jobs, share, freshness, named))

        def done(job: Job) -> None:
            if store is not None:
                _pull_fold(store, job.layout, job.fold)
                remove_backup(job.layout.train(job.fold))
            now = Freshness()
            _must_be_here(now, job.layout, job.layout.train(job.fold), job.layout.out_of_fold(job.fold))
            shown.done(job, launch.fold_line(job.layout, job.fold, now))

        _run(ray, _train_task, jobs, share, place, shown, done)


def predict(work: Work, place: ClusterSettings) -> None:
    """Predict the test tiles with the networks of these folds, in chunks side by side."""
    work, freshness = _absolute(work), Freshness()
    named = len(work) > 1
    pairs = [(layout, fold) for layout, folds in work for fold in folds]
    with ExitStack() as stack:
        for layout, fold in pairs:
            stack.enter_context(updating(layout.test(fold), invalidate_first=False))
        store = _open(place, work, freshness)
        if store is not None:
            for layout, fold in pairs:
                _push(store, layout.train(fold))
        todo = [
            [start for start in _starts(layout, freshness) if not _part_is_here(store, layout, fold, start)]
            for layout, fold in pairs
        ]
        if any(todo):
            ray = stack.enter_context(_joined(place))
            share = _share(ray, place, sum(map(len, todo)))
            # As many tasks as run at once; where there are more folds than that, halves, so that fewer wait at the end.
            slots, folds = share.slots, sum(map(bool, todo))
            shards = slots // folds if slots >= folds else 1 + bool(folds % slots)
            jobs = [
                Job(0, layout, fold, _inputs(layout, freshness), part)
                for (layout, fold), starts in zip(pairs, todo, strict=True)
                for part in dealt(starts, shards)
            ]
            jobs = [replace(job, number=number) for number, job in enumerate(jobs)]
            shown = stack.enter_context(_Predicting(jobs, named))

            def done(job: Job) -> None:
                now = Freshness()
                for start in job.starts:
                    part = job.layout.test_part(job.fold, start)
                    if store is not None:
                        store.pull(part, partial(Freshness().fits, part))
                    _must_be_here(now, job.layout, part)

            _run(ray, _predict_task, jobs, share, place, shown, done)
        for layout, fold in pairs:
            count = assemble(layout, fold, _starts(layout, freshness))
            if store is not None:
                store.remove(layout.test_part(fold, 0).folder)
            echo(f"{layout.experiment + ' ' if named else ''}fold {fold}: {count:,} test tiles predicted")


def _absolute(work: Work) -> Work:
    """The same experiments with a root that means the same in every process."""
    return [
        (Layout(layout.root.resolve(), layout.dataset, layout.experiment, layout.settings), folds)
        for layout, folds in work
    ]


def _inputs(layout: Layout, freshness: Freshness) -> dict[str, str]:
    manifests = {each.name: freshness.manifest(each) for each in (layout.tiles, layout.split)}
    return {name: manifest.fingerprint for name, manifest in manifests.items() if manifest}


def _load() -> ModuleType:
    """Import Ray."""
    # Nobody asked for statistics to be sent; and a task without a GPU is told so by ``_begin``.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--executor ray needs the package ray; type: make .venv/ready-cluster (or pip install '.[cluster]')"
        ) from None
    return ray


@contextmanager
def _joined(place: ClusterSettings) -> Iterator[ModuleType]:
    """Ray, connected to the cluster at an address, or to one on this machine that ends with the block.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    ray = _load()
    if place.address.startswith("ray://"):
        raise UserError(f"--address {place.address}: run this command on a machine of the cluster, with --address auto")
    # The tasks get this very code, whatever lies on their machine.
    options: dict[str, Any] = {"runtime_env": {"py_modules": [str(Path(pipeline.__file__).parent)]}}
    _must_answer(place.address)
    if not place.address:
        # Nothing of size goes through Ray's memory: what passes between tasks is on disk.
        options |= {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            place.address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
            **options,
        )
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError, AssertionError) as error:
        ray.shutdown()
        reason = " ".join(str(error).split())[:200]
        if not place.address:
            raise UserError(f"Ray does not start on this machine: {reason}") from None
        raise _no_cluster(place.address, reason) from None
    # Ray puts an answer of its own to SIGTERM in place of the command line's.
    signal.signal(signal.SIGTERM, terminated)
    # And a page of its log between our lines when a machine is lost, which ``log_to_driver`` does not keep back.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the Ray cluster does not answer any more ({reason}); start this command again") from None
    finally:
        ray.shutdown()


def _must_answer(address: str) -> None:
    """Knock at an address, because Ray itself would go on knocking for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"--address {address}: no Ray cluster answers ({reason.rstrip('.')}); start one with 'ray start --head', "
        "or leave --address out to use this machine alone"
    )


def _share(ray: ModuleType, place: ClusterSettings, tasks: int) -> Share:
    """What each task asks for: what the user says, else as much as lets most of them run at once.

    Raises:
        UserError: no machine of the cluster has that much.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return share_of([(int(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in machines], place, tasks)


def share_of(machines: Sequence[tuple[int, float]], place: ClusterSettings, tasks: int) -> Share:
    """What each of some tasks gets, where the machines have (cores, GPUs); see ``_share``."""
    gpus = place.gpus_per_fold if place.gpus_per_fold is not None else float(any(gpu >= 1 for _, gpu in machines))

    def slots(cpus: int) -> int:
        return sum(min(core // cpus, int(gpu / gpus + 1e-9) if gpus else core) for core, gpu in machines)

    most = max((core for core, _ in machines), default=0)
    cpus = place.cpus_per_fold
    if cpus is None:
        # As many cores as leave the number of tasks at once what it would be with one core each.
        cpus = max((each for each in range(1, most + 1) if slots(each) >= min(tasks, slots(1))), default=1)
    if not slots(cpus):
        has = "; ".join(sorted({f"{core} cores and {gpu:g} GPUs" for core, gpu in machines}))
        raise UserError(
            f"a fold asks for {cpus} cores and {gpus:g} GPUs, which no machine of the cluster has (they have {has}); "
            "set --cpus-per-fold and --gpus-per-fold"
        )
    return Share(cpus, gpus, slots(cpus))


def _run(
    ray: ModuleType,
    body: Callable[[TaskContext, Job], None],
    jobs: Sequence[Job],
    share: Share,
    place: ClusterSettings,
    shown: _Shown,
    done: Callable[[Job], None],
) -> None:
    """Have the tasks run, show what they say, and do what is to be done after each.

    Raises:
        UserError: some tasks failed; all others are done.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    progress = ray.remote(num_cpus=0, max_restarts=-1)(_ProgressActor).options(scheduling_strategy=here).remote()
    context = TaskContext(
        share, place.store, {name: os.environ[name] for name in PASSED if name in os.environ}, progress
    )
    # A process for each task: threads are counted, and a GPU is taken, once in a process's life.
    task = ray.remote(
        num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES, max_calls=1, scheduling_strategy="SPREAD"
    )(body)
    running = {task.remote(context, job): job for job in jobs}
    errors: list[str] = []
    while running:
        ready, _ = ray.wait(list(running), timeout=PAUSE)
        # A task's last word arrives before the task ends, so it is among these. What is lost of them is only shown.
        with suppress(ray.exceptions.RayActorError):
            for number, kind, told in ray.get(progress.take.remote()):
                shown.hear(jobs[number], kind, told)
        for each in ready:
            job = running.pop(each)
            try:
                ray.get(each)
                done(job)
            except (ray.exceptions.RayError, UserError) as error:
                errors.append(_told(ray, job, error))
    if errors:
        raise UserError("; ".join(dict.fromkeys(errors)))


def _told(ray: ModuleType, job: Job, error: Exception) -> str:
    """What went wrong with a task, in the words of a run without Ray."""
    cause = getattr(error, "cause", None) if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, UserError):
        return str(cause)
    name = f"{job.layout.experiment} fold {job.fold}"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"{name}: its machine ran out of memory; fewer folds at once need less: raise --cpus-per-fold"
    if isinstance(error, ray.exceptions.RayTaskError):
        if told := disk.failure(cause):
            return f"{name}: {told}"
        return f"{name}: its task ended with {type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    return f"{name}: lost its worker {RETRIES + 1} times ({type(error).__name__}); the same command goes on from here"


def _must_be_here(freshness: Freshness, layout: Layout, *made: Artifact) -> None:
    """What a task has made must be seen by the driver."""
    for artifact in made:
        if not freshness.state(artifact).done:
            raise UserError(
                f"{artifact.name}: its task is done, but nothing of it is in {layout.root}: its machine does not see "
                "this folder; share it between the machines, or name a store: --store s3://bucket/prefix"
            )


# ---- The driver and the store ---------------------------------------------------------------------------------------


def _open(place: ClusterSettings, work: Work, freshness: Freshness) -> Store | None:
    """The store with the tiles and splits in it, if there is one."""
    if not place.store:
        return None
    store = Store(place.store, work[0][0].root)
    for artifact in {each.manifest_path: each for layout, _ in work for each in (layout.tiles, layout.split)}.values():
        _push(store, artifact)
    return store


def _push(store: Store, artifact: Artifact) -> None:
    """Copy an artifact to the store; one command at a time does so."""
    if not store.has(artifact):
        with locked(artifact):
            store.push(artifact)


def _brought(store: Store, layout: Layout, fold: int) -> bool:
    """Bring what an earlier run has left of a fold in the store; returns whether nothing is missing now."""
    _pull_fold(store, layout, fold)
    now = Freshness()
    if not (now.state(layout.train(fold)).done and now.state(layout.out_of_fold(fold)).done):
        return False
    echo(launch.fold_line(layout, fold, now))
    return True


def _pull_fold(store: Store, layout: Layout, fold: int) -> None:
    """Copy what is finished of a fold from the store, unless it is here."""
    for artifact in (layout.train(fold), layout.out_of_fold(fold)):
        now = Freshness()
        if not now.state(artifact).done:
            store.pull(artifact, partial(now.fits, artifact))


def _offer(store: Store, layout: Layout, fold: int) -> None:
    """Put into the store what is here of a fold: its network, or its last finished epoch."""
    backup = backup_folder(layout.train(fold))
    if Freshness().state(layout.train(fold)).done:
        store.push(layout.train(fold))
    elif begun(layout.train(fold)) and not store.names(backup):
        store.mirror(backup)


def _part_is_here(store: Store | None, layout: Layout, fold: int, start: int) -> bool:
    freshness, part = Freshness(), layout.test_part(fold, start)
    if store is not None and not freshness.state(part).done:
        store.pull(part, partial(freshness.fits, part))
        freshness.forget()
    return freshness.state(part).done


# ---- Predictions in chunks ------------------------------------------------------------------------------------------


def _starts(layout: Layout, freshness: Freshness) -> range:
    """First tiles of the chunks of the test tiles."""
    return range(0, _tests(layout, freshness), CHUNK)


def _tests(layout: Layout, freshness: Freshness) -> int:
    found = freshness.manifest(layout.tiles)
    return found.result["test"] if found else 0


def dealt(starts: Sequence[int], shards: int) -> list[tuple[int, ...]]:
    """Chunks in so many runs of about the same length, none of them empty."""
    edges = [round(len(starts) * each / shards) for each in range(shards + 1)]
    return [tuple(starts[low:high]) for low, high in pairwise(edges) if high > low]


def assemble(layout: Layout, fold: int, starts: Sequence[int]) -> int:
    """Put a fold's chunks together to the very file that one process would have written; returns its tiles.

    The caller holds the artifact's lock.
    """
    import numpy as np

    artifact, started, freshness = layout.test(fold), time.monotonic(), Freshness()
    seen, count = inputs_now(artifact), 0
    for start in starts:
        part = layout.test_part(fold, start)
        manifest = freshness.manifest(part)
        state = freshness.state(part)
        if manifest is None or (error := state.why if not state.done else verify(part, manifest)):
            part.manifest_path.unlink(missing_ok=True)
            raise UserError(f"{part.name}: {error if manifest else 'is missing'}; the same command makes it again")
        count += manifest.result["tiles"]
    shape = np.load(layout.tiles.folder / "test_images.npy", mmap_mode="r", allow_pickle=False).shape
    invalidate(artifact, seen)
    with writing(artifact.folder / artifact.outputs[0]) as path:
        out = mapped(path, shape)
        for start in starts:
            part = layout.test_part(fold, start)
            out[start : start + CHUNK] = np.load(part.folder / part.outputs[0], allow_pickle=False)
        out.flush()
        del out
    remove_parts(layout, fold)  # before the manifest: after it nothing would come back for them
    commit(artifact, {"tiles": count}, started, seen=seen)
    return count


# ---- What the driver shows ------------------------------------------------------------------------------------------


class _Shown:
    """Shows many tasks as one piece of work."""

    def __init__(self, title: str, total: int, unit: str, named: bool) -> None:
        self._progress = Progress(title, total, unit)
        self._named = named
        self._done: dict[int, int] = {}
        self._begun: dict[int, str] = {}

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def hear(self, job: Job, kind: str, told: Any) -> None:
        """A word of a task."""
        if kind == "begun":
            lost = self._begun.get(job.number)
            if lost:
                self.line(job, f"fold {job.fold}: its worker on {lost} was lost; begun again on {told}")
            self._begun[job.number] = told
            self._done[job.number] = 0

    def line(self, job: Job, text: str) -> None:
        """A line about a task, with the experiment's name where there are several."""
        self._progress.echo(f"{job.layout.experiment} {text}" if self._named else text)


class _Predicting(_Shown):
    def __init__(self, jobs: Sequence[Job], named: bool) -> None:
        counts = {job.layout.experiment: _tests(job.layout, Freshness()) for job in jobs}
        tiles = sum(min(CHUNK, counts[job.layout.experiment] - start) for job in jobs for start in job.starts)
        super().__init__("predict", tiles, "tiles", named)

    def __enter__(self) -> _Predicting:
        return self

    def hear(self, job: Job, kind: str, told: Any) -> None:
        super().hear(job, kind, told)
        if kind == "tiles":
            self._done[job.number] = told
            self._progress(sum(self._done.values()))


class _Training(_Shown):
    """A bar over the steps of all folds, or the lines of a run without Ray."""

    def __init__(self, jobs: Sequence[Job], share: Share, freshness: Freshness, named: bool) -> None:
        self._epochs = {job.number: job.layout.settings.train.epochs for job in jobs}
        self._steps = {job.number: _steps(job.layout, freshness) for job in jobs}
        self._before = dict.fromkeys(self._epochs, 0)
        kind = f"{share.gpus:g} GPU" if share.gpus else f"{share.cpus} core{'s' if share.cpus > 1 else ''}"
        echo(
            f"train: {len(jobs)} fold{'s' if len(jobs) > 1 else ''}, {min(share.slots, len(jobs))} at once, {kind} each"
        )
        super().__init__("train", self._total(), "steps", named)

    def __enter__(self) -> _Training:
        return self

    def hear(self, job: Job, kind: str, told: Any) -> None:
        super().hear(job, kind, told)
        if kind == "resumed":
            # What an earlier worker has done says nothing of the pace.
            self._before[job.number] = told
            self.line(job, f"fold {job.fold}: goes on after epoch {told} of {self._epochs[job.number]}")
        elif kind == "reused":
            self.line(job, launch.reused_line(job.fold, told))
        elif kind == "step":
            epoch, step, self._steps[job.number] = told
            self._advance(job, epoch, step)
        elif kind == "epoch":
            self._progress.note(f"fold {told.fold} epoch {told.epoch}/{told.epochs} score {told.score:.3f}")
            if not self._progress.drawn:
                self.line(job, launch.epoch_line(told, self._progress.remaining()))

    def done(self, job: Job, line: str) -> None:
        """A fold is done, and this is what came of it."""
        self._advance(job, self._epochs[job.number], 0)
        self.line(job, line)

    def _advance(self, job: Job, epoch: int, step: int) -> None:
        self._done[job.number] = (epoch - self._before[job.number]) * self._steps[job.number] + step
        self._progress.total = self._total()
        self._progress.advance(sum(self._done.values()))

    def _total(self) -> int:
        return sum((epochs - self._before[each]) * self._steps[each] for each, epochs in self._epochs.items())


def _steps(layout: Layout, freshness: Freshness) -> int:
    """About how many steps an epoch has, until a task tells."""
    found = freshness.manifest(layout.tiles)
    labelled = found.result["train"] if found else 0
    return max(labelled * (len(layout.folds) - 1) // len(layout.folds) // layout.settings.train.batch_size, 1)


# ---- Inside a task --------------------------------------------------------------------------------------------------


class _ProgressActor:
    """An actor on the driver's machine: takes what tasks have to say until the driver fetches it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, str, Any]] = []

    def tell(self, number: int, kind: str, told: Any) -> None:
        self._waiting.append((number, kind, told))

    def take(self) -> list[tuple[int, str, Any]]:
        taken, self._waiting = self._waiting, []
        return taken


class _RemoteCallback(FoldCallback):
    """Tells the driver of a task's progress; and leaves each epoch in the store, before it tells of it."""

    def __init__(self, context: TaskContext, job: Job, mirror: Callable[[], None] | None = None) -> None:
        self._order, self._job, self._mirror = context, job, mirror
        self._spoken = 0.0

    def tell(self, kind: str, told: Any, surely: bool = True) -> None:
        import ray

        # A driver that is gone, or busy, is no reason for a fold to end.
        with suppress(ray.exceptions.RayError):
            sent = self._order.progress.tell.remote(self._job.number, kind, told)
            if surely:
                ray.get(sent, timeout=30)

    def resumed(self, fold: int, done: int) -> None:
        self.tell("resumed", done)

    def reused(self, fold: int, experiment: str) -> None:
        self.tell("reused", experiment)

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        if time.monotonic() - self._spoken > PAUSE:
            self._spoken = time.monotonic()
            self.tell("step", (epoch, step, steps), surely=False)

    def epoch(self, told: Epoch) -> None:
        if self._mirror is not None:
            self._mirror()
        self.tell("epoch", told)


def _train_task(context: TaskContext, job: Job) -> None:
    """Train one fold: the task."""
    layout, freshness, store = _begin(context, job)
    if store is None:
        _patiently(lambda: launch.train_one(layout, job.fold, _RemoteCallback(context, job), freshness))
        return
    trained = layout.train(job.fold)
    backup = backup_folder(trained)
    # The store alone says what is done of this fold: what lies here may be older.
    shutil.rmtree(layout.fold_folder(job.fold), ignore_errors=True)
    if not store.pull(trained, partial(freshness.fits, trained)):
        store.fetch(backup)
    for name in store.names(trained.folder):  # of trainings with other settings, whose machines are not known here
        if name.startswith(backup_name("")) and name != backup.name:
            store.remove(trained.folder / name)
    freshness.forget()
    launch.train_one(layout, job.fold, _RemoteCallback(context, job, lambda: store.mirror(backup)), freshness)
    store.push(trained)
    store.push(layout.out_of_fold(job.fold))
    store.remove(backup)
    shutil.rmtree(layout.fold_folder(job.fold), ignore_errors=True)


def _predict_task(context: TaskContext, job: Job) -> None:
    """Predict some chunks of the test tiles with one fold's network: the task."""
    layout, freshness, store = _begin(context, job)
    trained = layout.train(job.fold)
    if store is not None:
        _fetch(store, trained, partial(freshness.fits, trained))
        freshness.forget()
    voice, done = _RemoteCallback(context, job), 0

    def made(part: Artifact, tiles: int) -> None:
        nonlocal done
        done += tiles
        if store is not None:
            store.push(part)
            for name in (part.manifest_name, *part.outputs):
                (part.folder / name).unlink()
        voice.tell("tiles", done)

    launch.load_work().predict_test_parts(layout, job.fold, job.starts, freshness, made)


def _begin(context: TaskContext, job: Job) -> tuple[Layout, Freshness, Store | None]:
    """Make this process a task's: its threads, its place on disk, the inputs in it.

    Raises:
        UserError: this machine does not see the tiles.
    """
    import ray

    os.environ.update(context.environment)
    # Which GPU is the task's, Ray has chosen.
    machine.Resources(context.share.cpus, context.share.gpus).apply()
    here = ray.util.get_node_ip_address()
    _RemoteCallback(context, job).tell("begun", here)
    layout = job.layout
    if not context.store:
        if _inputs(layout, Freshness()) != job.inputs:
            raise UserError(
                f"machine {here} does not see the tiles in {layout.root}; share that folder between the machines, "
                "or name a store: --store s3://bucket/prefix"
            )
        return layout, Freshness(), None
    base = Path(os.environ.get(SCRATCH) or Path(tempfile.gettempdir()) / "tgs-salt-pipeline")
    layout = Layout(base / fingerprint(context.store), layout.dataset, layout.experiment, layout.settings)
    store = Store(context.store, layout.root)
    for artifact in (layout.tiles, layout.split):
        _fetch(store, artifact, partial(_is, job.inputs[artifact.name]))
    return layout, Freshness(trusted=(layout.tiles, layout.split)), store


def _is(wanted: str, manifest: Manifest) -> bool:
    return manifest.fingerprint == wanted


def _fetch(store: Store, artifact: Artifact, wanted: Callable[[Manifest], bool]) -> None:
    """Bring an artifact that must be in the store to this machine, unless it is here."""

    def work() -> None:
        with locked(artifact):
            if not store.pull(artifact, wanted):
                raise UserError(
                    f"{store.address}: {artifact.name} there is another one than here; "
                    "give each root folder a store of its own"
                )

    _patiently(work, 20 * PATIENCE)


def _patiently(work: Callable[[], None], seconds: float = PATIENCE) -> None:
    """Do what needs a lock, and wait for the lock a while."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
