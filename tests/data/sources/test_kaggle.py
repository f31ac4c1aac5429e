"""Kaggle's real client in a process of its own, against a server on 127.0.0.1 that answers as Kaggle does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import SurveySettings, UserError
from pipeline.data.sources import kaggle as client_of
from pipeline.data.sources.synthetic import write_survey
from pipeline.stages import upload
from pipeline.submission.uploads import Upload
from pipeline.system.progress import Progress
from tests.conftest import TINY, Chain
from tests.kaggle_server import COMPETITION, SECRET, SIGNATURE, TOKEN, Kaggle, nested_archive

PROJECT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("survey")
    with Progress("survey", 52, "tiles") as progress:
        write_survey(folder, SurveySettings(train=40, test=12), progress)
    return nested_archive(folder)


@pytest.fixture
def kaggle(archive: bytes) -> Iterator[Kaggle]:
    server = Kaggle(archive)
    yield server
    server.close()


class User:
    """Somebody at a terminal, with a home and a root folder of their own."""

    def __init__(self, kaggle: Kaggle, folder: Path, credentials: str = "key") -> None:
        self.kaggle, self.root, self.home, self.credentials = kaggle, folder / "root", folder / "home", credentials
        self.timeout = ""

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE")}
        return {
            **kept,
            **self.kaggle.environment(self.home, self.credentials),
            "PYTHONPATH": str(PROJECT),
            "PIPELINE_TIMEOUT": self.timeout,
        }

    def _arguments(self, *arguments: str) -> list[str]:
        common = [] if arguments[0] == "submissions" else ["--experiment", "unet", "--set", TINY]
        return [sys.executable, "-m", "pipeline", *arguments, "--root", str(self.root), *common]

    def types(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command; whatever it says, no secret and no traceback is in it."""
        ran = subprocess.run(
            self._arguments(*arguments),
            capture_output=True,
            text=True,
            timeout=240,
            env=self._environment,
            cwd=self.home.parent,
        )
        self.look_for_secrets(ran.stdout + ran.stderr)
        return ran

    def begins(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._arguments(*arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            cwd=self.home.parent,
        )

    def look_for_secrets(self, printed: str) -> None:
        written = [path.read_bytes() for path in self.root.rglob("*") if path.is_file() and path.suffix != ".npy"]
        for secret in (SECRET, TOKEN, SIGNATURE):
            assert secret not in printed
            assert not any(secret.encode() in content for content in written)
        assert "Traceback" not in printed

    @property
    def data(self) -> Path:
        return self.root / "data/tgs"


@pytest.fixture
def user(kaggle: Kaggle, tmp_path: Path) -> User:
    return User(kaggle, tmp_path)


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed as it should."""
    assert ran.returncode == 2, ran.stdout + ran.stderr
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


# ---- Download -------------------------------------------------------------------------------------------------------


def test_tiles_come_from_kaggle_and_a_second_call_asks_nothing(user: User):
    first = user.types("download")
    assert first.returncode == 0, first.stderr
    assert len(list((user.data / "raw/train/images").iterdir())) == 40
    assert (user.data / "raw/manifest.json").is_file()
    user.kaggle.calls.clear()
    second = user.types("download")
    assert second.returncode == 0
    assert "up to date" in second.stdout
    assert user.kaggle.calls == []


@pytest.mark.parametrize("credentials", ["token", "file", "token file"])
def test_credentials_of_every_kind_the_client_knows(kaggle: Kaggle, tmp_path: Path, credentials: str):
    user = User(kaggle, tmp_path, credentials)
    assert user.types("download").returncode == 0
    assert (user.data / "raw/manifest.json").is_file()


def test_without_credentials_one_line_says_how_to_get_them_and_what_works_without(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "none")
    line = refused(user.types("download"))
    for word in ("credentials", "kaggle.com/settings", "make demo", "ARCHIVE=", f"{COMPETITION}/rules"):
        assert word in line, word
    assert not (user.data / "download").exists()
    assert not (user.data / "raw").exists()


def test_credentials_that_are_there_but_useless_are_not_called_missing(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "token")
    kaggle.refuse["IntrospectToken"] = (403, "expired")
    assert "KAGGLE_API_TOKEN" in refused(user.types("download"))
    user = User(kaggle, tmp_path / "other", "none")
    (user.home / ".kaggle").mkdir(parents=True)
    (user.home / ".kaggle/kaggle.json").write_text("not JSON")
    line = refused(user.types("download"))
    assert "kaggle.json holds no username and key" in line


FAULTS = [
    ("DownloadDataFiles", 401, "does not accept these credentials"),
    ("DownloadDataFiles", 403, f"competitions/{COMPETITION}/rules"),
    ("DownloadDataFiles", 404, f"knows no competition {COMPETITION}"),
    ("DownloadDataFiles", 429, "wait some minutes"),
    ("DownloadDataFiles", 500, "again in a while"),
    ("download", 503, "again in a while"),
]


@pytest.mark.parametrize(("where", "status", "advice"), FAULTS)
def test_each_refusal_has_its_line_and_leaves_nothing_half_made(user: User, where: str, status: int, advice: str):
    user.kaggle.refuse[where] = (status, "because")
    assert advice in refused(user.types("download"))
    assert not (user.data / "download").exists()
    assert not (user.data / "raw").exists()
    user.kaggle.refuse.clear()
    assert user.types("download").returncode == 0


def test_wrong_credentials_are_named_as_such(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "wrong")
    assert "does not accept these credentials" in refused(user.types("download"))


def test_no_network_is_said_in_one_line(user: User):
    user.kaggle.close()
    line = refused(user.types("download"))
    assert "no connection to Kaggle" in line
    assert not (user.data / "download").exists()


def test_a_dropped_connection_goes_on_where_it_broke(user: User):
    user.kaggle.drop_after = len(user.kaggle.archive) // 2
    assert user.types("download").returncode == 0
    first, second = user.kaggle.starts
    assert first == 0 < second
    assert (user.data / "raw/manifest.json").is_file()


def test_a_server_that_ignores_ranges_sends_everything_again(user: User):
    user.kaggle.drop_after, user.kaggle.ranges = len(user.kaggle.archive) // 2, False
    assert user.types("download").returncode == 0
    assert user.kaggle.starts == [0, 0]
    assert (user.data / "raw/manifest.json").is_file()


def test_a_killed_download_goes_on_where_it_stopped(user: User):
    whole = len(user.kaggle.archive)
    user.kaggle.slow = 0.01
    running = user.begins("download")
    deadline = time.monotonic() + 30
    while user.kaggle.sent < whole // 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    partial = (user.data / f"download/{COMPETITION}.zip").stat().st_size
    assert 0 < partial < whole
    user.kaggle.slow = 0.0
    assert user.types("download").returncode == 0
    assert user.kaggle.starts[-1] == partial
    assert (user.data / "raw/manifest.json").is_file()


def test_an_archive_that_arrives_damaged_is_fetched_again_by_itself(user: User):
    user.kaggle.damage_once = True
    ran = user.types("download")
    assert ran.returncode == 0
    assert "arrived damaged" in ran.stdout
    assert user.kaggle.calls.count("download") == 2


def test_a_download_that_stalls_ends_in_one_line_and_goes_on_next_time(user: User):
    user.kaggle.stall["download"], user.timeout = len(user.kaggle.archive) * 3 // 4, "1"
    line = refused(user.types("download"))
    assert "has sent nothing for 1 s during the download" in line
    assert "goes on where it stopped" in line
    assert user.kaggle.calls.count("download") == 1
    partial = (user.data / f"download/{COMPETITION}.zip").stat().st_size
    assert partial > 0
    user.kaggle.stall.clear()
    user.timeout = ""
    assert user.types("download").returncode == 0
    assert user.kaggle.starts[-1] == partial
    assert (user.data / "raw/manifest.json").is_file()


def test_a_slow_download_is_no_stall_though_it_takes_longer_than_the_timeout(user: User):
    user.kaggle.slow, user.timeout = 0.03, "3"
    assert user.types("download").returncode == 0
    assert user.kaggle.starts == [0]


@pytest.mark.parametrize(
    ("where", "count", "credentials", "what"),
    [
        ("DownloadDataFiles", 0, "key", "download"),
        ("DownloadDataFiles", 10, "key", "download"),
        ("IntrospectToken", 0, "token", "sign-in"),
        ("ListSubmissions", 10, "key", "list of submissions"),
    ],
)
def test_each_call_of_the_client_has_a_timeout(
    kaggle: Kaggle, tmp_path: Path, where: str, count: int, credentials: str, what: str
):
    user = User(kaggle, tmp_path, credentials)
    kaggle.stall[where], user.timeout = count, "1"
    line = refused(user.types("submissions" if where == "ListSubmissions" else "download"))
    assert f"has sent nothing for 1 s during the {what}; run the same command again" in line
    assert kaggle.calls.count(where) == 1
    assert not (user.data / "download").exists()


def test_a_server_that_does_not_read_is_a_stall_too():
    import requests

    send = requests.adapters.HTTPAdapter.send
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(UserError, match=r"nothing for 0\.5 s during the upload"), client_of._talking("upload", 0.5):
            requests.put(address, data=bytes(50_000_000), proxies={"http": ""})
    assert requests.adapters.HTTPAdapter.send is send


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("PIPELINE_TIMEOUT", text)
    with pytest.raises(UserError, match="write a number of seconds"):
        client_of.past_submissions()


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_a_damaged_archive_on_disk_is_found_and_fetched_again(user: User, how: str):
    assert user.types("download").returncode == 0
    path = user.data / f"download/{COMPETITION}.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000] if how == "truncated" else whole[:300] + b"?" * 20 + whole[320:])
    shutil.rmtree(user.data / "raw")
    ran = user.types("download")
    assert ran.returncode == 0, ran.stderr
    assert "damaged" in ran.stdout
    assert path.read_bytes() == whole


# ---- Submit ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with everything up to the checked CSV; nothing was uploaded."""
    server = Kaggle(archive)
    user = User(server, tmp_path_factory.mktemp("trained"))
    ran = user.types("submit", "--dry-run")
    server.close()
    assert ran.returncode == 0, ran.stderr
    assert "dry run: not uploaded" in ran.stdout
    assert "StartSubmissionUpload" not in server.calls
    return user.root


@pytest.fixture
def ready(trained: Path, user: User) -> User:
    shutil.copytree(trained, user.root)
    return user


def receipt(user: User) -> dict:
    return json.loads((user.root / "submissions/tgs/unet.json").read_text())


def test_the_csv_is_uploaded_and_its_score_comes_back(ready: User):
    ready.kaggle.pending = 2
    ran = ready.types("submit")
    assert ran.returncode == 0, ran.stderr
    assert "public 0.81234, private 0.83456" in ran.stdout
    csv = ready.root / "submissions/tgs/unet.csv"
    assert list(ready.kaggle.uploaded.values()) == [csv.read_bytes()]
    told = receipt(ready)
    message = ready.kaggle.submissions[0]["description"]
    assert message == told["result"]["message"]
    assert message.startswith("unet CV 0.")
    assert message.endswith(told["outputs"]["unet.csv"]["sha256"][:16])
    assert told["result"]["kaggle"]["public"] == 0.81234
    assert told["result"]["kaggle"]["private"] == 0.83456
    board = (ready.root / "submissions/leaderboard.csv").read_text()
    assert "0.81234" in board
    assert "0.83456" in board


def test_the_same_csv_is_never_uploaded_twice_unless_forced(ready: User):
    assert ready.types("submit").returncode == 0
    ready.kaggle.calls.clear()
    again = ready.types("submit")
    assert again.returncode == 0
    assert "has this CSV already" in again.stdout
    assert ready.kaggle.calls == []
    # Nor where the record of it was lost, or the process killed before it was written.
    shutil.rmtree(ready.root / "submissions/tgs/uploads")
    lost = ready.types("submit")
    assert lost.returncode == 0
    assert "public 0.81234" in lost.stdout
    assert len(ready.kaggle.submissions) == 1
    assert ready.types("submit", "--force").returncode == 0
    assert len(ready.kaggle.submissions) == 2


def test_no_wait_leaves_the_score_for_later(ready: User):
    ready.kaggle.pending = 2
    ran = ready.types("submit", "--no-wait")
    assert ran.returncode == 0
    assert "no score yet" in ran.stdout
    assert receipt(ready)["result"]["kaggle"]["status"] == "pending"
    ready.kaggle.pending = 0
    later = ready.types("submit")
    assert "private 0.83456" in later.stdout
    assert len(ready.kaggle.submissions) == 1


def test_waiting_for_a_score_ends_after_a_time_that_can_be_set(ready: User):
    ready.kaggle.pending = 1_000_000
    ran = ready.types("submit", "--wait", "2")
    assert ran.returncode == 0, ran.stderr
    assert "submission 1000: waiting for Kaggle's score, 2 s at most" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "submission 1000: no score yet after 2 s (ask with: make submissions)"
    assert receipt(ready)["result"]["kaggle"]["status"] == "pending"
    ready.kaggle.pending = 0
    assert ready.types("submissions").returncode == 0
    assert receipt(ready)["result"]["kaggle"]["private"] == 0.83456
    assert len(ready.kaggle.submissions) == 1


@pytest.mark.parametrize("text", ["-1", "soon", "1.5", "1000000"])
def test_a_wrong_time_to_wait_is_refused(chain: Chain, text: str):
    assert chain("submit", f"--wait={text}") == 2
    assert "--wait: must be a whole number of seconds" in chain.error


def test_an_upload_whose_score_cannot_be_asked_for_is_called_uploaded(monkeypatch: pytest.MonkeyPatch):
    asked: list[float] = []

    def silent(longest: float) -> list[client_of.Submission]:
        asked.append(longest)
        raise UserError("Kaggle has sent nothing")

    monkeypatch.setattr(client_of, "past_submissions", silent)
    pending = Upload(mark="a", experiment="unet", ref=7, date="", message="")
    assert upload._wait(pending, 1.5) == (pending, "Kaggle has sent nothing")
    assert len(asked) > 1
    assert max(asked) <= 1.5


@pytest.mark.parametrize("where", ["StartSubmissionUpload", "upload", "CreateSubmission"])
def test_an_upload_that_stalls_ends_in_one_line_and_is_made_by_the_next_command(ready: User, where: str):
    ready.kaggle.stall[where], ready.timeout = 0, "1"
    assert "has sent nothing for 1 s during the upload; run the same command" in refused(ready.types("submit"))
    assert ready.kaggle.calls.count(where) == 1
    assert ready.kaggle.submissions == []
    ready.kaggle.stall.clear()
    ready.timeout = ""
    assert ready.types("submit").returncode == 0
    assert len(ready.kaggle.submissions) == 1


def test_a_failed_upload_is_an_error_and_the_csv_stays(ready: User):
    ready.kaggle.refuse["upload"] = (403, "no")
    line = refused(ready.types("submit"))
    assert "Could not submit to competition" in line
    assert ready.kaggle.submissions == []
    assert (ready.root / "submissions/tgs/unet.csv").is_file()
    ready.kaggle.refuse.clear()
    assert ready.types("submit").returncode == 0


def test_kaggles_reason_for_a_refusal_is_passed_on(ready: User):
    ready.kaggle.refuse["CreateSubmission"] = (400, "You have used all 5 submissions of today")
    assert "all 5 submissions of today" in refused(ready.types("submit"))


FAILED = {"status": "ERROR", "errorDescription": "ids do not match"}


def test_a_csv_that_kaggle_could_not_score_is_uploaded_again_by_the_next_command_once(ready: User):
    scored, ready.kaggle.verdict = ready.kaggle.verdict, FAILED
    line = refused(ready.types("submit"))
    assert "submission 1000: Kaggle could not score it: ids do not match" in line
    assert "to upload the same CSV again: " in line
    assert "-m pipeline submit" in line
    assert len(ready.kaggle.submissions) == 1
    assert "submission 1001" in refused(ready.types("submit"))
    assert len(ready.kaggle.submissions) == 2
    ready.kaggle.verdict = scored
    # Also where the record was lost.
    shutil.rmtree(ready.root / "submissions/tgs/uploads")
    ran = ready.types("submit")
    assert ran.returncode == 0, ran.stderr
    assert "Kaggle could not score submission 1001 (ids do not match); uploading again" in ran.stdout
    assert receipt(ready)["result"]["kaggle"]["ref"] == 1002
    assert receipt(ready)["result"]["kaggle"]["status"] == "complete"
    ready.kaggle.calls.clear()
    assert ready.types("submit").returncode == 0
    assert ready.kaggle.calls == []


def test_a_csv_that_kaggle_scored_after_all_is_not_uploaded_again(ready: User):
    scored, ready.kaggle.verdict = ready.kaggle.verdict, FAILED
    refused(ready.types("submit"))
    ready.kaggle.submissions[0] |= {**scored, "errorDescription": ""}
    ran = ready.types("submit")
    assert ran.returncode == 0, ran.stderr
    assert "private 0.83456" in ran.stdout
    assert len(ready.kaggle.submissions) == 1
    assert receipt(ready)["result"]["kaggle"]["status"] == "complete"


def test_a_csv_that_was_changed_after_its_check_is_not_uploaded(ready: User):
    path = ready.root / "submissions/tgs/unet.csv"
    text = path.read_text()
    path.write_text(text.replace("id,", "ID,", 1))
    assert "has other content" in refused(ready.types("submit"))
    assert ready.kaggle.submissions == []


def test_without_credentials_the_csv_is_there_and_the_command_says_how_to_upload(ready: User):
    ready.credentials = "none"
    ran = ready.types("submit")
    assert ran.returncode == 0, ran.stderr
    assert "not uploaded" in ran.stdout
    assert f"kaggle competitions submit {COMPETITION}" in ran.stdout
    assert str(ready.root / "submissions/tgs/unet.csv") in ran.stdout


def test_submissions_shows_what_kaggle_has_beside_our_receipts(ready: User):
    assert ready.types("submit", "--no-wait").returncode == 0
    ready.kaggle.submissions.append(
        {
            "ref": 7,
            "date": "2025-12-31T00:00:00.000Z",
            "fileName": "by-hand.csv",
            "description": "by hand",
            "status": "COMPLETE",
            "publicScore": "0.5",
            "privateScore": "0.6",
        }
    )
    ran = ready.types("submissions")
    assert ran.returncode == 0, ran.stderr
    head, ours, by_hand = ran.stdout.strip().splitlines()
    assert head.split()[:4] == ["date", "ref", "experiment", "CV"]
    score = receipt(ready)["result"]["cv"]["score"]
    for word in ("1000", "unet", f"{score:.4f}", "0.8123", "0.8346", f"{score - 0.83456:+.4f}", "complete"):
        assert word in ours.split(), word
    assert "(by-hand.csv)" in by_hand
    assert receipt(ready)["result"]["kaggle"]["private"] == 0.83456


def test_a_receipt_that_was_never_uploaded_is_listed_as_such(ready: User):
    ran = ready.types("submissions")
    assert ran.returncode == 0
    assert "not uploaded" in ran.stdout
