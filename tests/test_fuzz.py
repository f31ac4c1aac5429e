"""Arbitrary input: a result or one clear line, never a traceback and never a hang.

``FUZZ_EXAMPLES`` sets how many inputs each reader gets (make test-faults gives more).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import artifacts, config
from pipeline.artifacts import (
    Artifact,
    Freshness,
    Layout,
    Manifest,
    Output,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from pipeline.cli import summary
from pipeline.cli.main import main
from pipeline.config import SurveySettings, UserError, experiment_files
from pipeline.data import folds, rle, tiles
from pipeline.data.decode import decode_tiles
from pipeline.data.files import RAW_FILES, RAW_FOLDERS
from pipeline.data.png import decode_image, decode_mask
from pipeline.data.sources.archive import unpack
from pipeline.data.sources.synthetic import write_survey
from pipeline.execution.messages import fold_line
from pipeline.reporting import leaderboard, leaderboard_entries
from pipeline.stages import ROAD, Context, download, train, validate
from pipeline.submission import receipts
from pipeline.system.progress import Progress
from tests.hollow import fill

pytestmark = pytest.mark.fuzz

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
quickly = settings(
    max_examples=EXAMPLES,
    deadline=5000,  # milliseconds: a reader that hangs is an error
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def in_one_line(error: UserError) -> None:
    assert str(error).strip()
    assert "Traceback" not in str(error)


def mutated(data: st.DataObject, whole: bytes) -> bytes:
    """The bytes with some of them changed, cut out, doubled or appended."""
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        kind = data.draw(st.sampled_from(["change", "cut", "double", "insert", "truncate"]))
        size = data.draw(st.integers(1, 40))
        if kind == "change":
            content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del content[at : at + size]
        elif kind == "double":
            content[at:at] = content[at : at + size]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=20))
        else:
            del content[at:]
    return bytes(content)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey")
    with Progress("survey", 9, "tiles") as progress:
        write_survey(folder, SurveySettings(train=6, test=3), progress)
    return folder


@pytest.fixture(scope="module")
def archive(survey: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as whole:
        for path in sorted(survey.rglob("*")):
            if path.is_file():
                whole.write(path, path.relative_to(survey))
    return stream.getvalue()


@quickly
@given(st.lists(st.one_of(st.none(), st.text(max_size=60), st.text("0123456789 -+.e\t", max_size=60)), max_size=6))
@example(["1 " + "9" * 400])
@example(["\u0661 \u0662"])
def test_run_length_codes(texts: list[str | None]):
    try:
        masks = rle.decode(texts, 101, 101)
    except UserError as error:
        in_one_line(error)
    else:
        assert masks.shape == (len(texts), 101, 101)
        runs = [[int(number) for number in (text or "").split()] for text in texts]
        assert masks.sum(axis=(1, 2)).tolist() == [sum(numbers[1::2]) for numbers in runs]
        again = rle.decode(rle.encode(masks), 101, 101)
        np.testing.assert_array_equal(again, masks)


@pytest.mark.parametrize("name", ["train.csv", "depths.csv", "sample_submission.csv"])
@quickly
@given(data=st.data())
def test_tables_of_an_archive(survey: Path, tmp_path: Path, name: str, data: st.DataObject):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for folder in (raw, out):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(survey, raw)
    out.mkdir()
    (raw / name).write_bytes(mutated(data, (survey / name).read_bytes()))
    try:
        counts = decode_tiles(raw, out)
    except UserError as error:
        in_one_line(error)
    else:
        assert (counts["train"], counts["test"]) == (6, 3)
        store = tiles.load(out)
        assert store.train_images.shape == store.train_masks.shape == (6, 101, 101)
        assert store.train["id"].is_unique
        assert np.isfinite(store.train["depth"]).all()


@quickly
@given(data=st.data())
def test_tables_of_folds(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "folds.csv"
    whole = b"id,fold,depth,coverage\na,0,100,0.5\nb,1,200,0.0\nc,0,300,1.0\n"
    path.write_bytes(whole)
    assert folds.read(path)["fold"].tolist() == [0, 1, 0]
    path.write_bytes(mutated(data, whole))
    try:
        table = folds.read(path)
    except UserError as error:
        in_one_line(error)
    else:
        assert table["id"].is_unique
        assert table["id"].astype(bool).all()
        assert table["fold"].dtype == np.int64
        assert (table["fold"] >= 0).all()
        assert np.isfinite(table[["depth", "coverage"]].to_numpy(float)).all()


@quickly
@given(data=st.data())
def test_settings_files(tmp_path: Path, data: st.DataObject):
    known = (config.EXPERIMENTS / "kernel.toml").read_bytes()
    (tmp_path / "mine.toml").write_bytes(mutated(data, known))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment_files, "EXPERIMENTS", tmp_path)
        try:
            found = config.load("mine")
        except UserError as error:
            in_one_line(error)
        else:
            assert msgspec.convert(config.as_dict(found), config.Settings) == found


@quickly
@given(st.one_of(st.text(max_size=40), st.builds("train.{}={}".format, st.text(max_size=12), st.text(max_size=20))))
@example("train.epochs=1" + "0" * 5000)
@example("train.epochs=" + "[" * 5000)
@example("train=1")
@example("=")
def test_settings_of_the_command_line(assignment: str):
    try:
        found = config.load("unet", [assignment])
    except UserError as error:
        in_one_line(error)
    else:
        key = assignment.partition("=")[0].strip()
        assert {*config.diff(config.as_dict(config.load("unet")), config.as_dict(found))} <= {key}


@quickly
@given(data=st.data())
def test_archives(survey: Path, archive: bytes, tmp_path: Path, data: st.DataObject):
    path, out = tmp_path / "archive.zip", tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    path.write_bytes(mutated(data, archive))
    try:
        unpack(path, out)
    except UserError as error:
        in_one_line(error)
    else:
        # Checksums guard the content of each file, and a file that lost its name is missed.
        assert files(out) == files(survey)
    assert {each.name for each in tmp_path.iterdir()} <= {"archive.zip", "out"}


def files(folder: Path) -> dict[str, bytes]:
    """The files that every archive of the competition has, by their places."""
    wanted = [folder / name for name in RAW_FILES]
    wanted += [path for part in RAW_FOLDERS for path in (folder / part).glob("*.png")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in wanted}


@quickly
@given(data=st.data())
def test_images(data: st.DataObject):
    image = np.random.default_rng(0).integers(0, 255, (101, 101, 3), np.uint8)
    content = mutated(data, cv2.imencode(".png", image)[1].tobytes())
    for decode in (decode_image, decode_mask):
        array, error = decode(content)
        assert (array is None) == bool(error)
        assert array is None or (array.shape, array.dtype) == ((101, 101), np.uint8)


MANIFEST = Manifest(
    artifact="split",
    format=1,
    settings={"split": {"folds": 5, "by": "depth"}},
    inputs={"prepare": "0123456789abcdef"},
    outputs={"folds.csv": Output(1234, "a" * 64, files=2)},
    extras={"balance.txt": Output(77, "b" * 64, files=3)},
    fingerprint="fedcba9876543210",
    result={"tiles": 4000, "sizes": [800, 800]},
    made={"at": "2018-10-19T12:00:00+00:00", "seconds": 1.5, "pipeline": "0.1.0"},
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a valid manifest."""
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    write_manifest(path, MANIFEST)
    return path.read_bytes()


