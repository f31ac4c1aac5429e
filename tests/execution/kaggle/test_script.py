"""What a kernel gets: the package as a wheel, the settings, and where its dependencies come from."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import msgspec
import pytest

from pipeline.config import PROJECT, KaggleSettings, Settings, UserError, all_experiment_names, load, to_toml
from pipeline.execution.kaggle import dependencies, wheel
from pipeline.execution.kaggle.names import Kernel, parse
from tests.execution.kaggle.helpers import Home
from tests.kaggle_kernels import Kernels
from tests.kaggle_server import Kaggle

CHECKOUT = Path(__file__).parents[3]
OFFLINE = KaggleSettings(internet=False)


def test_the_wheel_is_the_package_as_it_is_here():
    content = wheel.make_wheel()
    assert content == wheel.make_wheel()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    kinds = ("*.py", "*.toml", "*.html", "*.j2")
    paths = [path for kind in kinds for path in (CHECKOUT / "pipeline").rglob(kind)]
    info = wheel.wheel_name().removesuffix("-py3-none-any.whl") + ".dist-info"
    assert {name for name in files if not name.startswith(info)} == {
        path.relative_to(CHECKOUT).as_posix() for path in paths
    }
    for path in paths:
        assert files[path.relative_to(CHECKOUT).as_posix()] == path.read_bytes()
    for name, digest, size in csv.reader(files[f"{info}/RECORD"].decode().splitlines()):
        if digest:
            found = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={found}", str(len(files[name])))
    metadata = Parser().parsestr(files[f"{info}/METADATA"].decode())
    wanted = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert metadata["Name"] == PROJECT
    assert metadata.get_all("Requires-Dist") == wanted


def test_an_installed_package_knows_its_requirements_without_a_checkout(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wheel, "CHECKOUT", None)
    declared = ["numpy>=2.1", 'ray<2.61,>=2.50; extra == "cluster"']
    monkeypatch.setattr(importlib.metadata, "requires", {PROJECT: declared}.get)
    assert wheel.requirements() == ["numpy>=2.1"]


def test_the_settings_of_every_experiment_survive_as_toml():
    for name in all_experiment_names():
        settings = load(name, ['train.loss="bce"'])
        assert msgspec.convert(tomllib.loads(to_toml(settings)), Settings) == settings


@pytest.mark.parametrize("folds", [(0,), (1, 3), tuple(range(10))])
def test_a_kernel_is_known_by_its_name(folds: tuple[int, ...]):
    kernel = Kernel("somebody", "salt-ladder-09-au-0123456789", folds, 12)
    assert parse(kernel.ref, kernel.prefix) == kernel
    assert len(kernel.slug) <= 50
    assert parse(f"somebody/{kernel.slug}x", kernel.prefix) is None
    assert parse(kernel.ref, "salt-other-0123456789") is None


def test_a_kernel_without_internet_gets_a_dataset_of_wheels_that_is_made_once(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    wanted: list[str] = []

    def download(names: list[str], folder: Path) -> None:
        wanted.extend(names)
        for name in ("albumentations-2.0.8-py3-none-any.whl", "keras-3.15.1-py3-none-any.whl"):
            (folder / name).write_bytes(b"a wheel")

    monkeypatch.setattr(dependencies, "download_wheels", download)
    home.train(0, place=OFFLINE)
    home.train(1, place=OFFLINE)
    (created,) = kernels.created
    assert created["isPrivate"]
    assert len(created["files"]) == 2
    assert any(name.startswith("albumentations") for name in wanted)
    assert not any(name.startswith(("tensorflow", "kaggle")) for name in wanted)
    for run in kernels.pushed:
        assert not run.asked["enableInternet"]
        assert run.asked["datasetDataSources"] == [f"somebody/{created['slug']}"]
        assert run.job["wheels"] == created["slug"]


def test_a_dataset_that_kaggle_could_not_make_is_one_line(home: Home, kernels: Kernels, kaggle: Kaggle):
    kaggle.services["GetDatasetStatus"] = lambda body: {"status": "FAILED"}
    assert "Kaggle could not make it" in home.refused(place=OFFLINE)
    assert not kernels.pushed


def test_wheels_that_cannot_be_downloaded_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"cannot be downloaded \(No matching distribution .*leave NO_INTERNET out"):
        dependencies.download_wheels(["no-such-package-0"], tmp_path)


def test_pretrained_weights_need_internet(tmp_path: Path, capsys: pytest.CaptureFixture[str], kernels: Kernels):
    home = Home(tmp_path / "other", capsys, ("network.encoder=EfficientNetV2B0", "network.weights=imagenet"))
    assert "needs internet" in home.prepare().refused(place=OFFLINE)
    assert not kernels.created
