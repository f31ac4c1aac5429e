"""Nothing is lost: killed, damaged, on a full disk, twice at once, the same command always recovers.

The long ones carry the marker ``faults`` (make test-faults); what takes seconds is part of the default suite.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import rle
from pipeline.execution.backend import load_fold_module
from pipeline.execution.task import PredictTask
from tests.conftest import TINY, Chain, command, common, flip_a_bit

KILLS = int(os.environ.get("FAULTS_KILLS", "52"))
INTERRUPTS = 6
"""Of each of two signals."""
PARTS = 4
"""Groups that the kills are divided into, for processes that run side by side."""


def content(root: Path) -> dict[str, str]:
    """Hash of every output by its path, as recorded in the manifests; times and receipts' extras are left out."""
    found = {}
    for path in [*root.glob("data/**/*.json"), *root.glob("submissions/demo/*.json")]:
        with contextlib.suppress(ValueError):
            manifest = json.loads(path.read_text())
            if isinstance(manifest, dict) and "outputs" in manifest and manifest["artifact"] != "report":
                for name, output in manifest["outputs"].items():
                    found[str((path.parent / name).relative_to(root))] = output["sha256"]
    return found


def leftovers(root: Path) -> list[str]:
    """Temporary files that a killed run must not leave permanently."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if ".writing-" in path.name or path.name.startswith("backup") or path.suffix in (".making", ".old", ".parts")
    ]


def begin(root: Path, *arguments: str, settings: str = TINY, start_new_session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments, *common(root, settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
        preexec_fn=_hears_interrupts,
    )


def _hears_interrupts() -> None:
    # A suite that a shell runs in the background ignores SIGINT, and its children would too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def one_line(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, ran.stderr
    return lines[0]


# ---- Killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_random_moments_it_ends_as_an_uninterrupted_run(finished: Path, tmp_path: Path, part: int):
    wanted, draw, kills, rounds = content(finished), random.Random(part), 0, 0
    while kills < KILLS // PARTS:
        root = tmp_path / f"round{rounds}"
        rounds += 1
        done: dict[str, int] = {}
        while True:
            running = begin(root, "submit")
            try:
                running.communicate(timeout=draw.uniform(0.2, 8) if kills < KILLS // PARTS else None)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                running.communicate()
                kills += 1
            manifests = {str(path): path.stat().st_mtime_ns for path in root.glob("data/**/train.json")}
            manifests |= {str(path): path.stat().st_mtime_ns for path in root.glob("data/*/*/manifest.json")}
            assert done.items() <= manifests.items(), "what had finished was made again"
            done = manifests
            if running.returncode == 0:
                break
            assert running.returncode == -signal.SIGKILL
        assert command("submit", root=root).returncode == 0
        assert content(root) == wanted
        assert leftovers(root) == []
        checked = command("status", "--verify", root=root).stdout
        lines = [line for line in checked.splitlines() if line.startswith("  ")]
        states = [line for line in lines if line.split()[0] not in ("CV", "next")]
        assert len(states) > 10
        assert all(line.endswith(" done") for line in states), checked
        assert "demo" in (root / "submissions/leaderboard.md").read_text()
        shutil.rmtree(root)


@pytest.mark.faults
def test_after_a_kill_between_a_manifest_and_the_cleanup_the_next_run_cleans_up(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    chain, work = Chain(root, capsys), load_fold_module()
    assert chain("clean", "train", "--folds", "0") == 0
    assert chain("clean", "predict", "--folds", "0") == 0
    (root / "data/demo/experiments/demo/test/fold-0.parts").mkdir()
    for place, name in ((work, "remove_backup"), (PredictTask, "remove_parts")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, killed)
            assert chain("submit", "--folds", "0,1") == 130
        assert leftovers(root) != []
    assert chain("submit", "--folds", "0,1") == 0
    assert "fold 0: best epoch" not in chain.printed
    assert leftovers(root) == []


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_folds_at_once_end_with_their_command_and_resume_with_the_next(finished: Path, tmp_path: Path, number: int):
    for name in ("raw", "tiles"):
        shutil.copytree(finished / "data/demo" / name, tmp_path / "data/demo" / name)
    experiment = tmp_path / "data/demo/experiments/demo"
    long = TINY.replace("train.epochs=2", "train.epochs=500")
    running = begin(tmp_path, "train", "--jobs", "2", settings=long, start_new_session=True)
    deadline = time.monotonic() + 120
    while not all(any((experiment / f"fold-{fold}").glob("backup-*/state.npz")) for fold in (0, 1)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    owners = [(experiment / f".locks/fold-{fold}-train-fold-{fold}.pid").read_text() for fold in (0, 1)]
    workers = [int(owner.split()[0]) for owner in owners]
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does
    else:
        running.send_signal(number)
    _, error = running.communicate(timeout=30)
    assert running.returncode == (-number if number == signal.SIGKILL else 130)
    assert "Traceback" not in error
    assert error.count("error:") == (number != signal.SIGKILL)
    assert "Warning" not in error
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a fold keeps running by itself"
        time.sleep(0.05)
    again = begin(tmp_path, "train", "--jobs", "2", settings=long, start_new_session=True)
    try:
        assert again.stdout is not None
        lines = (line for line in again.stdout if re.match(r"fold \d: .*resumes", line))
        resumed = {line.split(":")[0] for line in islice(lines, 2)}
        assert resumed == {"fold 0", "fold 1"}
    finally:
        os.killpg(again.pid, signal.SIGKILL)
        again.communicate()


# ---- Damaged --------------------------------------------------------------------------------------------------------

ARTIFACTS = [
    "raw/train.csv",
    "raw/depths.csv",
    "tiles/train_images.npy",
    "tiles/test.csv",
    "folds/depth-2-seed0-bins4/folds.csv",
    "experiments/demo/fold-0/best.weights.h5",
    "experiments/demo/fold-1/oof.npy",
    "experiments/demo/choice.json",
    "experiments/demo/scores.csv",
    "experiments/demo/test/fold-1.npy",
    "experiments/demo/fold-0/train.json",
    "experiments/demo/cv.json",
    "tiles/manifest.json",
]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


VISIBLE: list[Callable[[Path], None]] = [truncate, empty, delete]
HOW = [flip_a_bit, *VISIBLE]


@pytest.mark.faults
@pytest.mark.parametrize("name", ARTIFACTS)
def test_damage_is_named(root: Path, name: str, capsys: pytest.CaptureFixture[str]):
    path, chain = root / "data/demo" / name, Chain(root, capsys)
    whole = path.read_bytes()
    for how in HOW:
        how(path)
        assert chain("status", "--verify") == 0
        assert any(word in chain.printed for word in ("stale", "missing", "damaged")), (how.__name__, chain.printed)
        path.write_bytes(whole)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "how"),
    # Only a hash finds a flipped bit. A changed size is found in the same way for every file.
    [*((name, flip_a_bit) for name in ARTIFACTS), *zip(ARTIFACTS[4:7], VISIBLE, strict=True)],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_damage_is_found_before_use_and_repaired(
    finished: Path, root: Path, name: str, how: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
):
    how(root / "data/demo" / name)
    # Everything made from the damaged file is asked for again, so that the file would be used.
    shutil.rmtree(root / "submissions")
    after = ["experiments/demo/test/fold-0.json", "experiments/demo/cv.json"]
    for made in after + ["tiles/manifest.json"] * name.startswith("raw/"):
        if made != name:
            (root / "data/demo" / made).unlink()
    chain = Chain(root, capsys)
    assert chain("submit") == 0, chain.error
    assert chain("status", "--verify") == 0
    assert not any(word in chain.printed for word in ("stale", "missing", "damaged"))
    assert (root / "submissions/demo/demo.csv").read_bytes() == (finished / "submissions/demo/demo.csv").read_bytes()


@pytest.fixture(scope="session")
def another(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with the chain of another seed on the same tiles."""
    root = tmp_path_factory.mktemp("another")
    shutil.copytree(finished / "data", root / "data", ignore=shutil.ignore_patterns("experiments"))
    assert command("submit", root=root, settings=f"{TINY} train.seed=7").returncode == 0
    return root


