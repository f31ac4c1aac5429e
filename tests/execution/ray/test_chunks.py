"""Chunks of predictions, joined, are what one process writes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout
from pipeline.config import UserError, load
from pipeline.execution.backend import load_fold_module
from pipeline.execution.ray import chunks
from pipeline.execution.ray.chunks import join_chunks, split_evenly
from pipeline.prediction import predictor
from pipeline.stages import predict
from tests.conftest import TINY


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_every_chunk_is_in_one_run(count: int):
    starts = range(0, 5 * 512, 512)
    runs = split_evenly(starts, count)
    assert [start for run in runs for start in run] == list(starts)
    assert len(runs) == min(count, 5)
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


@pytest.fixture
def chunks_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.execution import fold

    for module in (chunks, fold, predictor):
        monkeypatch.setattr(module, "CHUNK", 5)


def test_chunks_together_are_what_one_process_writes(root: Path, chunks_of_five: None):
    task = predict.task(Layout(root, "demo", "demo", load("demo", TINY.split())), 0)
    work, made = load_fold_module(), []
    work.predict_test(task)
    whole = task.predicted.folder / "fold-0.npy"
    before, fingerprint = whole.read_bytes(), Freshness().manifest(task.predicted).fingerprint  # type: ignore[union-attr]
    whole.unlink()
    work.predict_test_parts(task, (5, 10), Freshness(), lambda part, tiles: made.append(tiles))
    with pytest.raises(UserError, match="from tile 0: is missing"):
        join_chunks(task, range(0, 12, 5))
    work.predict_test_parts(task, (0, 5, 10), Freshness(), lambda part, tiles: made.append(tiles))
    assert made == [5, 2, 5, 5, 2]
    part = task.part(5).folder / "5.npy"
    kept = part.read_bytes()
    part.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(UserError, match=r"from tile 5: 5[.]npy has other content"):
        join_chunks(task, range(0, 12, 5))
    assert not Freshness().state(task.part(5)).done
    work.predict_test_parts(task, (5,), Freshness(), lambda part, tiles: None)
    assert join_chunks(task, range(0, 12, 5)) == 12
    assert whole.read_bytes() == before
    assert Freshness().manifest(task.predicted).fingerprint == fingerprint  # type: ignore[union-attr]
    assert not part.parent.exists()


def test_chunks_of_other_weights_do_not_count(root: Path, chunks_of_five: None):
    task = predict.task(Layout(root, "demo", "demo", load("demo", TINY.split())), 0)
    load_fold_module().predict_test_parts(task, (0,), Freshness(), lambda part, tiles: None)
    assert Freshness().state(task.part(0)).done
    manifest = artifacts.read_manifest(task.trained.manifest_path)
    assert manifest is not None
    artifacts.write_manifest(task.trained.manifest_path, msgspec.structs.replace(manifest, fingerprint="0"))
    assert Freshness().state(task.part(0)).why == "train fold 0 has changed"
