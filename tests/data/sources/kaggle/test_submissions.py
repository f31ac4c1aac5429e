"""Kaggle's real client uploads to a server on 127.0.0.1 that answers as Kaggle does."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from pipeline.artifacts import Layout
from pipeline.config import UserError, load
from pipeline.data.sources import kaggle as kaggle_source
from pipeline.stages import predict, train, upload
from pipeline.submission.uploads import Upload
from tests.conftest import TINY, Chain, replace_predictions
from tests.data.sources.kaggle.helpers import User, refused
from tests.hollow import fill
from tests.kaggle_server import COMPETITION, Kaggle


@pytest.fixture(scope="module")
def trained(archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with everything up to the checked CSV; nothing was uploaded, and no network was trained."""
    server = Kaggle(archive)
    user = User(server, tmp_path_factory.mktemp("trained"))
    assert user.run("split").returncode == 0
    layout = Layout(user.root, "tgs", "unet", load("unet", TINY.split()))
    for fold in layout.folds:
        for artifact in (train.trained(layout, fold), train.out_of_fold(layout, fold), predict.artifact(layout, fold)):
            fill(artifact)
    replace_predictions(layout)
    ran = user.run("submit", "--dry-run")
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
    ran = ready.run("submit")
    assert ran.returncode == 0, ran.stderr
    assert "public 0.81234, private 0.83456" in ran.stdout
    csv = ready.root / "submissions/tgs/unet.csv"
    assert list(ready.kaggle.uploaded.values()) == [csv.read_bytes()]
    written = receipt(ready)
    message = ready.kaggle.submissions[0]["description"]
    assert message == written["result"]["message"]
    assert message.startswith("unet CV 0.")
    assert message.endswith(written["outputs"]["unet.csv"]["sha256"][:16])
    assert written["result"]["kaggle"]["public"] == 0.81234
    assert written["result"]["kaggle"]["private"] == 0.83456
    board = (ready.root / "submissions/leaderboard.csv").read_text()
    assert "0.81234" in board
    assert "0.83456" in board


def test_the_same_csv_is_never_uploaded_twice_unless_forced(ready: User):
    assert ready.run("submit").returncode == 0
    ready.kaggle.calls.clear()
    again = ready.run("submit")
    assert again.returncode == 0
    assert "has this CSV already" in again.stdout
    assert ready.kaggle.calls == []
    # Also where the record of the upload is missing, as after a kill.
    shutil.rmtree(ready.root / "submissions/tgs/uploads")
    lost = ready.run("submit")
    assert lost.returncode == 0
    assert "public 0.81234" in lost.stdout
    assert len(ready.kaggle.submissions) == 1
    assert ready.run("submit", "--force").returncode == 0
    assert len(ready.kaggle.submissions) == 2


def test_no_wait_leaves_the_score_for_later(ready: User):
    ready.kaggle.pending = 2
    ran = ready.run("submit", "--no-wait")
    assert ran.returncode == 0
    assert "no score yet" in ran.stdout
    assert receipt(ready)["result"]["kaggle"]["status"] == "pending"
    ready.kaggle.pending = 0
    later = ready.run("submit")
    assert "private 0.83456" in later.stdout
    assert len(ready.kaggle.submissions) == 1


def test_waiting_for_a_score_ends_after_a_time_that_can_be_set(ready: User):
    ready.kaggle.pending = 1_000_000
    ran = ready.run("submit", "--wait", "2")
    assert ran.returncode == 0, ran.stderr
    assert "submission 1000: waiting for Kaggle's score, 2 s at most" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "submission 1000: no score yet after 2 s (ask with: make submissions)"
    assert receipt(ready)["result"]["kaggle"]["status"] == "pending"
    ready.kaggle.pending = 0
    assert ready.run("submissions").returncode == 0
    assert receipt(ready)["result"]["kaggle"]["private"] == 0.83456
    assert len(ready.kaggle.submissions) == 1


@pytest.mark.parametrize("text", ["-1", "soon", "1.5", "1000000"])
def test_a_wrong_time_to_wait_is_refused(chain: Chain, text: str):
    assert chain("submit", f"--wait={text}") == 2
    assert "--wait: must be a whole number of seconds" in chain.error


def test_an_upload_whose_score_cannot_be_queried_counts_as_uploaded(monkeypatch: pytest.MonkeyPatch):
    timeouts: list[float] = []

    def silent(longest: float) -> list[kaggle_source.Submission]:
        timeouts.append(longest)
        raise UserError("Kaggle has sent nothing")

    monkeypatch.setattr(kaggle_source, "past_submissions", silent)
    pending = Upload(mark="a", experiment="unet", ref=7, date="", message="")
    assert upload._wait(pending, 1.5) == (pending, "Kaggle has sent nothing")
    assert len(timeouts) > 1
    assert max(timeouts) <= 1.5


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("StartSubmissionUpload", marks=pytest.mark.slow),
        "upload",
        pytest.param("CreateSubmission", marks=pytest.mark.slow),
    ],
)
def test_an_upload_that_stalls_ends_in_one_line_and_is_made_by_the_next_command(ready: User, where: str):
    ready.kaggle.stall[where], ready.timeout = 0, "1"
    assert "has sent nothing for 1 s during the upload; run the same command" in refused(ready.run("submit"))
    assert ready.kaggle.calls.count(where) == 1
    assert ready.kaggle.submissions == []
    ready.kaggle.stall.clear()
    ready.timeout = ""
    assert ready.run("submit").returncode == 0
    assert len(ready.kaggle.submissions) == 1


