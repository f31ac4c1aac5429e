"""Train folds in kernels: find those that there are, push those that are missing, wait, and fetch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pipeline.artifacts import Freshness
from pipeline.config import KaggleSettings, UserError
from pipeline.config.datasets import Source, dataset
from pipeline.data.sources.kaggle import COMPETITION, UnreachableError
from pipeline.execution.kaggle.api import KernelApi, Status
from pipeline.execution.kaggle.dependencies import wheels_dataset
from pipeline.execution.kaggle.errors import explain_failure, explain_refusal, is_busy
from pipeline.execution.kaggle.fetch import fetch_trained
from pipeline.execution.kaggle.kernel import ERROR, STOPPED
from pipeline.execution.kaggle.names import Kernel, Training, next_run, parse, training_of
from pipeline.execution.kaggle.records import forget, recall, remember
from pipeline.execution.kaggle.script import check_inputs, make_script
from pipeline.execution.kaggle.watch import EPOCH, Watch, persistently, poll
from pipeline.execution.messages import fold_line
from pipeline.execution.task import TrainTask

MISSED = 5
"""Times in a row that Kaggle may not know a kernel that was just pushed."""
LAST_LINES = 3
"""Lines of the log of a failed kernel that are shown where nothing else says why it failed."""


def train_at_kaggle(tasks: Sequence[TrainTask], place: KaggleSettings) -> None:
    """Train folds in kernels. A kernel of an earlier command is not started again, but waited for.

    Args:
        tasks: folds of one experiment that are not done; the caller holds their locks.
        place: how kernels run.

    Raises:
        UserError: kernels could not be started or failed.
    """
    check_inputs(tasks[0], place)
    with Watch(tasks) as watch:
        Trainer(KernelApi(), tasks, place, watch).run()


def find_kernels(api: KernelApi, training: Training) -> tuple[list[Kernel], set[Kernel]]:
    """The kernels of a training, by their numbers, and those of them that Kaggle lists.

    Raises:
        UserError: they are another user's.
    """
    known = {*recall(training)}
    if others := {kernel.owner for kernel in known} - {api.owner}:
        (other, *_) = sorted(others)
        raise UserError(
            f"this training has kernels of the user {other} at Kaggle, and you are signed in as {api.owner}; sign in "
            f"as {other}, or remove {training.records} to start again"
        )
    found = filter(None, (parse(ref, training.prefix) for ref in api.newest()))
    # Kaggle may write the user's name with other capital letters than the credentials.
    listed = {replace(kernel, owner=api.owner) for kernel in found if kernel.owner.lower() == api.owner.lower()}
    return sorted(known | listed, key=lambda kernel: kernel.run), listed


class Trainer:
    """The state of a command that trains folds in kernels.

    Args:
        api: signed in.
        tasks: the folds.
        place: how kernels run.
        watch: shows what happens.
    """

    def __init__(self, api: KernelApi, tasks: Sequence[TrainTask], place: KaggleSettings, watch: Watch) -> None:
        self._api, self._place, self._watch = api, place, watch
        self._training = training_of(tasks[0])
        self._left = {task.fold: task for task in tasks}
        self._ended: list[Kernel] = []
        self._running: list[Kernel] = []
        self._errors: list[str] = []
        self._missed: Counter[Kernel] = Counter()
        self._newest: Counter[int] = Counter()
        """Fold -> number of its newest kernel."""
        self._batch_size = tasks[0].settings.train.batch_size

    def run(self) -> None:
        """Work until no fold is left.

        Raises:
            UserError: some of them failed.
        """
        pause = poll()
        self._find()
        self._push_missing()
        while self._running:
            time.sleep(pause)
            for kernel in list(self._running):
                self._look(kernel)
            self._push_missing()
        if self._errors:
            raise UserError("; ".join(dict.fromkeys(self._errors)))

    def _find(self) -> None:
        """Look at the kernels of earlier commands."""
        known, listed = find_kernels(self._api, self._training)
        for kernel in known:
            self._newest |= Counter(dict.fromkeys(kernel.folds, kernel.run))
        for kernel in known:
            status = self._api.status(kernel) if {*kernel.folds} & {*self._left} else None
            if status is not None:
                self._see(kernel, status)
            elif {*kernel.folds} & {*self._left}:
                if kernel in listed:
                    raise UnreachableError(
                        f"Kaggle lists the kernel {kernel.ref}, but does not show it; try again later"
                    )
                # Recorded, but never pushed, or removed at Kaggle by its user.
                forget(self._training, kernel)

    def _look(self, kernel: Kernel) -> None:
        """Ask for the status of a kernel that runs, however often that takes."""
        status = persistently(lambda: self._api.status(kernel))
        if status is not None:
            self._missed[kernel] = 0
            self._see(kernel, status)
            return
        self._missed[kernel] += 1
        if self._missed[kernel] >= MISSED:
            self._running.remove(kernel)
            self._fail(kernel, "it is gone from Kaggle")

    def _see(self, kernel: Kernel, status: Status) -> None:
        """Show a kernel's status; where the kernel has ended, fetch what it has left."""
        self._watch.status(kernel, status)
        if status.ended:
            self._end(kernel, status)
            return
        if kernel not in self._running:
            self._running.append(kernel)
        self._watch.log(kernel, self._api.running_log(kernel))

    def _end(self, kernel: Kernel, status: Status) -> None:
        """Fetch what a kernel has left, and find out why some folds are missing."""
        if kernel in self._running:
            self._running.remove(kernel)
        self._ended.append(kernel)
        wanted = [self._left[fold] for fold in kernel.folds if fold in self._left]
        log = persistently(lambda: self._api.log(kernel))
        self._watch.log(kernel, log)
        for task in persistently(lambda: fetch_trained(self._api, self._training, kernel, wanted)):
            del self._left[task.fold]
            now = Freshness()
            self._watch.done(task.fold, fold_line(task, now) if now.state(task.out_of_fold).done else "")
        # What became of a fold in an earlier kernel is of no interest once a later one trains it.
        missing = [fold for fold in kernel.folds if fold in self._left and self._newest[fold] == kernel.run]
        if missing and (reason := _reason(status, log)):
            known = recall(self._training).get(kernel)
            if known is None or not known.failure:
                self._fail(kernel, reason)

    def _fail(self, kernel: Kernel, reason: str) -> None:
        """Record a failure, so that the next command starts another kernel; this one leaves its folds alone."""
        remember(self._training, kernel, reason)
        self._errors.append(explain_failure(kernel.page, reason, self._batch_size))
        for fold in kernel.folds:
            self._left.pop(fold, None)

    def _push_missing(self) -> None:
        """Push kernels for the folds that no kernel is training."""
        covered = {fold for kernel in self._running for fold in kernel.folds}
        missing = [task for fold, task in sorted(self._left.items()) if fold not in covered]
        size = self._place.folds_per_kernel or len(missing) or 1
        for start in range(0, len(missing), size):
            if not self._push(missing[start : start + size]):
                return

    def _push(self, tasks: Sequence[TrainTask]) -> bool:
        """Push a kernel; returns whether another one may be tried now."""
        folds = tuple(task.fold for task in tasks)
        before = [*self._ended, *self._running, *recall(self._training)]
        kernel = Kernel(self._api.owner, self._training.prefix, folds, next_run(before))
        sources = [each for each in self._ended if {*each.folds} & {*folds}]
        mounted = dataset(self._training.dataset).source is not Source.SURVEY
        wheels = [] if self._place.internet else [wheels_dataset(self._api)]
        slugs = [each.slug for each in sources]
        script = make_script(tasks, slugs, self._place, *(each.partition("/")[2] for each in wheels))
        remember(self._training, kernel)
        try:
            competitions = [COMPETITION] if mounted else []
            answer = self._api.push(kernel, script, self._place, competitions, wheels, [each.ref for each in sources])
        except UnreachableError:
            raise  # it may have arrived: the next command finds out
        except UserError:
            forget(self._training, kernel)
            raise
        if not answer.problem:
            self._running.append(kernel)
            self._newest |= Counter(dict.fromkeys(folds, kernel.run))
            return True
        if answer.started:
            remember(self._training, kernel, answer.problem)  # it cannot do its work, and ends soon
        else:
            forget(self._training, kernel)
        if not (is_busy(answer.problem) and self._running):
            self._errors.append(explain_refusal(answer.problem, self._api.quota_refresh()))
            running = {fold for each in self._running for fold in each.folds}
            self._left = {fold: task for fold, task in self._left.items() if fold in running}
        return False


def _reason(status: Status, log: Sequence[str]) -> str:
    """Why a kernel did not train all of its folds; empty where it had no time, and the next one continues."""
    if any(line.startswith(STOPPED) for line in log):
        return "" if any(map(EPOCH.match, log)) else "not even one epoch ended before its time was over"
    own = [line.removeprefix(ERROR) for line in log if line.startswith(ERROR)]
    if own:
        return own[-1]
    if status.message:
        return status.message
    if status.name == "cancelled":
        return "it was cancelled"
    last = [line.strip() for line in log if line.strip()][-LAST_LINES:]
    return " | ".join(last) or "it ended without a result"