def read(content: bytes) -> Manifest | None:
    """What the pipeline reads from a manifest's bytes, without their checksum."""
    found = parse_manifest(content)
    return None if found is None else msgspec.structs.replace(found, checksum="")


@quickly
@given(data=st.data())
def test_manifests(manifest: bytes, data: st.DataObject):
    assert read(manifest) == MANIFEST
    # A change between the values, of a space for example, keeps the meaning.
    assert read(mutated(data, manifest)) in (None, MANIFEST)


def changes(value: Any) -> Iterator[Any]:
    """Plain data with one value changed or left out, in every way."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield {name: rest for name, rest in value.items() if name != key}
            yield from ({**value, key: other} for other in changes(each))
    elif isinstance(value, list):
        yield value[1:]
        yield from ([*value[:at], other, *value[at + 1 :]] for at, each in enumerate(value) for other in changes(each))
    else:
        yield f"{value}." if isinstance(value, str) else value + 1


def test_a_manifest_with_any_changed_value_is_rejected(manifest: bytes):
    plain = json.loads(manifest)
    assert read(json.dumps(plain).encode()) == MANIFEST
    changed = list(changes(plain))
    changed += [{**plain, part: {**plain[part], "more": "1"}} for part in ("settings", "inputs", "result", "made")]
    changed += [{**plain, part: {**plain[part], "more": {"bytes": 1, "sha256": ""}}} for part in ("outputs", "extras")]
    assert len(changed) > 40
    for each in changed:
        assert read(json.dumps(each).encode()) is None, each


# ---- Manifests that are whole ---------------------------------------------------------------------------------------

KAGGLE = {"ref": 7, "date": "", "message": "", "status": "complete", "public": 0.7, "private": None, "fault": ""}


def context(root: Path) -> Context:
    return Context(Layout(root, "demo", "demo", config.load("demo", ["split.folds=2"])), Freshness(), (0,))


def chain_of(about: Context) -> list[Artifact]:
    return [each for stage in ROAD for each in stage.artifacts(about)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder where each stage has left a manifest, and files that hold nothing."""
    root = tmp_path_factory.mktemp("done")
    for artifact in chain_of(context(root)):
        fill(artifact, **({"score": 0.7, "kaggle": KAGGLE} if artifact.stage == "submit" else {}))
    return root


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a layout of plain values something stands."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from places(each, (*path, key))


