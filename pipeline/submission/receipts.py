"""Receipts of submissions: the manifests beside the CSVs.

A submission is identified by its *mark*, the first 16 digits of its CSV's SHA-256. The message that goes to Kaggle
ends with it, so an upload is recognised even where its record was lost, and the same CSV is never uploaded twice.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.artifacts import Manifest, results

MARK = 16
"""Digits of a mark."""


def read(folder: Path) -> list[tuple[Path, Manifest]]:
    """Read the receipts of a dataset's submissions; those that cannot be used are left out.

    Args:
        folder: of the dataset's submissions.

    Returns:
        Paths and manifests in the order of their names.
    """
    found = [(path, artifacts.read_manifest(path)) for path in sorted(folder.glob("*.json"))]
    return [(path, manifest) for path, manifest in found if manifest is not None and _is_receipt(manifest)]


def _is_receipt(manifest: Manifest) -> bool:
    one = manifest.artifact == "submit" and len(manifest.outputs) == 1
    return one and not results.error(manifest.result, results.Listed)


def mark_of(manifest: Manifest) -> str:
    """The mark of the CSV that a receipt belongs to."""
    return next(iter(manifest.outputs.values())).sha256[:MARK]
