"""Where an experiment stands: the end of ``status``, and the list of the experiments."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import artifacts
from pipeline.cli import main as command_line
from pipeline.cli.overview import experiments, standing
from pipeline.road.request import request_folds
from pipeline.stages import ROAD, Context, download, prepare, submit, train, validate
from tests.hollow import fill
from tests.road.conftest import finish

Contexts = Callable[..., Context]
SCORE = "  CV (cross-fitted)   0.7000  95 % interval over tiles 0.600 to 0.800"


def fresh(context: Context) -> Context:
    context.freshness.forget()
    return context


def make(context: Context, last: str) -> Context:
    """The context with the artifacts of the stages as far as one."""
    for stage in ROAD[: [each.name for each in ROAD].index(last) + 1]:
        for artifact in stage.artifacts(context):
            fill(artifact)
    return fresh(context)


def command(lines: list[str]) -> str:
    """The next command, as far as it does not depend on where Python is."""
    assert lines[-1].startswith("  next ")
    return lines[-1].split("-m pipeline ")[-1].split(" --root")[0]


def test_before_anything_is_done_the_next_command_is_the_whole_road(context: Contexts):
    assert [command(standing(context()))] == ["submit --dataset demo"]
    assert len(standing(context())) == 1


def test_what_is_done_has_its_score_and_its_page(context: Contexts):
    finish(context())
    lines = standing(context())
    assert lines[0] == SCORE
    assert lines[-1].startswith("  next                open ")
    assert lines[-1].endswith("report.html")


def test_a_stale_score_says_so(context: Contexts):
    finish(context())
    lines = standing(context("demo", "submit.min_area=3"))
    assert lines[0] == f"{SCORE} (stale)"
    assert command(lines) == "submit --dataset demo"


def test_the_next_command_in_a_checkout_is_one_of_make(context: Contexts, monkeypatch: pytest.MonkeyPatch):
    demo = context()
    monkeypatch.setattr("pipeline.stages.command_line.CHECKOUT", demo.layout.root.resolve())

    def following(current: Context) -> str:
        return standing(fresh(current))[-1].split(maxsplit=1)[1]

    assert following(demo) == "make download train predict submit DATASET=demo"
    make(demo, "split")
    assert following(demo) == "make train predict submit DATASET=demo"
    # A command that was killed was about fold 0 alone.
    request_folds(demo.layout, [0])
    assert following(demo) == "make train predict submit DATASET=demo FOLDS=0"
    make(replace(demo, folds=(0,)), "train")
    assert following(demo) == "make predict submit DATASET=demo"
    make(replace(demo, folds=(0,)), "submit")
    assert following(demo).startswith("open ")
    assert following(replace(demo, folds=(1,))) == "make train predict submit DATASET=demo FOLDS=1"


def test_a_csv_of_the_competition_that_was_not_uploaded_is_next(context: Contexts, monkeypatch: pytest.MonkeyPatch):
    demo = context()
    finish(demo)
    monkeypatch.setattr("pipeline.stages.command_line.CHECKOUT", demo.layout.root.resolve())
    monkeypatch.setattr("pipeline.cli.overview.dataset", lambda name: type("Kaggle", (), {"may_be_uploaded": True}))
    assert standing(fresh(demo))[-1].split(maxsplit=1)[1] == "make submit DATASET=demo"
    manifest = demo.freshness.manifest(submit.artifact(demo.layout, (0, 1)))
    assert manifest is not None
    manifest.result["kaggle"] = {"ref": 1}
    assert standing(demo)[-1].split()[1] == "open"


def test_status_ends_with_the_score_and_the_next_command(context: Contexts, capsys: pytest.CaptureFixture[str]):
    demo = context()
    finish(demo)
    arguments = ["--root", str(demo.layout.root), "--dataset", "demo", "--set", "split.folds=2"]
    assert command_line.main(["status", *arguments]) == 0
    *_, score, following = capsys.readouterr().out.splitlines()
    assert score == SCORE
    assert following.startswith("  next ")


def test_the_list_has_the_default_first_and_what_is_trained(context: Contexts):
    demo = context()  # with two folds, where its file has three
    finish(demo)
    head, first, *rest = (line.split() for line in experiments(demo.layout.root, "demo", ["article", "unet", "demo"]))
    assert head[:5] == ["experiment", "CV", "minutes", "folds", "trained"]
    assert first[:7] == ["demo", "0.7000", "1.5", "2", "of", "3,", "stale"]
    assert [line[:4] for line in rest] == [["article", "-", "-", "-"], ["unet", "-", "-", "-"]]
    assert experiments(demo.layout.root, "tgs", ["article", "unet", "demo"])[1].startswith("unet ")


def test_an_experiment_without_a_score_shows_its_folds(context: Contexts):
    demo = context()
    finish(demo)
    validate.artifact(demo.layout, (0, 1)).manifest_path.unlink()
    train.trained(demo.layout, 1).manifest_path.unlink()
    (_, line) = experiments(demo.layout.root, "demo", ["demo"])
    assert line.split()[:4] == ["demo", "-", "-", "1"]


def test_a_file_that_is_not_valid_is_listed(context: Contexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("pipeline.config.experiment_files.EXPERIMENTS", tmp_path)
    (tmp_path / "mine.toml").write_text("# Mine.\n[train]\nepoch = 3\n")
    assert experiments(tmp_path, "tgs", ["mine"])[1].split() == ["mine", "-", "-", "-", "Mine."]


def test_the_list_loads_no_framework(tmp_path: Path):
    code = "import sys; from pipeline.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    arguments = ["experiments", "--all", "--root", str(tmp_path)]
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert not {*ran.stderr.split()} & {"numpy", "pandas", "keras", "tensorflow", "matplotlib"}


def test_status_after_one_fold_is_that_of_the_fold_and_names_the_others(
    context: Contexts, capsys: pytest.CaptureFixture[str]
):
    one = replace(context(), folds=(0,))
    request_folds(one.layout, [0])
    make(one, "submit")
    place = ["--root", str(one.layout.root), "--dataset", "demo", "--set", "split.folds=2"]
    assert command_line.main(["status", *place]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert not [line for line in printed if "stale" in line or "missing" in line]
    assert not [line for line in printed if "fold 1 " in line and "asked" not in line]
    (others,) = (line for line in printed if "not asked for" in line)
    assert others.startswith("  fold 1              not asked for yet: ")
    assert command([f"  next {others}"]) == "submit --dataset demo --set split.folds=2"
    # A fold that was asked for earlier is not called new.
    request_folds(one.layout, [0, 1])
    assert command_line.main(["status", "--folds", "0", *place]) == 0
    assert "not asked for" not in capsys.readouterr().out
    request_folds(one.layout, [0])
    # Folds that are named are shown, whatever was asked for.
    assert command_line.main(["status", "--folds", "1", *place]) == 0
    assert "  train fold 1     missing\n" in capsys.readouterr().out


def test_where_finished_folds_are_stale_both_ways_on_are_named(context: Contexts, capsys: pytest.CaptureFixture[str]):
    demo = context()
    finish(demo)
    place = ["--root", str(demo.layout.root), "--dataset", "demo", "--set", "split.folds=2 train.epochs=99"]
    assert command_line.main(["status", *place]) == 0
    keep, following = capsys.readouterr().out.splitlines()[-2:]
    assert f"(train.epochs={demo.layout.settings.train.epochs} in SET)" in keep
    assert following.endswith("--retrain (replaces folds 0, 1)")
    # With other tiles, too, the former settings of the training alone lead nowhere.
    tiles = prepare.artifact(demo.layout)
    (tiles.folder / tiles.outputs[0]).write_bytes(b"other content")
    with artifacts.updating(tiles):
        artifacts.commit(tiles, {"train": 41, "test": 12}, 0.0)
    assert command_line.main(["status", *place]) == 0
    keep, following = capsys.readouterr().out.splitlines()[-2:]
    assert "the same SET and tiles as before" in keep


@pytest.mark.parametrize("lost", [download, prepare])
def test_where_only_tiles_are_made_again_nothing_is_replaced(
    context: Contexts, capsys: pytest.CaptureFixture[str], lost: ModuleType
):
    demo = context()
    finish(demo)
    lost.artifact(demo.layout).manifest_path.write_text("[]")
    place = ["--root", str(demo.layout.root), "--dataset", "demo", "--set"]
    assert command_line.main(["status", *place, "split.folds=2"]) == 0
    printed = capsys.readouterr().out
    assert "train fold 0     stale: " in printed
    assert "to keep them" not in printed
    assert command(printed.splitlines()) == "submit --dataset demo --set split.folds=2"
    # A fold of other settings would be trained again, whatever the tiles are.
    assert command_line.main(["status", *place, "split.folds=2 train.epochs=99"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("--retrain (replaces folds 0, 1)")


def test_tiles_of_ones_own_need_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["status", "--root", str(tmp_path), "--dataset", "mine"]) == 0
    assert re.search(r"(--archive |ARCHIVE=)tiles\.zip$", capsys.readouterr().out.splitlines()[-1])