WORDS = st.one_of(st.text(max_size=8), st.sampled_from(["a\0b", "../x", "/etc/hostname", "a/b", "..", "x" * 300]))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=4,
)


def spoiled(data: st.DataObject, manifest: Manifest) -> bytes:
    """A manifest with one value or name replaced by another, or removed, and a checksum that is right."""
    plain = msgspec.to_builtins(manifest)
    path = data.draw(st.sampled_from([each for each in places(plain) if each and each != ("seal",)]))
    at = plain
    for key in path[:-1]:
        at = at[key]
    how = data.draw(st.sampled_from(["replace", "rename", "remove"]))
    if how == "replace" or isinstance(at, list):
        at[path[-1]] = data.draw(ANYTHING)
    else:
        value = at.pop(path[-1])
        if how == "rename":
            at[data.draw(WORDS)] = value
    plain["seal"] = ""
    plain["seal"] = hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]
    return msgspec.json.encode(plain)


@settings(quickly, deadline=None)  # the first example loads libraries
@given(data=st.data())
def test_manifests_with_a_right_checksum(done: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject):
    artifact = data.draw(st.sampled_from(chain_of(context(done))))
    path = artifact.manifest_path
    whole = path.read_bytes()
    manifest = read_manifest(path)
    assert manifest is not None
    path.write_bytes(spoiled(data, manifest))
    about = context(done)
    try:
        assert main(["status", "--verify", "--root", str(done), "--dataset", "demo", "--experiment", "demo"]) == 0
        # Not the page, whose figures take seconds; it holds what the tables hold.
        leaderboard.as_markdown([entry.row for entry in leaderboard_entries.read(done)])
        receipts.read(done / "submissions/demo")
        summary.trained(about)
        summary.submitted(about)
        fold_line(train.task(about.layout, 0), about.freshness)
        artifacts.finished(train.trained(about.layout, 0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(about.layout, "dataset", "mine")
            download.check(replace(about, archive=done))
    except UserError as error:
        in_one_line(error)
    finally:
        path.write_bytes(whole)
    capsys.readouterr()


def test_what_is_spoiled_has_a_right_checksum(done: Path):
    path = validate.artifact(context(done).layout, (0,)).manifest_path
    manifest = read_manifest(path)
    assert manifest is not None
    plain = msgspec.to_builtins(manifest)
    assert {("result", "cv", "interval", 1), ("made", "seconds"), ("outputs", "scores.csv", "sha256")} <= {
        *places(plain)
    }
    write_manifest(path, manifest)
    assert read_manifest(path) == manifest
    assert all(context(done).freshness.state(each).done for each in chain_of(context(done)))