@pytest.mark.faults
@pytest.mark.parametrize("name", ["fold-0/best.weights.h5", "fold-0/oof.npy", "test/fold-0.npy", "fold-0", "test", "."])
def test_another_experiments_file_is_never_used_for_ones_own(
    finished: Path, root: Path, another: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    experiment, chain = "data/demo/experiments/demo", Chain(root, capsys)
    if (another / experiment / name).is_dir():
        # Complete, with matching manifests: those name other settings, or other inputs.
        shutil.copytree(another / experiment / name, root / experiment / name, dirs_exist_ok=True)
        assert chain("status") == 0
        assert "stale" in chain.printed
    else:
        shutil.copy(another / experiment / name, root / experiment / name)
        # What is made from the file is asked for again, so that the file would be used.
        for made in ("test/fold-0.npy", "cv.json")[name == "test/fold-0.npy" :]:
            (root / experiment / made).unlink()
    shutil.rmtree(root / "submissions")
    # A whole fold of another training is replaced only with consent.
    assert chain("submit", "--retrain") == 0, chain.error
    assert (root / "submissions/demo/demo.csv").read_bytes() == (finished / "submissions/demo/demo.csv").read_bytes()
    assert chain("status", "--verify") == 0
    assert not any(word in chain.printed for word in ("stale", "missing", "damaged"))


@pytest.mark.faults
def test_a_flipped_bit_in_a_prediction_is_repaired_before_use(finished: Path, root: Path):
    flip_a_bit(root / "data/demo/experiments/demo/test/fold-1.npy")
    (root / "submissions/demo/demo.csv").unlink()
    ran = command("submit", root=root)
    assert ran.returncode == 0, ran.stderr
    assert "predict fold 1: fold-1.npy has other content than its manifest says; making it again" in ran.stdout
    assert (root / "submissions/demo/demo.csv").read_bytes() == (finished / "submissions/demo/demo.csv").read_bytes()


def test_a_damaged_manifest_is_rejected(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, path = Chain(root, capsys), root / "data/demo/experiments/demo/cv.json"
    assert chain("status") == 0
    assert "validate         done" in chain.printed
    path.write_text(path.read_text().replace('"score": 0.', '"score": 1.', 1))
    assert chain("status") == 0
    assert "validate         done" not in chain.printed


# ---- Full disk, interrupted, twice at once --------------------------------------------------------------------------


def limited(root: Path, size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that cannot write a file of more than ``size`` bytes, as on a disk that is full by then."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, *common(root)],
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=limit,
    )


@pytest.mark.parametrize(
    ("removed", "size"),
    [
        pytest.param("data/demo/raw", 3_000, marks=pytest.mark.faults),
        pytest.param("data/demo/tiles", 50_000, marks=pytest.mark.faults),
        pytest.param("data/demo/experiments/demo/test", 60_000, marks=pytest.mark.faults),
        pytest.param("data/demo/experiments/demo/scores.csv", 500, marks=pytest.mark.faults),
        ("submissions/demo/demo.csv", 20),
    ],
)
def test_a_full_disk_is_one_line_and_what_was_there_stays(
    finished: Path, root: Path, removed: str, size: int, capsys: pytest.CaptureFixture[str]
):
    path = root / removed
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    before = content(root)
    line = one_line(limited(root, size, "submit"))
    assert "run the same command again" in line
    assert {name: mark for name, mark in content(root).items() if name in before}.items() <= before.items()
    chain = Chain(root, capsys)
    assert chain("submit") == 0, chain.error
    assert content(root) == content(finished)
    assert leftovers(root) == []


@pytest.mark.faults
def test_a_full_disk_while_training_is_one_line_and_training_resumes_later(finished: Path, root: Path):
    shutil.rmtree(root / "data/demo/experiments")
    line = one_line(limited(root, 20_000, "submit"))
    assert "run the same command again" in line
    assert command("submit", root=root).returncode == 0
    assert content(root) == content(finished)
    assert leftovers(root) == []


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root alone")
def test_a_small_file_system_that_fills_up(tmp_path: Path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        assert "run the same command again" in one_line(command("submit", root=place))
        subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)
        assert command("submit", root=place).returncode == 0
        assert leftovers(place) == []
    finally:
        subprocess.run(["umount", str(place)], check=False)


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="root writes where others may not, so it is a mount that must forbid it")
def test_a_read_only_folder_is_one_line(finished: Path, tmp_path: Path):
    place = tmp_path / "fixed"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        shutil.copytree(finished, place, dirs_exist_ok=True)
        (place / "submissions/demo/demo.csv").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert "read-only" in one_line(command("submit", root=place)).lower()
        assert command("status", root=place).returncode == 0
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        assert command("submit", root=place).returncode == 0
        assert content(place) == content(finished)
    finally:
        subprocess.run(["umount", str(place)], check=False)


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_random_moments_it_prints_one_line(finished: Path, tmp_path: Path, number: int):
    draw, interrupts, rounds = random.Random(number), 0, 0
    while interrupts < INTERRUPTS:
        root = tmp_path / str(rounds)
        rounds += 1
        while True:
            running = begin(root, "submit")
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=draw.uniform(0.5, 9) if interrupts < INTERRUPTS else None)
            running.send_signal(number)  # no process is left to receive it once the command has ended
            _, error = running.communicate(timeout=60)
            if running.returncode == 0:
                break
            interrupts += 1
            assert running.returncode == 130, error
            assert error.count("error: interrupted") == 1
            assert "Traceback" not in error
        assert content(root) == content(finished)
        assert leftovers(root) == []


