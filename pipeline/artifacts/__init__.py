"""Artifacts on disk: the folder layout, manifests, freshness, locks, and how one is made.

An *artifact* is what one stage (or one fold of it) leaves on disk: some files and a manifest. The manifest is written
last and atomically. It names the settings that were read, the content of the inputs, and the size and hash of each
output. An artifact counts as done only where its manifest is present and matches; anything else is made again.

Inputs are compared by content, not by time: an input that was made again with the same result leaves what follows
fresh.
"""

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.backup import agree, agreed, backup_folder, backup_name, finished, remove_backup, started
from pipeline.artifacts.freshness import Freshness, State, changed_settings
from pipeline.artifacts.integrity import discard_damaged, discard_if_damaged, measure, verify
from pipeline.artifacts.layout import Blend, Layout, blend_name, leaderboard_file, split_name
from pipeline.artifacts.links import check_links
from pipeline.artifacts.locks import BusyError, ChangedError, locked, remove_folder
from pipeline.artifacts.manifest import Manifest, Output, parse_manifest, read_manifest, update_result, write_manifest
from pipeline.artifacts.reuse import reusable_from, reuse_weights
from pipeline.artifacts.transaction import (
    commit,
    inputs_fingerprint,
    inputs_now,
    invalidate,
    reading_inputs,
    replacing,
    updating,
)

__all__ = [
    "Artifact",
    "Blend",
    "BusyError",
    "ChangedError",
    "Freshness",
    "Layout",
    "Manifest",
    "Output",
    "State",
    "agree",
    "agreed",
    "backup_folder",
    "backup_name",
    "blend_name",
    "changed_settings",
    "check_links",
    "commit",
    "discard_damaged",
    "discard_if_damaged",
    "finished",
    "inputs_fingerprint",
    "inputs_now",
    "invalidate",
    "leaderboard_file",
    "locked",
    "measure",
    "parse_manifest",
    "read_manifest",
    "reading_inputs",
    "remove_backup",
    "remove_folder",
    "replacing",
    "reusable_from",
    "reuse_weights",
    "split_name",
    "started",
    "update_result",
    "updating",
    "verify",
    "write_manifest",
]
