"""A small server that answers as Kaggle does, for the real client: archive, uploads, submissions, and every error.

The client is pointed at it by its own environment variables (``environment``), so nothing of the client is replaced.
"""

from __future__ import annotations

import base64
import io
import json
import random
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

COMPETITION = "tgs-salt-identification-challenge"
SECRET = "a-key-that-nobody-may-see"
TOKEN = "KGAT_a-token-that-nobody-may-see"
SIGNATURE = "a-signature-that-nobody-may-see"
MODIFIED = "Wed, 11 Jul 2018 10:00:00 GMT"


class Kaggle:
    """The server's state, which a test sets and reads."""

    def __init__(self, archive: bytes = b"") -> None:
        self.archive = archive
        self.refuse: dict[str, tuple[int, str]] = {}
        """Method, or ``download``, ``upload`` for the storage -> status and message."""
        self.drop_after: int | None = None
        """Bytes of the archive after which the connection breaks, once."""
        self.slow = 0.0
        """Seconds between two pieces of the archive."""
        self.stall: dict[str, int] = {}
        """Method, or ``download``, ``upload`` for the storage -> bytes of the answer after which nothing more comes,
        though the connection stays; before 1 byte, not even the headers come."""
        self.closed = threading.Event()
        self.ranges = True
        self.damage_once = False
        self.submissions: list[dict[str, Any]] = []
        self.pending = 0
        """Times that a submission is listed as pending before it has a score."""
        self.verdict: dict[str, Any] = {"status": "COMPLETE", "publicScore": "0.81234", "privateScore": "0.83456"}
        self.calls: list[str] = []
        self.starts: list[int] = []
        """First byte of each piece of the archive that was asked for."""
        self.sent = 0
        """Bytes of the archive that were sent, though not all of them need have been read."""
        self.uploaded: dict[str, bytes] = {}
        self.services: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        """Method -> what answers it, for services beside that of the competition (``tests.kaggle_kernels``)."""
        self.pages: dict[str, Callable[[str], tuple[str, bytes]]] = {}
        """Beginning of a path -> what returns the type and the content of a page."""
        outer = self

        class Handler(_Handler):
            kaggle = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Looks every 10 ms whether it is shut down; with Python's 500 ms the tests would mostly wait for that.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def environment(self, home: Path, credentials: str = "key") -> dict[str, str]:
        """Variables that point the client here.

        Args:
            home: an empty folder, the user's home.
            credentials: ``key``, ``wrong``, ``token``, ``file``, ``token file`` or ``none``.
        """
        home.mkdir(parents=True, exist_ok=True)
        found = {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self._server.server_port}",
            "no_proxy": "",
            "HOME": str(home),
        }
        if credentials in ("key", "wrong"):
            found |= {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": SECRET if credentials == "key" else "wrong"}
        elif credentials == "token":
            found["KAGGLE_API_TOKEN"] = TOKEN
        elif credentials == "token file":
            (home / ".kaggle").mkdir(exist_ok=True)
            (home / ".kaggle/access_token").write_text(TOKEN)
        elif credentials == "file":
            (home / ".kaggle").mkdir(exist_ok=True)
            path = home / ".kaggle/kaggle.json"
            path.write_text(json.dumps({"username": "somebody", "key": SECRET}))
            path.chmod(0o600)
        return found

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    kaggle: Kaggle

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing: a test's output stays its own."""

    def do_POST(self) -> None:
        method = urlparse(self.path).path.rsplit("/", 1)[-1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        self.kaggle.calls.append(method)
        if method in self.kaggle.stall:
            return self._stall(method)
        if method in self.kaggle.refuse:
            return self._refuse(method)
        if method == "IntrospectToken":
            return self._json({"active": body["token"] == TOKEN, "username": "somebody"})
        if not self._known():
            return self._json({"code": 401, "message": "Unauthenticated"}, 401)
        if method in self.kaggle.services:
            answer = self.kaggle.services[method](body)
            return self._json(answer, answer.get("code", 200))
        if body.get("competitionName") != COMPETITION:
            return self._json({"code": 404, "message": "Not found"}, 404)
        answers: dict[str, Callable[[dict[str, Any]], None]] = {
            "DownloadDataFiles": self._locate,
            "StartSubmissionUpload": self._start,
            "CreateSubmission": self._create,
            "ListSubmissions": self._list,
        }
        return answers[method](body)

    def do_GET(self) -> None:
        path = urlparse(self.path).path
        for start, page in self.kaggle.pages.items():
            if path.startswith(start):
                return self._page(page, path, start)
        return self._download()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.kaggle.calls.append("upload")
        if "upload" in self.kaggle.stall:
            return self._stall("upload")
        if "upload" in self.kaggle.refuse:
            return self._refuse("upload")
        self.kaggle.uploaded["token-of-the-file"] = content
        return self._json({})

    def _known(self) -> bool:
        basic = base64.b64encode(f"somebody:{SECRET}".encode()).decode()
        return self.headers["Authorization"] in (f"Basic {basic}", f"Bearer {TOKEN}")

    def _json(self, answer: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _page(self, page: Callable[[str], tuple[str, bytes]], path: str, start: str) -> None:
        self.kaggle.calls.append(start)
        kind, content = page(path)
        if start in self.kaggle.refuse:
            return self._refuse(start)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.kaggle.stall.get(start, len(content))])
        if start in self.kaggle.stall:
            self._fall_silent()
        return None

    def _refuse(self, what: str) -> None:
        status, message = self.kaggle.refuse[what]
        self._json({"code": status, "message": message}, status)

    def _stall(self, what: str) -> None:
        if count := self.kaggle.stall[what]:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(count + 100))
            self.end_headers()
            self.wfile.write(b" " * count)
        self._fall_silent()

    def _fall_silent(self) -> None:
        self.close_connection = True
        self.kaggle.closed.wait(300)

    def _locate(self, body: dict[str, Any]) -> None:
        del body
        self.send_response(302)
        self.send_header("Location", f"http://localhost/storage/{COMPETITION}.zip?signature={SIGNATURE}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _download(self) -> None:
        self.kaggle.calls.append("download")
        if "download" in self.kaggle.refuse:
            return self._refuse("download")
        content, start = self.kaggle.archive, 0
        wanted = self.headers["Range"]
        if wanted and self.kaggle.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.kaggle.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/zip")
        self.send_header("Last-Modified", MODIFIED)
        self.send_header("ETag", '"one"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.kaggle.damage_once:
            self.kaggle.damage_once = False
            content = content[:200] + bytes(50) + content[250:]
        return self._send(content[start:])

    def _send(self, content: bytes) -> None:
        piece = 16_384
        for at in range(0, len(content), piece):
            if at >= self.kaggle.stall.get("download", len(content)):
                return self._fall_silent()
            if self.kaggle.drop_after is not None and at >= self.kaggle.drop_after:
                self.kaggle.drop_after = None
                self.close_connection = True
                self.connection.close()
                return None
            try:
                self.wfile.write(content[at : at + piece])
            except OSError:
                return None
            self.kaggle.sent += len(content[at : at + piece])
            time.sleep(self.kaggle.slow)
        return None

    def _start(self, body: dict[str, Any]) -> None:
        del body
        self._json(
            {"token": "token-of-the-file", "createUrl": f"http://localhost/storage/upload?signature={SIGNATURE}"}
        )

    def _create(self, body: dict[str, Any]) -> None:
        ref = 1000 + len(self.kaggle.submissions)
        assert body["blobFileTokens"] in self.kaggle.uploaded
        self.kaggle.submissions.insert(
            0,
            {
                "ref": ref,
                "date": f"2026-01-02T03:04:{len(self.kaggle.submissions):02d}.000Z",
                "fileName": "unet.csv",
                "description": body.get("submissionDescription", ""),
                "status": "PENDING",
            },
        )
        self._json({"message": "Successfully submitted", "ref": ref})

    def _list(self, body: dict[str, Any]) -> None:
        del body
        if self.kaggle.pending > 0:
            self.kaggle.pending -= 1
        else:
            for each in self.kaggle.submissions:
                if each["status"] == "PENDING":
                    each |= self.kaggle.verdict
        self._json({"submissions": self.kaggle.submissions})


def nested_archive(folder: Path) -> bytes:
    """A survey's folder in the arrangement of Kaggle's archive: zips inside a zip, and a file that nobody needs."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in ("train.csv", "depths.csv", "sample_submission.csv"):
            archive.write(folder / name, name)
        for part in ("train", "test"):
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as nested:
                for path in sorted((folder / part).rglob("*.png")):
                    nested.write(path, path.relative_to(folder / part))
            archive.writestr(f"{part}.zip", inner.getvalue())
        # The client reads pieces of one MiB, and loses the piece that breaks: an archive must be larger to be resumed.
        archive.writestr("flamingo.zip", random.Random(0).randbytes(4_000_000))
    return whole.getvalue()