@pytest.mark.faults
def test_the_same_stage_twice_at_once_is_refused_with_the_others_number(finished: Path, tmp_path: Path):
    shutil.copytree(finished / "data/demo/raw", tmp_path / "data/demo/raw")
    long = TINY.replace("train.epochs=2", "train.epochs=500")
    first = begin(tmp_path, "train", settings=long)
    try:
        assert first.stdout is not None
        for line in first.stdout:
            if "epoch " in line and "ETA" in line:
                break
        line = one_line(command("train", root=tmp_path, settings=long))
        assert f"process {first.pid} is making it right now" in line
    finally:
        first.kill()
        first.communicate()
    # A lock that a dead process left does not block: the fold resumes where it stopped.
    second = begin(tmp_path, "train", settings=long)
    try:
        assert second.stdout is not None
        assert any("resumes after epoch" in line for line in second.stdout)
    finally:
        second.kill()
        second.communicate()


@pytest.mark.faults
def test_different_folds_and_experiments_run_side_by_side(finished: Path, tmp_path: Path):
    # Nothing is there yet: what the three have in common is made by one of them, and the others wait for it.
    running = [begin(tmp_path, "train", "--folds", "0"), begin(tmp_path, "train", "--folds", "1")]
    running.append(
        subprocess.Popen(
            [sys.executable, "-m", "pipeline", "train", *common(tmp_path), "--experiment", "kernel"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    for each in running:
        _, error = each.communicate(timeout=400)
        assert each.returncode == 0, error
    assert command("submit", root=tmp_path).returncode == 0
    assert content(tmp_path).items() >= content(finished).items()


# ---- Numbers --------------------------------------------------------------------------------------------------------


def altered(
    finished: Path, chain: Chain, masks: Callable[[int], str], settings: str = TINY, constant: bool = False
) -> dict[str, Any]:
    """The chain on the survey's images with other masks, given by a tile's number as run-length code.

    With ``constant`` each image has one grey value. Returns the score as in the receipt.
    """
    import cv2

    raw = chain.root / "mine"
    shutil.copytree(finished / "data/demo/raw", raw)
    (raw / "manifest.json").unlink()
    (raw / "solution.csv").unlink()
    names = sorted(path.stem for path in (raw / "train/images").iterdir())
    codes = {name: masks(index) for index, name in enumerate(names)}
    (raw / "train.csv").write_text(
        "\n".join(["id,rle_mask", *(f"{name},{code}" for name, code in codes.items())]) + "\n"
    )
    for name, mask in zip(names, rle.decode(list(codes.values()), 101, 101), strict=True):
        cv2.imwrite(str(raw / "train/masks" / f"{name}.png"), mask.astype(np.uint16) * 65535)
    if constant:
        for index, path in enumerate(raw.glob("*/images/*.png")):
            cv2.imwrite(str(path), np.full((101, 101, 3), (0, 128, 255)[index % 3], np.uint8))
    assert chain("submit", "--archive", str(raw), dataset="mine", settings=settings) == 0, chain.error
    return json.loads((chain.root / "submissions/mine/demo.json").read_text())["result"]["cv"]


@pytest.mark.faults
@pytest.mark.parametrize(
    "masks",
    [
        lambda index: "",  # no tile holds salt
        lambda index: "1 5100",  # every tile does
        lambda index: "1 5100" if index == 0 else "",  # one tile alone does, so a fold holds none
        lambda index: "1 10201" if index % 2 else "",  # all or nothing
    ],
    ids=["all empty", "none empty", "one alone", "all or nothing"],
)
def test_surveys_of_one_kind_end_with_a_score_and_a_valid_csv(
    finished: Path, chain: Chain, masks: Callable[[int], str]
):
    cv = altered(finished, chain, masks)
    assert 0 <= cv["score"] <= 1
    if not any(masks(index) for index in range(40)):
        assert cv["score"] >= cv["score_at_half"]


@pytest.mark.faults
def test_a_survey_of_constant_tiles_is_no_error(finished: Path, chain: Chain):
    assert 0 <= altered(finished, chain, lambda index: "1 5100" if index % 2 else "", constant=True)["score"] <= 1
    assert "40 constant" in chain.printed


@pytest.mark.faults
@pytest.mark.parametrize("by", ["coverage", "depth+coverage"])
def test_one_tile_per_class_is_no_error(finished: Path, chain: Chain, by: str):
    settings = TINY.replace("split.bins=4", f"split.bins=40 split.by={by}")
    assert 0 <= altered(finished, chain, lambda index: f"1 {1 + 250 * index}" if index else "", settings)["score"] <= 1


@pytest.mark.faults
def test_the_same_seed_gives_the_same_submission_twice(finished: Path, tmp_path: Path):
    assert command("submit", root=tmp_path).returncode == 0
    assert content(tmp_path) == content(finished)


def predicted(root: Path) -> np.ndarray:
    """Every probability of a root folder, out-of-fold and test."""
    experiment = root / "data/demo/experiments/demo"
    paths = sorted([*experiment.glob("fold-*/oof.npy"), *experiment.glob("test/fold-*.npy")])
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths]).astype(int)


@pytest.mark.faults
@pytest.mark.parametrize(
    "machine",
    [
        {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"TF_NUM_INTRAOP_THREADS": "3", "OMP_NUM_THREADS": "3"},
        {"ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"TF_ENABLE_ONEDNN_OPTS": "0"},
    ],
    ids=["one thread", "three threads", "an old processor", "another library"],
)
def test_another_machine_predicts_the_same_within_one_level(
    finished: Path, root: Path, machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for path in [*root.glob("data/demo/experiments/demo/*/oof.json"), *root.glob("data/demo/experiments/demo/test/*")]:
        path.unlink()
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    assert command("submit", root=root).returncode == 0
    # The same weights: one level of 255 is what rounding may do. (Training again may give entirely different weights.)
    assert np.abs(predicted(root) - predicted(finished)).max() <= 1


# ---- Environment ----------------------------------------------------------------------------------------------------


def test_files_have_the_modes_of_the_umask(finished: Path):
    mask = os.umask(0)
    os.umask(mask)
    for path in [*(finished / "data").rglob("*"), *(finished / "submissions").rglob("*")]:
        allowed = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == allowed, path


def test_an_audit_without_the_internet_is_one_line():
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    ran = subprocess.run(
        ["make", "online", f"PYTHON={sys.executable}"],
        cwd=Path(__file__).parent.parent,
        env=os.environ | nowhere | {"no_proxy": "", "NO_PROXY": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert [line for line in ran.stderr.splitlines() if not line.startswith("make")] == [
        "error: pypi.org, which lists known vulnerabilities, does not answer; make audit needs the internet"
    ]
