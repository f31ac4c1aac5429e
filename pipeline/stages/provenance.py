"""Where a result comes from: commit, machine, times and fingerprints."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime

from pipeline.artifacts import Artifact
from pipeline.config import CHECKOUT
from pipeline.stages.stage import Context
from pipeline.system import machine


def git_commit() -> str | None:
    """Commit of the code, with ``-dirty`` where files were changed; None outside a checkout."""
    if CHECKOUT is None:
        return None  # the folder around an installed package may be a checkout of something else
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def describe(context: Context, inputs: dict[str, Artifact], trained: list[Artifact]) -> dict[str, str]:
    """Where a page comes from, line by line.

    Manifests hold no commit and no machine of the training; those of the page are named as such.

    Args:
        context: of the command.
        inputs: label -> artifact whose fingerprint is listed.
        trained: the trained folds.
    """
    manifests = [manifest for each in trained if (manifest := context.freshness.manifest(each)) is not None]
    times = sorted(str(each.made.get("at", "")) for each in manifests)
    found = {"page drawn": _date(datetime.now(UTC).isoformat())}
    if times:
        found["folds trained"] = " to ".join(dict.fromkeys([_date(times[0]), _date(times[-1])]))
        found["trained by pipeline"] = ", ".join(sorted({str(each.made.get("pipeline", "")) for each in manifests}))
    found["code of this page"] = git_commit() or "no git checkout"
    found["machine of this page"] = f"{machine.cpu_name()}, {machine.cores()} cores; Python {platform.python_version()}"
    for label, artifact in inputs.items():
        manifest = context.freshness.manifest(artifact)
        found[label] = manifest.fingerprint if manifest is not None else "unknown"
    return found


def _date(text: str) -> str:
    """A manifest's time in UTC to the minute."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return "unknown"
