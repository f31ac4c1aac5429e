"""The manifest: the record that is written last, and makes an artifact count."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pipeline.artifacts import results
from pipeline.system.atomic import read_if_any, write_bytes


class Output(msgspec.Struct, frozen=True):
    """One file (``files`` is 1), or one folder of files."""

    bytes: int
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    files: int = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The record that makes an artifact count."""

    artifact: str
    format: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    extras: dict[str, Output]
    fingerprint: str
    """Of the outputs' content."""
    result: dict[str, Any]
    """What the stage found: counts, scores."""
    made: dict[str, Any]
    """When, in how many seconds, by which versions."""
    checksum: str = msgspec.field(default="", name="seal")
    """Hash of all the rest, so that a damaged manifest is not believed."""


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None where there is none, or none that can be believed.

    Raises:
        OSError: the disk failed: what it holds may be whole, and must not be made again for that.
    """
    content = read_if_any(path)
    return None if content is None else parse_manifest(content)


def parse_manifest(content: bytes) -> Manifest | None:
    """The manifest in a file's content; None where there is none that can be believed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        msgspec.convert(manifest.settings, results.Settings)
        msgspec.convert(manifest.made, results.Made)
        parts = [*manifest.extras, *(part for name in manifest.outputs for part in name.split("/"))]
        return manifest if manifest.checksum == _checksum(manifest) and all(map(_is_file_name, parts)) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Seal a manifest and write it atomically."""
    sealed = msgspec.structs.replace(manifest, checksum=_checksum(manifest))
    write_bytes(path, msgspec.json.format(msgspec.json.encode(sealed), indent=2))


def update_result(path: Path, found: dict[str, Any]) -> None:
    """Add to the result of a manifest what became known later; what it says of files and inputs stays as it is."""
    manifest = read_manifest(path)
    if manifest is not None:
        write_manifest(path, msgspec.structs.replace(manifest, result={**manifest.result, **found}))


def _is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name}


def _checksum(manifest: Manifest) -> str:
    # As it will be read back: a tuple becomes a list, a key a text.
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(manifest, checksum="")))
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]
