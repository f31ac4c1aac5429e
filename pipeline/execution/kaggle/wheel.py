"""The package that runs here, as a wheel: a checkout and an installed package alike, without build tools.

https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pipeline
from pipeline.config import CHECKOUT, PROJECT, SCRIPT

_KINDS = (".py", ".toml", ".html", ".j2")
"""Suffixes of the package's files; nothing else that lies in its folders is packed."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all members, so that equal code makes equal wheels."""


def wheel_name() -> str:
    """The file's name, from which an installer reads the version."""
    return f"{_distribution()}-py3-none-any.whl"


def make_wheel() -> bytes:
    """The wheel, not compressed: the script compresses it together with the rest."""
    folder = Path(pipeline.__file__).parent
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _KINDS and path.is_file())
    files = {f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}
    info = f"{_distribution()}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requirements())
    metadata_text = f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {pipeline.__version__}\n{needs}"
    files |= {
        f"{info}/METADATA": metadata_text.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tgs-salt\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{SCRIPT} = pipeline.__main__:main\n".encode(),
    }
    record = "".join(f"{name},{_hash(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return zipped(files)


def requirements() -> list[str]:
    """What the package needs, without optional dependencies."""
    if CHECKOUT is not None:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return [str(each) for each in project["dependencies"]]
    return [each for each in metadata.requires(PROJECT) or () if "extra ==" not in each]


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of files that is the same for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, compression)
    return stream.getvalue()


def _distribution() -> str:
    return f"{re.sub(r'[-_.]+', '_', PROJECT)}-{pipeline.__version__}"


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
