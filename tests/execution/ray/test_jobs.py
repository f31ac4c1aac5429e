"""What the driver sends to a task."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import Freshness, Layout
from pipeline.config import load
from pipeline.execution.ray.jobs import input_fingerprints
from pipeline.stages import download, prepare, pretrain, split, train
from tests.hollow import fill


def test_a_fold_that_starts_from_a_pretrained_network_needs_it_on_its_machine(tmp_path: Path):
    layout = Layout(tmp_path, "demo", "demo", load("demo", ["train.pretrain=masked"]))
    for artifact in (download, prepare, split, pretrain):
        fill(artifact.artifact(layout))
    task = train.task(layout, 0)
    assert input_fingerprints(task, Freshness()).keys() == {"prepare", "split", "pretrain"}
    moved = task.moved(tmp_path / "elsewhere")
    assert moved.pretrained is not None
    assert moved.pretrained in moved.trained.inputs
    assert moved.pretrained.folder.is_relative_to(tmp_path / "elsewhere")
    assert input_fingerprints(moved, Freshness()) == {}
