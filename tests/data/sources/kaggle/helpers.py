"""A user who runs commands against the server that answers as Kaggle does."""

from __future__ import annotations

import os
import subprocess
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.conftest import TINY
from tests.data.sources.kaggle import processes
from tests.kaggle_server import SECRET, SIGNATURE, TOKEN, Kaggle


class User:
    """A user at a terminal, with a home and a root folder."""

    def __init__(self, kaggle: Kaggle, folder: Path, credentials: str = "key") -> None:
        self.kaggle, self.root, self.home, self.credentials = kaggle, folder / "root", folder / "home", credentials
        self.timeout = ""

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE")}
        return {
            **kept,
            **self.kaggle.environment(self.home, self.credentials),
            "PIPELINE_TIMEOUT": self.timeout,
        }

    def _arguments(self, *arguments: str) -> list[str]:
        common = [] if arguments[0] == "submissions" else ["--experiment", "unet", "--set", TINY]
        return [*arguments, "--root", str(self.root), *common]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command, and check that it prints no secret and no traceback."""
        ran = processes.run(self._arguments(*arguments), self._environment, self.home.parent)
        self.look_for_secrets(ran.stdout + ran.stderr)
        return ran

    def start(self, *arguments: str) -> ForkServerProcess:
        return processes.start(self._arguments(*arguments), self._environment, self.home.parent)

    def look_for_secrets(self, printed: str) -> None:
        written = [path.read_bytes() for path in self.root.rglob("*") if path.is_file() and path.suffix != ".npy"]
        for secret in (SECRET, TOKEN, SIGNATURE):
            assert secret not in printed
            assert not any(secret.encode() in content for content in written)
        assert "Traceback" not in printed

    @property
    def data(self) -> Path:
        return self.root / "data/tgs"


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """The single line of a command that failed with an error of the user."""
    assert ran.returncode == 2, ran.stdout + ran.stderr
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
