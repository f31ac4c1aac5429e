"""Upload the checked CSV to Kaggle, and wait for the score."""

from __future__ import annotations

import shlex
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline import artifacts
from pipeline.config import UserError
from pipeline.config.datasets import TGS, dataset
from pipeline.data.sources import kaggle
from pipeline.stages import submit
from pipeline.stages.stage import Context
from pipeline.submission import receipts, uploads
from pipeline.submission.uploads import Upload
from pipeline.system.progress import Progress, echo, format_duration

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
"""Seconds between two questions: short at first, then longer and longer."""
KNOWN = "upload: Kaggle has this CSV already (FORCE=1 or --force uploads it again)"


def run(context: Context, dry: bool, wait: float, force: bool, again: str) -> None:
    """Upload what ``submit`` made, unless Kaggle has that very CSV already and could score it.

    Args:
        context: of the command.
        dry: stop before anything is sent.
        wait: seconds to wait for the score; 0 does not wait.
        force: upload a CSV that Kaggle has already.
        again: the command that uploads the CSV where this one has not, or Kaggle could not score it.

    Raises:
        UserError: the CSV was changed after its check, Kaggle did not take it, could not score it, or does not answer.
    """
    layout = context.layout
    artifact = submit.artifact(layout, context.folds)
    receipt = context.freshness.manifest(artifact)
    if receipt is None:
        return
    if not dataset(layout.dataset).may_be_uploaded:
        if not dataset(layout.dataset).answers_known:
            echo(f"  not uploaded        only the dataset {TGS.name} goes to Kaggle: leave DATASET out for that")
        return
    path, mark = artifact.path, receipts.mark_of(receipt)
    message = receipt.result["message"]
    record = None if force else uploads.find(artifact.folder, mark)
    known = record if record is not None and record.status != "error" else None
    if known is None:
        if error := artifacts.verify(artifact, receipt):
            raise UserError(f"{path}: {error}; make it again: make clean-submit, then make submit")
        if dry:
            echo(f"dry run: not uploaded; the message would be: {message}")
            return
        try:
            known = None if force else _adopt(mark, layout.experiment, record)
            if known is None:
                echo(f"upload: {path.name} to Kaggle: {message}")
                known = _send(path, message, mark, layout.experiment)
        except kaggle.NoCredentialsError:
            _tell_how(path, message, again)
            return
    elif known.status == "complete":
        echo(KNOWN)
    recorded = known == record and receipt.result.get("kaggle", {}).get("ref") == known.ref
    if not recorded:
        # Before the wait, so that nobody who stops it uploads again.
        uploads.keep(artifact.folder, known)
    waited = known.status == "pending" and wait > 0 and not dry
    answered, unanswered = _wait(known, wait) if waited else (known, "")
    if answered != known:
        uploads.keep(artifact.folder, answered)
    if answered != known or not recorded:
        # Imported here: it may load matplotlib, which a command with nothing to do has no use for.
        from pipeline.reporting import leaderboard

        leaderboard.write(layout.root)
        context.freshness.forget()
    if answered.status == "error":
        raise UserError(
            f"submission {answered.ref}: {answered.scores}; see {kaggle.PAGE}/submissions; "
            f"to upload the same CSV again: {again}"
        )
    if unanswered:
        raise UserError(f"submission {answered.ref} is uploaded, but its score cannot be asked for: {unanswered}")
    ask = " (ask with: make submissions)" if answered.status == "pending" else ""
    after = f" after {format_duration(wait)}" if ask and waited else ""
    echo(f"submission {answered.ref}: {answered.scores}{after}{ask}")


def _adopt(mark: str, experiment: str, record: Upload | None) -> Upload | None:
    """The upload of this CSV that Kaggle knows of and did not fail to score, though the record here does not say so.

    Args:
        mark: of the CSV.
        experiment: that made it.
        record: of an upload that Kaggle could not score when it was last asked.

    Returns:
        The newest such upload; None where there is none, or none but those that Kaggle could not score.
    """
    own = [each for each in kaggle.past_submissions() if mark in each.message.split()]
    for each in own:
        if each.status != "error":
            echo(KNOWN)
            return uploads.upload_of(each, mark, experiment)
    failed = uploads.upload_of(own[0], mark, experiment) if own else record
    if failed is not None:
        reason = failed.error or "no reason given"
        echo(f"upload: Kaggle could not score submission {failed.ref} ({reason}); uploading again")
    return None


def _send(path: Path, message: str, mark: str, experiment: str) -> Upload:
    ref = kaggle.upload(path, message)
    date = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return Upload(mark=mark, experiment=experiment, ref=ref, date=date, message=message)


def _wait(upload: Upload, longest: float) -> tuple[Upload, str]:
    """Ask until there is a score, or the longest wait is over; a connection that fails meanwhile is tried again.

    Args:
        upload: what was uploaded.
        longest: seconds to wait.

    Returns:
        What Kaggle says of the upload, and why no question had an answer; an empty string where one had.

    Raises:
        NoCredentialsError: there are none.
    """
    echo(f"submission {upload.ref}: waiting for Kaggle's score, {format_duration(longest)} at most")
    started, pause = time.monotonic(), FIRST_PAUSE
    left, answers, error = longest, 0, ""
    with Progress(f"wait for the score of submission {upload.ref}", round(longest), "s at most") as progress:
        while True:
            try:
                listed = kaggle.past_submissions(longest=max(left, FIRST_PAUSE))
                answers += 1
                same = (each for each in listed if each.ref == upload.ref)
                upload = next((uploads.upload_of(each, upload.mark, upload.experiment) for each in same), upload)
            except kaggle.NoCredentialsError:
                raise
            except UserError as failed:
                error = str(failed)
            left = longest - (time.monotonic() - started)
            if upload.status != "pending" or left <= 0:
                return upload, "" if answers else error
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)
            left = longest - (time.monotonic() - started)
            progress(min(round(longest - left), round(longest)))


def _tell_how(path: Path, message: str, again: str) -> None:
    echo("")
    echo("not uploaded: there are no Kaggle credentials on this machine. To upload it yourself, either")
    echo(f"  open {kaggle.PAGE}/submit and choose {path}, or")
    echo(f"  make a token on {kaggle.TOKENS}, save it as ~/.kaggle/access_token, and then {again}, or")
    echo(f"  kaggle competitions submit {kaggle.COMPETITION} -f {shlex.quote(str(path))} -m {shlex.quote(message)}")