def test_a_failed_upload_is_an_error_and_the_csv_stays(ready: User):
    ready.kaggle.refuse["upload"] = (403, "no")
    line = refused(ready.run("submit"))
    assert "Could not submit to competition" in line
    assert ready.kaggle.submissions == []
    assert (ready.root / "submissions/tgs/unet.csv").is_file()
    ready.kaggle.refuse.clear()
    assert ready.run("submit").returncode == 0


def test_kaggles_reason_for_a_refusal_is_passed_on(ready: User):
    ready.kaggle.refuse["CreateSubmission"] = (400, "You have used all 5 submissions of today")
    assert "all 5 submissions of today" in refused(ready.run("submit"))


FAILED = {"status": "ERROR", "errorDescription": "ids do not match"}


def test_a_csv_that_kaggle_could_not_score_is_uploaded_again_by_the_next_command_once(ready: User):
    scored, ready.kaggle.verdict = ready.kaggle.verdict, FAILED
    line = refused(ready.run("submit"))
    assert "submission 1000: Kaggle could not score it: ids do not match" in line
    assert "to upload the same CSV again: " in line
    assert "-m pipeline submit" in line
    assert len(ready.kaggle.submissions) == 1
    assert "submission 1001" in refused(ready.run("submit"))
    assert len(ready.kaggle.submissions) == 2
    ready.kaggle.verdict = scored
    # Also where the record was lost.
    shutil.rmtree(ready.root / "submissions/tgs/uploads")
    ran = ready.run("submit")
    assert ran.returncode == 0, ran.stderr
    assert "Kaggle could not score submission 1001 (ids do not match); uploading again" in ran.stdout
    assert receipt(ready)["result"]["kaggle"]["ref"] == 1002
    assert receipt(ready)["result"]["kaggle"]["status"] == "complete"
    ready.kaggle.calls.clear()
    assert ready.run("submit").returncode == 0
    assert ready.kaggle.calls == []


def test_a_csv_that_kaggle_scored_after_all_is_not_uploaded_again(ready: User):
    scored, ready.kaggle.verdict = ready.kaggle.verdict, FAILED
    refused(ready.run("submit"))
    ready.kaggle.submissions[0] |= {**scored, "errorDescription": ""}
    ran = ready.run("submit")
    assert ran.returncode == 0, ran.stderr
    assert "private 0.83456" in ran.stdout
    assert len(ready.kaggle.submissions) == 1
    assert receipt(ready)["result"]["kaggle"]["status"] == "complete"


def test_a_csv_that_was_changed_after_its_check_is_not_uploaded(ready: User):
    path = ready.root / "submissions/tgs/unet.csv"
    text = path.read_text()
    path.write_text(text.replace("id,", "ID,", 1))
    assert "has other content" in refused(ready.run("submit"))
    assert ready.kaggle.submissions == []


def test_without_credentials_the_csv_is_there_and_the_command_says_how_to_upload(ready: User):
    ready.credentials = "none"
    ran = ready.run("submit")
    assert ran.returncode == 0, ran.stderr
    assert "not uploaded" in ran.stdout
    assert f"kaggle competitions submit {COMPETITION}" in ran.stdout
    assert str(ready.root / "submissions/tgs/unet.csv") in ran.stdout
    # The whole command: without its experiment and settings it would be about another CSV.
    (again,) = (line for line in ran.stdout.splitlines() if "save it as" in line)
    assert f"and then {shlex.quote(sys.executable)} -m pipeline submit " in again
    assert "train.epochs=2" in again


def test_submissions_lists_kaggles_scores_beside_the_receipts(ready: User):
    assert ready.run("submit", "--no-wait").returncode == 0
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
    ran = ready.run("submissions")
    assert ran.returncode == 0, ran.stderr
    head, ours, by_hand = ran.stdout.strip().splitlines()
    assert head.split()[:4] == ["date", "ref", "experiment", "CV"]
    score = receipt(ready)["result"]["cv"]["score"]
    for word in ("1000", "unet", f"{score:.4f}", "0.8123", "0.8346", f"{score - 0.83456:+.4f}", "complete"):
        assert word in ours.split(), word
    assert "(by-hand.csv)" in by_hand
    assert receipt(ready)["result"]["kaggle"]["private"] == 0.83456


def test_a_receipt_that_was_never_uploaded_is_listed_as_such(ready: User):
    ran = ready.run("submissions")
    assert ran.returncode == 0
    assert "not uploaded" in ran.stdout
