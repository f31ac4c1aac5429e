"""Whether an artifact is done, stale or missing, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import results
from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.integrity import quick_error
from pipeline.artifacts.manifest import Manifest, read_manifest
from pipeline.config import Settings, diff, stored
from pipeline.config.added import TILE_BEFORE, with_added
from pipeline.config.renamed import current_name


@dataclass(frozen=True)
class State:
    """Whether an artifact can be used: ``done``, ``stale`` or ``missing``, and why."""

    kind: str
    why: str = ""

    @property
    def done(self) -> bool:
        return self.kind == "done"


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
            error = quick_error(artifact.folder / name, output)
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


def changed_settings(artifact: Artifact, manifest: Manifest) -> dict[str, tuple[Any, Any]]:
    """What differs between a manifest's settings and those of now: dotted key -> (value then, value now)."""
    if manifest.settings == artifact.settings:
        return {}
    now = with_added(artifact.settings)
    changed = diff(TILE_BEFORE | _completed(with_added(manifest.settings), now), TILE_BEFORE | now)
    return {current_name(key): values for key, values in changed.items()}


def _mismatch(artifact: Artifact, manifest: Manifest) -> str:
    """Why a manifest is not that of this artifact with these settings; an empty string where it is."""
    if manifest.artifact != artifact.name:
        return f"its manifest is that of {manifest.artifact!r}"
    if manifest.format != artifact.version:
        return f"made in format {manifest.format}, now {artifact.version}"
    changed = changed_settings(artifact, manifest)
    if not changed:
        return ""
    key, (old, new) = next(iter(changed.items()))
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{key} was {old}, now {new}{more}"


def _misfit(artifact: Artifact, manifest: Manifest) -> str:
    """Why a manifest's result is not one that the artifact's stage leaves; an empty string where it is."""
    why = results.error(manifest.result, artifact.result)
    if not why and artifact.experiment and manifest.result["experiment"] != artifact.experiment:
        why = f"it is of experiment {manifest.result['experiment']}"
    return f"{artifact.manifest_name} holds a result that cannot be used: {why}" if why else ""


def _completed(then: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Settings of an older manifest, with those that there were not yet at their defaults."""
    completed = dict(then)
    for section, plain in with_added(stored(Settings())).items():
        if isinstance(then.get(section), dict) and isinstance(now.get(section), dict):
            completed[section] = {key: plain[key] for key in now[section] if key in plain} | then[section]
    return completed
