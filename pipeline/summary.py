"""What a user wants to know of a submission that is done. Reads the receipt only, so it is there at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.progress import say
from pipeline.stages import Context


def summary(context: Context) -> None:
    """Print what a user wants to know of a submission that is done."""
    tree = context.tree
    artifact = tree.submission(context.folds)
    manifest = context.ledger.manifest(artifact)
    if manifest is None:
        return
    result, cv = manifest.result, manifest.result["cv"]
    say("")
    say(f"  CV (cross-fitted)   {cv['score']:.4f}  {_spread(cv)}")
    say(f"  at 0.5, all kept    {cv['score_at_half']:.4f}")
    say(f"  chosen              threshold {cv['threshold']:.3f}, smallest mask {cv['min_area']} pixels")
    if "score" in result:
        say(f"  test answers        {result['score']:.4f}  (the survey knows its own)")
    say(f"  salt predicted      in {result['tiles_with_salt']:,} of {result['tiles']:,} test tiles")
    say(f"  CSV                 {_shown(artifact.folder / artifact.outputs[0])}")
    say(f"  receipt             {_shown(artifact.manifest_path)}")
    say(f"  report              {_shown(tree.experiment_folder / 'report.html')}")


def _spread(cv: dict[str, Any]) -> str:
    low, high = cv["interval"]
    folds = " ".join(f"{score:.3f}" for score in cv["folds"].values())
    over = f"+- {cv['spread']:.4f} over folds {folds}, " if len(cv["folds"]) > 1 else ""
    return f"{over}95 % interval over tiles {low:.3f} to {high:.3f}"


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
