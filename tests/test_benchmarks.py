"""The benchmarks count and compare correctly, and their results are recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import archive, frameworks, machine, made_up, peers, quick_network, roofline, runtimes
from benchmarks.flops import forward_flops, layer_bytes
from benchmarks.networks import TINY, plain
from benchmarks.rows import Row, versus
from pipeline.config import load
from pipeline.network.losses import make_loss
from pipeline.prediction.build import make_network
from pipeline.prediction.predictor import Predictor
from pipeline.scoring import thresholding

UNET = load("unet", TINY)


def test_operations_are_those_counted_by_hand():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)  # 8 x 8 pixels, 3 x 3 x 3 inputs each, 4 channels
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)  # 4 x 4 pixels, 3 x 3 inputs, 4 channels
    x = keras.layers.Conv2DTranspose(5, 2, strides=2)(x)  # each of 4 x 4 pixels to 2 x 2, 4 inputs, 5 channels
    x = keras.layers.SeparableConv2D(6, 3, padding="same")(x)  # 8 x 8 pixels, 3 x 3 of each of 5 channels, then 5 to 6
    x = keras.layers.GlobalAveragePooling2D()(x)
    inner = keras.Model(image, keras.layers.Dense(7)(x))
    by_hand = 2 * (64 * 27 * 4 + 16 * 9 * 4 + 16 * 4 * 4 * 5 + 64 * (9 * 5 + 5 * 6) + 6 * 7)
    assert forward_flops(inner) == by_hand
    again = keras.Input((8, 8, 3))
    assert forward_flops(keras.Model(again, inner(again))) == by_hand


def test_made_up_tiles_are_those_of_a_survey():
    masks = made_up.masks(200)
    salt = masks.any((1, 2))
    assert 0.5 < salt.mean() < 0.7
    assert 0.1 < masks.mean() < 0.5
    images = made_up.images(masks)
    assert images[masks == 1].mean() > 1.5 * images[masks == 0].mean()


def test_the_usual_loop_finds_the_score_that_ours_finds():
    truth = made_up.masks(12)
    found = made_up.images(truth)
    thresholds, areas = np.array([0.3, 0.5, 0.7]), [0, 40]
    best = thresholding.table(thresholding.count(found, truth), list(thresholds), areas).max()
    assert peers.usual_search(found, truth, thresholds, areas) == pytest.approx(best)


def test_the_competitions_encoding_and_that_of_coco_give_the_same_masks():
    coco = peers.pycocotools()
    if coco is None:
        pytest.skip("pycocotools is not installed (make bench installs it)")
    from pipeline.data import rle

    masks = made_up.masks(9)
    theirs = coco.decode(coco.encode(np.asfortranarray(masks.transpose(1, 2, 0)))).transpose(2, 0, 1)
    np.testing.assert_array_equal(theirs, rle.decode(rle.encode(masks), 101, 101))


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="what it measures runs on JAX (make test-backends)")
def test_what_measures_a_gpu_runs_where_there_is_none(monkeypatch: pytest.MonkeyPatch):
    from benchmarks import gpu

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    found = {row.what: row.value for row in gpu.measure(quick=True)}
    assert len(found) == 3 * len(gpu.BATCHES) + 2
    assert any("tiles/s" in value for value in found.values())


def test_two_functions_are_timed_in_turn():
    turns: list[str] = []
    versus([lambda: turns.append("a"), lambda: turns.append("b")], runs=2)
    assert turns == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.parametrize("speedup", [2.5, 1.5])
def test_the_quick_experiment_is_compared_with_the_default(monkeypatch: pytest.MonkeyPatch, speedup: float):
    calls: list[tuple[int, int]] = []

    def pace(settings: Any, processes: int, cores: int, quick: bool) -> float:
        calls.append((processes, cores))
        return 10.0 if settings.train.pretrain == "none" else 10.0 * speedup

    monkeypatch.setattr(quick_network, "train_at_once", pace)
    monkeypatch.setattr(quick_network.machine, "cores", lambda: 4)
    rows = quick_network.measure(quick=True)
    assert calls == [(1, 4), (1, 4), (4, 1), (4, 1)]
    assert [(row.value, row.reached) for row in rows] == [(f"{speedup:.2f} x", speedup > 2)] * 2
    assert rows[0].note.startswith(f"{10 * speedup} against 10.0 tiles/s")


def test_what_was_measured_is_kept_until_the_same_subject_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: True)

    def table(title: str, value: str, reached: bool) -> dict:
        row = {"what": "pace", "value": value, "goal": "2 x", "reached": reached, "note": "so"}
        return {"title": title, "rows": [row]}

    assert Row("pace", "3 x").reached is None
    command.write({"metric": table("Metric", "1 x", False), "training": table("Training", "3 x", True)}, tmp_path)
    command.write({"metric": table("Metric", "4 x", True)}, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| pace (so) | 4 x | 2 x | reached |" in page
    assert "1 x" not in page
    assert "| pace (so) | 3 x |" in page
    assert "Not measured yet; the command is `make bench-gpu`" in page
    assert set(json.loads((tmp_path / "results/cpu.json").read_text())["tables"]) == {"metric", "training"}
    command.write({"metric": table("Metric", "9 x", False)}, tmp_path)
    assert "| 9 x | 2 x | **missed** |" in (tmp_path / "RESULTS.md").read_text()


def test_rows_are_kept_beside_those_of_the_same_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: True)
    now = {"processor": "a, 2 cores", "packages": "keras 3.15, torch 2.13", "measured": "2026-11-26"}
    monkeypatch.setattr(command, "described", lambda: dict(now))

    def write(subject: str, **changes: str) -> tuple[dict[str, str], dict[str, str]]:
        now.update(changes)
        row = {"what": "pace", "value": "5 x", "goal": "", "reached": None, "note": ""}
        command.write({subject: {"title": subject, "rows": [row]}}, tmp_path)
        kept = json.loads((tmp_path / "results/cpu.json").read_text())
        return kept["machine"], {name: table["measured"] for name, table in kept["tables"].items()}

    write("roofline")
    # Another day, without torch and with another package: the same machine.
    found, dates = write("metric", packages="jax 0.10, keras 3.15", measured="2026-11-30")
    assert dates == {"roofline": "2026-11-26", "metric": "2026-11-30"}
    assert found["measured"] == "2026-11-26 to 2026-11-30"
    assert found["packages"] == "keras 3.15, torch 2.13, jax 0.10"
    found, dates = write("metric", packages="keras 3.15", measured="2026-12-01")
    assert (found["measured"], set(dates)) == ("2026-11-26 to 2026-12-01", {"roofline", "metric"})
    found, dates = write("predict", packages="keras 3.16", measured="2026-12-02")
    assert (found["packages"], dates) == ("keras 3.16", {"predict": "2026-12-02"})
    assert set(write("metric", processor="b, 2 cores")[1]) == {"metric"}


def test_processors_with_and_without_bfloat16_units_have_tables_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for units, value in ((True, "5 x"), (False, "6 x")):
        monkeypatch.setattr(machine, "has_bfloat16_units", lambda: units)  # noqa: B023
        row = {"what": "pace", "value": value, "goal": "", "reached": None, "note": ""}
        command.write({"roofline": {"title": "Roofline", "rows": [row]}}, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    with_units, without = page.split("## CPU without bfloat16 units")
    assert "| 5 x |" in with_units
    assert "(roofline.png)" in with_units
    assert "| 6 x |" in without
    assert "(roofline-float32.png)" in without


def test_the_page_is_what_was_measured():
    assert (command.HERE / "RESULTS.md").read_text(encoding="utf-8") == command.rendered(), (
        "settings of a measured experiment changed, or the rows did: python -m benchmarks --render"
    )


def test_a_measurement_of_former_settings_is_marked(tmp_path: Path):
    today = command.measured_settings("unet")
    row = {"what": "pace", "value": "4 x", "goal": "", "reached": None, "note": ""}
    table = {"title": "Prediction", "rows": [row], "settings": {"unet": today}}
    command.write({"predict": table}, tmp_path)
    assert "former" not in (tmp_path / "RESULTS.md").read_text()
    command.write({"predict": table | {"settings": {"unet": today, "kernel": today}}}, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    # A setting that came later, and is off, changes nothing.
    del today["train"]["pseudo_share"]
    assert command._former({"unet": today}) == []
    assert "Rows of `kernel`: with earlier settings; `python -m benchmarks predict` measures today's." in page


def test_what_does_not_change_the_pace_is_no_former_setting(monkeypatch: pytest.MonkeyPatch):
    from pipeline import config

    today = command.measured_settings("unet")
    for change, same in (("submit.min_area=9", True), ("network.width=9", False)):
        other = config.load("unet", [change])
        monkeypatch.setattr(config, "load", lambda _, other=other: other)
        assert (command.measured_settings("unet") == today) is same
        monkeypatch.undo()


def _torch_networks() -> ModuleType:
    pytest.importorskip("torch")
    from benchmarks import torch_networks

    return torch_networks


@pytest.mark.parametrize("name", ["kernel", "unet"])
def test_the_networks_in_pytorch_have_the_shapes_and_parameters_of_ours(name: str):
    networks = _torch_networks()
    import torch

    settings = load(name, ["network.width=4", "network.levels=2", "train.precision=float32"])
    ours, transform = make_network(settings)
    theirs = {"kernel": networks.KernelUNet, "unet": networks.DefaultUNet}[name](settings.network)
    assert sorted(math.prod(each.shape) for each in ours.trainable_weights) == sorted(
        each.numel() for each in theirs.parameters()
    )
    found = theirs(torch.zeros(1, 1, transform.size, transform.size)).permute(0, 2, 3, 1)
    assert tuple(found.shape[1:]) == ours.output_shape[1:]


def test_the_loss_in_pytorch_is_that_of_the_default():
    networks = _torch_networks()
    import torch

    settings = load("unet")
    draw = np.random.default_rng(0)
    outputs, truth = draw.normal(size=(3, 16, 16, 5)).astype(np.float32), draw.random((3, 16, 16, 1)) > 0.6
    outputs[..., 1] = draw.normal(size=(3, 1, 1))
    truth[0] = False
    ours = make_loss(settings.train.late_loss or settings.train.loss, settings.network)(
        truth.astype(np.float32), outputs
    )
    theirs = networks.default_loss(settings.network)(
        *(torch.from_numpy(each.transpose(0, 3, 1, 2).astype(np.float32)) for each in (outputs, truth))
    )
    assert float(theirs) == pytest.approx(float(ours), rel=1e-5)


def test_bytes_of_a_layer_are_those_counted_by_hand():
    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 3, padding="same", dtype="float32")
    both = keras.layers.Add(dtype="bfloat16")
    outputs = layer(image)
    both([outputs, outputs])
    assert layer_bytes(layer, batch=2) == 4 * (2 * 64 * (3 + 4) + 3 * 3 * 3 * 4 + 4)
    assert layer_bytes(both, batch=2) == 2 * (2 * 64 * 3 * 4)


@pytest.mark.slow
def test_each_layer_with_operations_is_a_point_below_the_roof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[roofline.Network] = []
    draw = roofline.draw

    def recorded(networks: dict[str, roofline.Network], *rest: Any) -> None:
        drawn.extend(networks.values())
        draw(networks, *rest)

    monkeypatch.setattr(roofline, "EXPERIMENTS", ("kernel",))
    monkeypatch.setattr(roofline, "draw", recorded)
    rows = roofline.measure(quick=True, plot=tmp_path / "roofline.png")
    assert [row.what.split(":")[0] for row in rows if "FLOP/byte" in row.note] == ["`kernel`"]
    assert len(drawn[0].layers) == 2 * 2 + 2 + 2 * 3 + 1  # down, bottom, up with a transposed convolution, logits
    assert all(point.intensity > 0 and point.pace > 0 for point in drawn[0].layers)
    # Work is the same counted by layer and for the network, for which the time of the layers is not all.
    work = sum(point.pace * point.seconds for point in drawn[0].layers)
    assert work == pytest.approx(drawn[0].whole.pace * drawn[0].whole.seconds)
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_a_roof_is_the_peak_or_what_memory_allows():
    half = roofline.Point(intensity=2.0, pace=1e9, seconds=1.0)
    row = roofline._row("kernel", roofline.Network(half, [half]), peak=1e11, memory=1e9, kind="float32")
    assert row.value == "1 GFLOP/s, 50% of its roof"
    assert row.note.endswith("those limited by memory 100%")


@pytest.mark.slow
def test_runtimes_predict_what_keras_predicts(tmp_path: Path):
    settings = load("unet", [*TINY, "train.precision=float32"])
    model, transform = make_network(settings)
    images = made_up.images(made_up.masks(3))
    ours = Predictor(model, transform)(images, np.empty(images.shape, np.uint8), ("plain", "flip"))
    margin = transform.around_output
    for infer in (plain(model).predict, *_exported(model, tmp_path / "network.onnx")):
        theirs = runtimes.probabilities(infer, images, margin, batch=2)
        assert np.abs(theirs.astype(int) - ours).max() <= 1


def _exported(model: keras.Model, path: Path) -> list[runtimes.Infer]:
    try:
        runtimes.export(plain(model), path)
        return [runtimes.openvino(path), runtimes.onnx_runtime(path)]
    except ImportError:
        return []  # make bench installs them


def test_the_goal_counts_against_the_fastest_of_the_others(monkeypatch: pytest.MonkeyPatch):
    def torch_step(*_: object, compiled: bool) -> Callable[[], object]:
        if compiled:
            raise RuntimeError("no\nC++ compiler")
        return lambda: None

    monkeypatch.setattr(frameworks, "_torch_step", torch_step)
    monkeypatch.setattr(frameworks, "_plain_keras", lambda *_: lambda: None)
    for seconds, value, reached in (([1.0, 3.0, 2.0], "2.00 x", True), ([1.0, 3.0, 1.2], "1.20 x", False)):
        monkeypatch.setattr(frameworks, "versus", lambda works, turns, seconds=seconds: seconds)
        rows = {
            row.what.removeprefix("`unet`: our pace against "): row for row in frameworks.compare("unet", UNET, True)
        }
        fastest = rows["the fastest of these"]
        assert (fastest.value, fastest.goal, fastest.reached) == (value, "1.3 x or more", reached)
        assert fastest.note.startswith("PyTorch; ")
        compiled = rows["PyTorch with torch.compile"]
        assert (compiled.value, compiled.note) == ("not measured", "no C++ compiler")


def test_a_missing_framework_is_a_row_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frameworks, "find_spec", lambda _: None)
    monkeypatch.setattr(frameworks, "_plain_keras", lambda *_: lambda: None)
    monkeypatch.setattr(frameworks, "versus", lambda works, turns: [1.0] * len(works))
    notes = {row.note for row in frameworks.compare("unet", UNET, True) if row.value == "not measured"}
    assert notes == {frameworks.NO_TORCH}


@pytest.mark.slow
def test_every_stage_of_an_archive_is_measured(finished: Path):
    rows = {row.what: row.value for row in archive.measure(finished / "data/demo/raw")}
    assert [what.split(":")[0] for what in rows] == [*archive.STAGES, "on disk at the end"]
    assert "submit: 12 rows, checked" in rows
    assert all(" core-seconds; own peak memory " in value for value in list(rows.values())[:-1])
