"""The installed package works without a checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

from pipeline import __version__, config
from pipeline.artifacts import Layout
from pipeline.config import added
from pipeline.stages import download, prepare
from tests.conftest import TINY, Chain

PROJECT = Path(__file__).parent.parent


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=240, **options)  # type: ignore[call-overload]
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built offline from a copy, since setuptools writes into the folder that it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages beside those of the tests."""
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps")
    run(*pip, "--quiet", "--no-compile", "--target", folder, wheel)
    return folder


def test_the_wheel_holds_every_module_and_every_experiment(wheel: Path):
    files = (path for kind in ("*.py", "*.toml", "*.html", "*.j2") for path in (PROJECT / "pipeline").rglob(kind))
    wanted = {path.relative_to(PROJECT).as_posix() for path in files}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == wanted
    assert {"pipeline/stages/submit.py", "pipeline/experiments/unet.toml"} <= names


def test_the_wheel_declares_its_dependencies_and_its_command(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    metadata = Parser().parsestr(texts["METADATA"])
    assert (metadata["Name"], metadata["Version"]) == (config.PROJECT, __version__)
    needed = metadata.get_all("Requires-Dist") or []
    assert any(each.startswith("keras") for each in needed)
    assert any(each.startswith("ray") and "cluster" in each.partition(";")[2] for each in needed)
    entries = configparser.ConfigParser()
    entries.read_string(texts["entry_points.txt"])
    assert dict(entries["console_scripts"]) == {config.SCRIPT: "pipeline.__main__:main"}


def test_the_installed_command_works_in_an_empty_folder(site: Path, tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": str(site), "PATH": f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    survey = ("--dataset", "demo", "--experiment", "demo", "--set", "survey.train=10 survey.test=2 split.folds=2")
    run(site / "bin" / config.SCRIPT, "split", *survey, cwd=tmp_path, env=environment)
    folder = tmp_path / "data/demo"
    assert (folder / "raw/train.csv").is_file()
    assert (folder / "tiles/train_masks.npy").is_file()
    assert list(folder.glob("folds/*/folds.csv"))
    assert not (site / "data").exists()
    # The same command in its other spelling finds what it made.
    ran = run(sys.executable, "-m", "pipeline", "split", *survey, cwd=tmp_path, env=environment)
    assert "split: up to date" in ran.stdout
    assert "unet" in run(site / "bin" / config.SCRIPT, "experiments", cwd=tmp_path, env=environment).stdout
    printed = run(site / "bin" / config.SCRIPT, "--help", cwd=tmp_path, env=environment).stdout
    assert printed.startswith(f"usage: {config.SCRIPT} ")


def test_the_next_command_of_an_installed_package_needs_no_make(site: Path, tmp_path: Path):
    code = (
        "from pathlib import Path\n"
        "from pipeline import artifacts, config\n"
        "from pipeline.stages import Context\n"
        "from pipeline.stages.command_line import command_line\n"
        "for root in (config.ROOT, Path('elsewhere')):\n"
        "    layout = artifacts.Layout(root, 'demo', 'demo', config.load('demo'))\n"
        "    print(command_line(Context(layout, artifacts.Freshness(), (0,)), 'predict submit'))"
    )
    environment = os.environ | {"PYTHONPATH": str(site), "PATH": f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    lines = run(sys.executable, "-c", code, cwd=tmp_path, env=environment).stdout.splitlines()
    command = f"{config.SCRIPT} submit --dataset demo"
    assert lines == [command, f"{command} --root elsewhere"]


def test_in_a_checkout_the_root_is_the_checkout(tmp_path: Path):
    code = "from pipeline import config; print(config.ROOT, config.CHECKOUT)"
    ran = run(sys.executable, "-c", code, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert ran.stdout.split() == [str(PROJECT.resolve())] * 2


def test_the_console_command_ends_in_one_line_from_the_first_moment_on():
    code = (
        "import os, signal, sys, types; import pipeline.__main__ as program\n"
        "class Slow(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.modules['pipeline.cli.main'] = Slow('pipeline.cli.main')\n"
        "program.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 130
    assert ran.stderr == "error: interrupted; run the same command again to continue\n"


def package_with_tile(folder: Path, size: int) -> dict[str, str]:
    """Copy the package with another ``TILE`` into a folder; returns the environment of a command that runs it."""
    shutil.copytree(PROJECT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    base = folder / "pipeline/config/schema/base.py"
    text = base.read_text(encoding="utf-8")
    assert text.count("TILE = 101\n") == 1
    base.write_text(text.replace("TILE = 101\n", f"TILE = {size}\n"), encoding="utf-8")
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("size", [96, 128])
def test_another_tile_size_is_one_constant(tmp_path: Path, size: int):
    # docs/own-data.md says so.
    environment = package_with_tile(tmp_path, size)
    command = (sys.executable, "-m", "pipeline", "submit", "--dataset", "demo", "--root", tmp_path)
    run(*command, "--set", f"{TINY} input.size={size}", cwd=tmp_path, env=environment)
    images = np.load(tmp_path / "data/demo/tiles/test_images.npy", mmap_mode="r")
    assert images.shape[1:] == (size, size)
    assert (tmp_path / "submissions/demo/demo.csv").is_file()
    assert (tmp_path / "data/demo/experiments/demo/report.html").is_file()


def test_tiles_of_another_size_are_stale_and_made_again(chain: Chain):
    other = chain.root / "other"
    environment = package_with_tile(other, 64)
    place = ("--dataset", "demo", "--root", chain.root, "--set", f"{TINY} input.size=64")

    def with_64(command: str) -> str:
        return run(sys.executable, "-m", "pipeline", command, *place, cwd=other, env=environment).stdout

    def states(printed: str) -> list[str]:
        return [" ".join(line.split()) for line in printed.splitlines() if line.split()[0] in ("download", "prepare")]

    assert chain("prepare") == 0
    for name in ("raw", "tiles"):  # as before the size was stored
        assert "TILE" not in (chain.root / "data/demo" / name / "manifest.json").read_text()
    assert states(with_64("status")) == ["download stale: TILE was 101, now 64", "prepare stale: TILE was 101, now 64"]
    with_64("prepare")
    images = np.load(chain.root / "data/demo/tiles/train_images.npy", mmap_mode="r")
    assert images.shape[1:] == (64, 64)
    assert states(with_64("status")) == ["download done", "prepare done"]
    assert chain("status") == 0
    assert states(chain.printed) == ["download stale: TILE was 64, now 101", "prepare stale: TILE was 64, now 101"]


def test_decoded_tiles_of_an_archive_are_of_one_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    layout = Layout(tmp_path, "tgs", "unet", config.load("unet"))
    assert (download.artifact(layout).settings, prepare.artifact(layout).settings) == ({}, {})
    monkeypatch.setattr(added, "TILE", 64)
    assert (download.artifact(layout).settings, prepare.artifact(layout).settings) == ({}, {"TILE": 64})
