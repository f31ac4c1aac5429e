"""Manifests with a valid checksum and strange content: not used, made again, or refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import artifacts, config
from pipeline.artifacts import Freshness, Layout, Output, results
from pipeline.data.sources import kaggle
from pipeline.reporting import leaderboard_entries
from pipeline.stages import ROAD, download, predict, prepare, report, split, submissions, submit, train, validate
from pipeline.submission import receipts
from tests.conftest import TINY, Chain


def changed(path: Path, **fields: Any) -> None:
    """Replace fields of a manifest, with a checksum that is right."""
    manifest = artifacts.read_manifest(path)
    assert manifest is not None
    artifacts.write_manifest(path, msgspec.structs.replace(manifest, **fields))


def changed_result(path: Path, **fields: Any) -> None:
    manifest = artifacts.read_manifest(path)
    assert manifest is not None
    changed(path, result={**manifest.result, **fields})


@pytest.fixture
def chain(root: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    return Chain(root, capsys)


@pytest.fixture
def experiment(root: Path) -> Path:
    return root / "data/demo/experiments/demo"


def test_every_stage_has_a_result_that_fits_its_type(finished: Path):
    layout = Layout(finished, "demo", "demo", config.load("demo", TINY.split()))
    made = [
        download.artifact(layout),
        prepare.artifact(layout),
        split.artifact(layout),
        validate.artifact(layout, (0, 1)),
        report.artifact(layout, (0, 1)),
        submit.artifact(layout, (0, 1)),
    ]
    made += [each(layout, fold) for fold in (0, 1) for each in (train.trained, train.out_of_fold, predict.artifact)]
    assert {each.stage for each in made} == {stage.name for stage in ROAD} - {
        "mosaic",
        "pretrain",
    }  # which run on request
    for artifact in made:
        manifest = artifacts.read_manifest(artifact.manifest_path)
        assert manifest is not None
        assert results.error(manifest.result, artifact.result) == ""
    receipt = artifacts.read_manifest(submit.artifact(layout, (0, 1)).manifest_path)
    assert receipt is not None
    for kind in (results.Scored, results.Answered, results.Listed):
        assert results.error(receipt.result, kind) == ""


@pytest.mark.parametrize("name", ["a\0b", "../history.csv", "/etc/hostname", "a/b", "a\\b", "..", ".", ""])
def test_names_that_lead_elsewhere_are_not_followed(chain: Chain, experiment: Path, name: str):
    # Of a file, in a folder that is one's own: nothing else may be looked at, copied or hashed.
    changed(experiment / "fold-0/oof.json", extras={name: Output(1, "0" * 64)})
    assert artifacts.read_manifest(experiment / "fold-0/oof.json") is None
    assert chain("status", "--verify") == 0
    assert "out-of-fold 0    stale: oof.json cannot be read" in chain.printed


@pytest.mark.parametrize("name", ["a\0b", "../raw/train.csv", "/etc/hostname", "train//images", "train/../x"])
def test_outputs_lie_in_their_folder_or_below(chain: Chain, root: Path, name: str):
    path = root / "data/demo/raw/manifest.json"
    manifest = artifacts.read_manifest(path)
    assert manifest is not None
    assert "train/images" in manifest.outputs
    changed(path, outputs={**manifest.outputs, name: Output(1, "0" * 64)})
    assert chain("status", "--verify") == 0
    assert "download         stale: manifest.json cannot be read" in chain.printed


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": {"predict": "text"}},
        {"settings": {"predict": {"tta": [[[1]]]}}},
        {"made": {"seconds": "soon"}},
        {"outputs": {"oof.npy": Output(1, "../../x")}},
    ],
)
def test_what_else_is_strange_is_stale(chain: Chain, experiment: Path, fields: dict[str, Any]):
    changed(experiment / "fold-0/oof.json", **fields)
    assert chain("status", "--verify") == 0
    assert "out-of-fold 0    stale" in chain.printed


@pytest.mark.parametrize("stage", ["report", "submit", "train"])
@pytest.mark.parametrize("result", [{}, {"epochs": "two", "seconds": "many"}, {"seconds": None}])
def test_a_trainings_strange_result_is_one_line(
    chain: Chain, root: Path, experiment: Path, stage: str, result: dict[str, Any]
):
    path = experiment / "fold-0/train.json"
    if result:
        changed_result(path, **result)
    else:
        changed(path, result={})
    shutil.rmtree(root / "submissions")
    (experiment / "cv.json").unlink()
    (experiment / "report.json").unlink()
    assert chain("status") == 0
    assert "train fold 0     stale: train.json holds a result that cannot be used" in chain.printed
    assert chain(stage) == 2
    assert len(chain.error.splitlines()) == 1
    # The weights are whole: not replaced without consent.
    assert "fold 0 (train.json holds a result that cannot be used" in chain.error
    assert "RETRAIN=1" in chain.error


STRANGE: list[dict[str, Any]] = [
    {"kaggle": "text"},
    {"kaggle": 5},
    {"kaggle": None},
    {"kaggle": {"public": "text"}},
    {"cv": {}},
    {"cv": "text"},
    {"votes": {}},
    {"votes": {"demo": 0}},
    {"votes": {"other": 1}},
    {"training": {}},
    {"tiles": 4.5},
    {"experiment": "other", "votes": {"other": 1}},
    {"experiment": "a\0b"},
    {"dataset": "../tgs"},
    {"message": None},
]


@pytest.mark.parametrize("strange", [None, *STRANGE], ids=str)
def test_a_strange_receipt_is_made_again(chain: Chain, root: Path, finished: Path, strange: dict[str, Any] | None):
    path = root / "submissions/demo/demo.json"
    if strange is None:
        changed(path, result={})
    else:
        changed_result(path, **strange)
    for written in (root / "submissions").glob("leaderboard.*"):
        written.unlink()
    assert chain("status") == 0
    assert "submit           stale: demo.json holds a result that cannot be used" in chain.printed
    assert chain("report") == 0, chain.error  # which writes the leaderboard
    assert (root / "submissions/leaderboard.csv").is_file()
    assert chain("submit") == 0, chain.error
    assert "test answers" in chain.printed
    again, before = (artifacts.read_manifest(each / "submissions/demo/demo.json") for each in (root, finished))
    assert again is not None
    assert before is not None
    assert again.result == before.result


@pytest.mark.parametrize(
    "strange",
    [{"cv": {}}, {"cv": None}, {"votes": {"other": 1}}, {"training": {}}, {"folds": "0"}, {"experiment": "other"}],
    ids=str,
)
def test_a_strange_validation_is_stale(root: Path, experiment: Path, strange: dict[str, Any]):
    layout = Layout(root, "demo", "demo", config.load("demo", TINY.split()))
    assert Freshness().state(validate.artifact(layout, (0, 1))).done
    changed_result(experiment / "cv.json", **strange)
    assert "cannot be used" in Freshness().state(validate.artifact(layout, (0, 1))).why
    assert Freshness().manifest(validate.artifact(layout, (0, 1))) is None


def test_a_strange_validation_is_made_again(chain: Chain, experiment: Path):
    before = artifacts.read_manifest(experiment / "cv.json")
    changed(experiment / "cv.json", result={})
    (experiment / "report.html").unlink()
    assert chain("report") == 0, chain.error
    again = artifacts.read_manifest(experiment / "cv.json")
    assert before is not None
    assert again is not None
    assert again.result == before.result


@pytest.mark.parametrize("source", ["text", {"name": [[[]]]}, None])
def test_a_strange_record_of_an_archive_is_stale(root: Path, source: Any):
    layout = Layout(root, "demo", "demo", config.load("demo", TINY.split()))
    changed_result(download.artifact(layout).manifest_path, source=source)
    assert Freshness().manifest(download.artifact(layout)) is None
    assert not Freshness().state(download.artifact(layout)).done


@pytest.mark.parametrize("strange", [{}, {"experiment": "x"}, {"experiment": "x", "cv": {"score": "1"}}], ids=str)
def test_the_list_of_submissions_leaves_strange_receipts_out(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, strange: dict[str, Any]
):
    shutil.copytree(root / "submissions/demo", root / "submissions/tgs")
    shutil.copy(root / "submissions/tgs/demo.json", root / "submissions/tgs/other.json")
    changed(root / "submissions/tgs/other.json", result=strange)
    shutil.copy(root / "submissions/tgs/demo.json", root / "submissions/tgs/empty.json")
    changed(root / "submissions/tgs/empty.json", outputs={})
    monkeypatch.setattr(kaggle, "past_submissions", list)
    submissions.run(root)
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert "demo" in line
    assert [path.name for path, _ in receipts.read(root / "submissions/tgs")] == ["demo.json"]


@pytest.mark.parametrize("answer", ["text", 5, None, {"private": "0.8"}], ids=str)
def test_the_leaderboard_leaves_strange_answers_out(root: Path, answer: Any):
    changed_result(root / "submissions/demo/demo.json", kaggle=answer)
    (entry,) = leaderboard_entries.read(root)
    assert entry.row["private"] is None
    assert entry.row["test answers"] is None
    changed_result(root / "data/demo/experiments/demo/cv.json", cv={"score": "best"})
    assert leaderboard_entries.read(root) == []


def test_a_network_is_not_taken_over_with_files_that_are_not_its_own(root: Path):
    other = Layout(root, "demo", "other", config.load("demo", TINY.split()))
    path = root / "data/demo/experiments/demo/fold-0/train.json"
    manifest = artifacts.read_manifest(path)
    assert manifest is not None
    changed(path, extras={**manifest.extras, "oof.npy": artifacts.measure(path.parent / "oof.npy")})
    assert artifacts.reuse_weights(train.trained(other, 0)) == ""
