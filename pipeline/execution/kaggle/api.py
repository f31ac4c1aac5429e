"""Calls about kernels through Kaggle's client."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config import KaggleSettings, UserError
from pipeline.config.schema.kaggle import NO_ACCELERATOR
from pipeline.data.sources.kaggle import TOKENS
from pipeline.data.sources.kaggle.client import call_kaggle, sign_in
from pipeline.data.sources.kaggle.messages import http_status
from pipeline.execution.kaggle.errors import explain_kernel_error
from pipeline.execution.kaggle.names import Kernel

PAGES, PER_PAGE = 3, 100
"""Most pages of kernels that are listed, the newest first, and kernels on each."""
STREAM_SECONDS = 3.0
"""Seconds without a new line after which the log of a running kernel counts as read."""
SCRIPT_FILE = "script.py"
_call = partial(call_kaggle, explain=explain_kernel_error)


@dataclass(frozen=True)
class Status:
    """What Kaggle says of a kernel."""

    name: str
    """``queued``, ``running``, ``complete``, ``error`` or ``cancelled``."""
    message: str = ""
    """Why it failed, where Kaggle says so."""

    @property
    def ended(self) -> bool:
        return self.name not in ("queued", "running")


@dataclass(frozen=True)
class Pushed:
    """Kaggle's answer to a kernel."""

    started: bool
    problem: str = ""
    """Why it was not started, or was started without something that it needs."""


_STATUS = {
    "QUEUED": "queued",
    "NEW_SCRIPT": "queued",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "ERROR": "error",
    "CANCEL_REQUESTED": "cancelled",
    "CANCEL_ACKNOWLEDGED": "cancelled",
}


class KernelApi:
    """Kaggle's client, signed in.

    Raises:
        NoCredentialsError: there are none.
        UserError: there are some, but they do not work.
    """

    def __init__(self) -> None:
        self._api = sign_in()
        self.owner = str(self._api.get_config_value(self._api.CONFIG_NAME_USER) or "")
        if not self.owner:
            raise UserError(f"these credentials name no user of Kaggle; make a new token on {TOKENS}")

    def newest(self) -> list[str]:
        """Names, ``owner/slug``, of the user's newest kernels."""
        found: list[str] = []
        for page in range(1, PAGES + 1):
            with _call("list of kernels"):
                listed = self._api.kernels_list(mine=True, page=page, page_size=PER_PAGE, sort_by="dateCreated") or []
            found += [each.ref for each in listed]
            if len(listed) < PER_PAGE:
                break
        return found

    def push(
        self, kernel: Kernel, script: str, place: KaggleSettings, competitions: Sequence[str], datasets: Sequence[str],
        kernels: Sequence[str],
    ) -> Pushed:  # fmt: skip
        """Create a private kernel and start it.

        Args:
            kernel: its name.
            script: its source.
            place: GPU and internet.
            competitions: whose files are mounted.
            datasets: ``owner/slug`` of datasets that are mounted.
            kernels: ``owner/slug`` of kernels whose output is mounted.
        """
        gpu = place.accelerator != NO_ACCELERATOR
        metadata = {
            "id": kernel.ref,
            "title": kernel.slug,
            "code_file": SCRIPT_FILE,
            "language": "python",
            "kernel_type": "script",
            "is_private": True,
            "enable_gpu": gpu,
            "enable_internet": place.internet,
            "competition_sources": list(competitions),
            "dataset_sources": list(datasets),
            "kernel_sources": list(kernels),
        }
        with tempfile.TemporaryDirectory(prefix="tgs-salt-") as folder:
            (Path(folder) / "kernel-metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
            (Path(folder) / SCRIPT_FILE).write_text(script, encoding="utf-8")
            with _call("push of the kernel"):
                answer = self._api.kernels_push(folder, acc=place.accelerator if gpu else None)
        if answer.error:
            return Pushed(False, str(answer.error))
        if answer.invalid_competition_sources:
            return Pushed(True, "the rules of the competition are not accepted")
        if answer.invalid_dataset_sources:
            return Pushed(True, f"no dataset {', '.join(answer.invalid_dataset_sources)}")
        return Pushed(True)

    def status(self, kernel: Kernel) -> Status | None:
        """What has become of a kernel; None where Kaggle knows none of this name."""
        import requests

        with _call("status of the kernel"):
            try:
                answer = self._api.kernels_status(kernel.ref)
            except requests.HTTPError as error:
                if http_status(error) == 404:
                    return None
                raise
            except ValueError as error:
                # How the client reports a kernel that is not there, or is another user's.
                if "Cannot access kernel" in str(error):
                    return None
                raise
        return Status(_STATUS[answer.status.name], " ".join(str(answer.failure_message or "").split()))

    def running_log(self, kernel: Kernel) -> list[str]:
        """The lines that a running kernel has printed; without those that do not arrive in time.

        They are only shown, so no error of this call counts.
        """
        pieces: list[str] = []
        try:
            with _call("log of the kernel", longest=STREAM_SECONDS):
                for event in self._api.kernels_logs_stream(kernel.ref):
                    pieces.append(_piece(event))
        except UserError:
            pass  # the kernel has printed nothing more, or the next question brings it
        return "".join(pieces).splitlines()

    def log(self, kernel: Kernel) -> list[str]:
        """The lines of a kernel that has ended."""
        with _call("log of the kernel"):
            text = self._api.kernels_logs(kernel.ref)
        try:
            events = json.loads(text)
        except ValueError:
            return text.splitlines()
        return "".join(map(_piece, events if isinstance(events, list) else [events])).splitlines()

    def download(self, kernel: Kernel, pattern: str, folder: Path) -> None:
        """Download the files of a kernel whose names match a regular expression."""
        with _call("download of the kernel's output"):
            self._api.kernels_output(kernel.ref, str(folder), file_pattern=pattern, force=True, quiet=True)

    def dataset_status(self, dataset: str) -> str | None:
        """What Kaggle says of a dataset: ``ready``, ``failed`` or another word; None where there is none."""
        import requests

        with _call("status of the dataset"):
            try:
                return str(self._api.dataset_status(dataset)).lower()
            except requests.HTTPError as error:
                # 403 stands for a private one of this name, which does not exist.
                if http_status(error) in (403, 404):
                    return None
                raise

    def create_dataset(self, dataset: str, folder: Path) -> None:
        """Upload the files of a folder as a private dataset.

        Raises:
            UserError: Kaggle did not take it.
        """
        slug = dataset.partition("/")[2]
        metadata = {"id": dataset, "title": slug, "licenses": [{"name": "other"}]}
        (folder / "dataset-metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        with _call("upload of the dataset"):
            answer = self._api.dataset_create_new(str(folder), public=False, quiet=True)
        if answer.error or str(answer.status).lower() == "error":
            reason = " ".join(str(answer.error or "no reason given").split())[:200]
            raise UserError(f"Kaggle did not take the dataset {dataset} ({reason}); run the same command again")

    def quota_refresh(self) -> str:
        """When the hours of GPU are given again, as text; empty where Kaggle does not say."""
        try:
            with _call("GPU quota"):
                when = self._api.quota_view().quota_refresh_time
        except UserError:
            return ""
        return when.strftime("%A, %d %B, %H:%M UTC") if when else ""


def _piece(event: Any) -> str:
    """The text of an event of a log; each ends its line."""
    text = str(event.get("data", "")) if isinstance(event, dict) else str(event)
    return text if text.endswith("\n") else f"{text}\n"
