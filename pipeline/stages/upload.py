"""Upload the checked CSV to Kaggle, and wait for the score."""

from __future__ import annotations

import shlex
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline import artifacts
from pipeline.config import UserError
from pipeline.data.sources import kaggle
from pipeline.stages import Context
from pipeline.submission import uploads
from pipeline.submission.uploads import Upload
from pipeline.system.progress import Progress, echo

LONGEST_WAIT = 600
"""Seconds to wait for a score; 18,000 tiles usually take Kaggle less than one minute."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
"""Seconds between two questions: short at first, then longer and longer."""
KNOWN = "upload: Kaggle has this CSV already (FORCE=1 or --force uploads it again)"


def run(context: Context, dry: bool, wait: bool, force: bool) -> None:
    """Upload what ``submit`` made, unless Kaggle has that very CSV already.

    Args:
        context: of the command.
        dry: stop before anything is sent.
        wait: wait for the score.
        force: upload a CSV that Kaggle has already.

    Raises:
        UserError: the CSV was changed after its check, Kaggle did not take it, or could not score it.
    """
    layout = context.layout
    artifact = layout.submission(context.folds)
    receipt = context.freshness.manifest(artifact)
    if receipt is None:
        return
    if layout.dataset != "tgs":
        if layout.dataset != "demo":
            echo("  not uploaded        only the dataset tgs goes to Kaggle: leave DATASET out for that")
        return
    path, mark = artifact.folder / artifact.outputs[0], uploads.mark_of(receipt)
    message = receipt.result["message"]
    known = None if force else uploads.find(artifact.folder, mark)
    recorded = known is not None and receipt.result.get("kaggle", {}).get("ref") == known.ref
    if known is None:
        if error := artifacts.verify(artifact, receipt):
            raise UserError(f"{path}: {error}; make it again: make clean-submit, then make submit")
        if dry:
            echo(f"dry run: not uploaded; the message would be: {message}")
            return
        try:
            known = None if force else _adopt(mark, layout.experiment)
            if known is None:
                echo(f"upload: {path.name} to Kaggle: {message}")
                known = _send(path, message, mark, layout.experiment)
        except kaggle.NoCredentialsError:
            _tell_how(path, message)
            return
    elif known.status == "complete":
        echo(KNOWN)
    if not recorded:
        # Before the wait, so that nobody who stops it uploads again.
        uploads.keep(artifact.folder, known)
    answered = _wait(known) if known.status == "pending" and wait and not dry else known
    if answered != known:
        uploads.keep(artifact.folder, answered)
    if answered != known or not recorded:
        # Imported here: it may load matplotlib, which a command with nothing to do has no use for.
        from pipeline.reporting import leaderboard

        leaderboard.write(layout.root)
        context.freshness.forget()
    if answered.status == "error":
        raise UserError(f"submission {answered.ref}: {answered.scores}; see {kaggle.PAGE}/submissions")
    echo(
        f"submission {answered.ref}: {answered.scores}"
        + (" (ask with: make submissions)" if answered.status == "pending" else "")
    )


def _adopt(mark: str, experiment: str) -> Upload | None:
    """The upload of this CSV that Kaggle knows of, though the record here does not."""
    for each in kaggle.past_submissions():
        if mark in each.message.split() and each.status != "error":
            echo(KNOWN)
            return uploads.upload_of(each, mark, experiment)
    return None


def _send(path: Path, message: str, mark: str, experiment: str) -> Upload:
    ref = kaggle.upload(path, message)
    date = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return Upload(mark=mark, experiment=experiment, ref=ref, date=date, message=message)


def _wait(upload: Upload) -> Upload:
    """Ask until there is a score, or the longest wait is over; a connection that fails meanwhile is tried again."""
    started, pause = time.monotonic(), FIRST_PAUSE
    with Progress("wait for the score", LONGEST_WAIT, "s at most") as progress:
        while (elapsed := time.monotonic() - started) < LONGEST_WAIT:
            try:
                same = (each for each in kaggle.past_submissions() if each.ref == upload.ref)
                upload = next((uploads.upload_of(each, upload.mark, upload.experiment) for each in same), upload)
            except UserError:
                if elapsed + pause >= LONGEST_WAIT:
                    raise
            if upload.status != "pending":
                break
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            progress(int(elapsed))
    return upload


def _tell_how(path: Path, message: str) -> None:
    echo("")
    echo("not uploaded: there are no Kaggle credentials on this machine. To upload it yourself, either")
    echo(f"  open {kaggle.PAGE}/submit and choose {path}, or")
    echo(f"  make a token on {kaggle.TOKENS}, save it as ~/.kaggle/access_token, and run make submit again, or")
    echo(f"  kaggle competitions submit {kaggle.COMPETITION} -f {shlex.quote(str(path))} -m {shlex.quote(message)}")
