"""Finished folds that a command would train again: they are replaced only where the user agrees."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Manifest, agree, agreed, changed_settings, finished, inputs_now
from pipeline.config import UserError
from pipeline.stages import Context, train
from pipeline.system.progress import echo, fold_names

Finished = tuple[Path, str]
"""A finished training: the path of its manifest and the manifest's checksum."""
MOST = 5
"""Settings that are listed of a finished training; with more that differ, only the first is named."""


@dataclass(frozen=True)
class Replaced:
    """One finished fold that would be replaced."""

    experiment: str
    fold: int
    why: str
    """Why it is stale."""
    artifact: Artifact
    """The training that would take its place."""
    manifest: Manifest
    """Of the training that is finished."""
    ready: bool
    """Whether the inputs of the training are done. Before, its backup has no name yet."""

    @property
    def finished(self) -> Finished:
        return self.artifact.manifest_path, self.manifest.checksum

    @property
    def certain(self) -> bool:
        """Whether it is stale in any case: inputs that have to be made again may come out as they were."""
        return self.ready or bool(changed_settings(self.artifact, self.manifest))


def check(contexts: Sequence[Context], given: frozenset[Finished] = frozenset()) -> frozenset[Finished]:
    """Make sure that the user agrees before a finished fold is replaced.

    A fold that is missing, damaged or not finished needs no consent. The consent is recorded in the fold's backup, so
    that a training that was killed resumes without another question.

    Args:
        contexts: of a command that is about to train.
        given: what the user has agreed to earlier in this command.

    Returns:
        All that the user has agreed to in this command.

    Raises:
        UserError: finished folds would be replaced, and the user has not agreed. Nothing was changed.
    """
    replaced = [each for context in contexts for each in to_replace(context)]
    unasked = [each for each in replaced if each.finished not in given]
    if unasked and not contexts[0].retrain:
        _ask(unasked)
    for each in replaced:
        if each.ready:
            agree(each.artifact, each.manifest)
    return given | {each.finished for each in replaced}


def _ask(replaced: Sequence[Replaced]) -> None:
    """Raise a ``UserError`` unless the user agrees."""
    if not on_terminal():
        raise UserError(
            f"{'; '.join(_lines(replaced))}: already trained; RETRAIN=1 (--retrain) trains and replaces them; "
            f"{how_to_keep(replaced)}"
        )
    for line in _lines(replaced):
        echo(f"{line}: already trained; if you continue, it is trained again and replaced")
    if not _yes("Replace? [y/N] "):
        raise UserError(f"nothing was replaced; {how_to_keep(replaced)}")


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _yes(question: str) -> bool:
    # Not as the prompt of input(), which writes it to standard error.
    print(question, end="", flush=True)
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False


def to_replace(context: Context) -> list[Replaced]:
    """The finished folds of an experiment that would be replaced, without those that the user has agreed to."""
    found = []
    for fold in context.folds:
        artifact = train.trained(context.layout, fold)
        state = context.freshness.state(artifact)
        manifest = None if state.done else finished(artifact)
        if manifest is not None and not agreed(artifact, manifest):
            ready = all(context.freshness.state(each).done for each in artifact.inputs)
            found.append(Replaced(context.layout.experiment, fold, state.why, artifact, manifest, ready))
    return found


def _lines(replaced: Sequence[Replaced]) -> list[str]:
    """The folds of each experiment that are stale for the same reason, and that reason."""
    groups: dict[tuple[str, str], list[int]] = {}
    for each in replaced:
        groups.setdefault((each.experiment, each.why), []).append(each.fold)
    return [f"experiment {experiment}, {fold_names(folds)} ({why})" for (experiment, why), folds in groups.items()]


def how_to_keep(replaced: Sequence[Replaced]) -> str:
    """What to do instead of replacing finished folds."""
    before = {_settings_before(each) for each in replaced}
    known = before.pop() if len(before) == 1 else ""
    same = f"the settings that they were trained with ({known} in SET)" if known else "the same SET and tiles as before"
    return (
        f"to keep them, use {same}, or give the new settings a name of their own: a file "
        f'pipeline/experiments/NAME.toml with base = "{replaced[0].experiment}"'
    )


def _settings_before(each: Replaced) -> str:
    """Assignments that lead back to the settings of a finished training; an empty string where they are not known."""
    changed = changed_settings(each.artifact, each.manifest)
    if not each.ready or inputs_now(each.artifact) != each.manifest.inputs:
        return ""  # other tiles, or others in the folds: settings of the training alone lead nowhere
    if not 0 < len(changed) <= MOST or any(old is None or new is None for old, new in changed.values()):
        return ""
    return " ".join(f"{key}={_assigned(old)}" for key, (old, _) in changed.items())


def _assigned(value: Any) -> str:
    """A value as ``SET`` takes it, without quotation marks where it needs none."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_/.][\w/.-]*", value):
        return value
    return json.dumps(value, separators=(",", ":")).replace('"', "" if isinstance(value, list) else '"')
