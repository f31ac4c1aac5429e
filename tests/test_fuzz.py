"""Whatever bytes come in: an answer or one clear line, never a traceback and never a hang.

``FUZZ_EXAMPLES`` sets how many inputs each reader gets (make test-faults gives more).
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import config
from pipeline.artifacts import read_manifest
from pipeline.config import SurveySettings, UserError
from pipeline.data import folds, rle, tiles
from pipeline.data.sources.archive import unpack
from pipeline.data.sources.synthetic import write_survey
from pipeline.system.progress import Progress

pytestmark = pytest.mark.fuzz

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
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
        tiles.decode(raw, out)
    except UserError as error:
        in_one_line(error)


@quickly
@given(data=st.data())
def test_tables_of_folds(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "folds.csv"
    path.write_bytes(mutated(data, b"id,fold,depth,coverage\na,0,100,0.5\nb,1,200,0.0\nc,0,300,1.0\n"))
    try:
        folds.read(path)
    except UserError as error:
        in_one_line(error)


@quickly
@given(data=st.data())
def test_settings_files(tmp_path: Path, data: st.DataObject):
    known = (config.EXPERIMENTS / "kernel.toml").read_bytes()
    (tmp_path / "mine.toml").write_bytes(mutated(data, known))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "EXPERIMENTS", tmp_path)
        try:
            config.load("mine")
        except UserError as error:
            in_one_line(error)


@quickly
@given(st.one_of(st.text(max_size=40), st.builds("train.{}={}".format, st.text(max_size=12), st.text(max_size=20))))
@example("train.epochs=1" + "0" * 5000)
@example("train.epochs=" + "[" * 5000)
@example("train=1")
@example("=")
def test_settings_of_the_command_line(assignment: str):
    try:
        config.load("unet", [assignment])
    except UserError as error:
        in_one_line(error)


@quickly
@given(data=st.data())
def test_archives(archive: bytes, tmp_path: Path, data: st.DataObject):
    path, out = tmp_path / "archive.zip", tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    path.write_bytes(mutated(data, archive))
    try:
        unpack(path, out)
    except UserError as error:
        in_one_line(error)
    assert {each.name for each in tmp_path.iterdir()} <= {"archive.zip", "out"}


@quickly
@given(data=st.data())
def test_images(data: st.DataObject):
    image = np.random.default_rng(0).integers(0, 255, (101, 101, 3), np.uint8)
    content = mutated(data, cv2.imencode(".png", image)[1].tobytes())
    for decode in (tiles.decode_image, tiles.decode_mask):
        array, error = decode(content)
        assert (array is None) == bool(error)


@quickly
@given(data=st.data())
def test_manifests(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "manifest.json"
    text = b'{"artifact":"split","format":1,"settings":{},"inputs":{},"outputs":{},"extras":{},"fingerprint":"x"}'
    path.write_bytes(mutated(data, text))
    assert read_manifest(path) is None
