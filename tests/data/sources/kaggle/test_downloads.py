"""Kaggle's real client downloads from a server on 127.0.0.1 that answers as Kaggle does."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.data.sources.kaggle.helpers import User, refused
from tests.kaggle_server import COMPETITION, Kaggle


def test_tiles_come_from_kaggle_and_a_second_call_asks_nothing(user: User):
    first = user.run("download")
    assert first.returncode == 0, first.stderr
    assert len(list((user.data / "raw/train/images").iterdir())) == 40
    assert (user.data / "raw/manifest.json").is_file()
    user.kaggle.calls.clear()
    second = user.run("download")
    assert second.returncode == 0
    assert "up to date" in second.stdout
    assert user.kaggle.calls == []


@pytest.mark.parametrize("credentials", ["token", "file", "token file"])
def test_credentials_of_every_kind_the_client_knows(kaggle: Kaggle, tmp_path: Path, credentials: str):
    user = User(kaggle, tmp_path, credentials)
    assert user.run("download").returncode == 0
    assert (user.data / "raw/manifest.json").is_file()


def test_without_credentials_one_line_explains_how_to_get_them_and_what_works_without(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "none")
    line = refused(user.run("download"))
    for word in ("credentials", "kaggle.com/settings", "make demo", "ARCHIVE=", f"{COMPETITION}/rules"):
        assert word in line, word
    assert not (user.data / "download").exists()
    assert not (user.data / "raw").exists()


def test_credentials_that_are_there_but_useless_are_not_called_missing(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "token")
    kaggle.refuse["IntrospectToken"] = (403, "expired")
    assert "KAGGLE_API_TOKEN" in refused(user.run("download"))
    user = User(kaggle, tmp_path / "other", "none")
    (user.home / ".kaggle").mkdir(parents=True)
    (user.home / ".kaggle/kaggle.json").write_text("not JSON")
    line = refused(user.run("download"))
    assert "kaggle.json holds no username and key" in line
    (user.home / ".kaggle/kaggle.json").write_bytes(b"\xff\xfe{\x00")
    assert "is not plain text; save it again from https://" in refused(user.run("download"))


REFUSALS = [
    ("DownloadDataFiles", 401, "does not accept these credentials"),
    ("DownloadDataFiles", 403, f"competitions/{COMPETITION}/rules"),
    ("DownloadDataFiles", 404, f"knows no competition {COMPETITION}"),
    ("DownloadDataFiles", 429, "wait some minutes"),
    ("DownloadDataFiles", 500, "again in a while"),
    ("download", 503, "again in a while"),
]


@pytest.mark.parametrize(("where", "status", "advice"), REFUSALS)
def test_each_refusal_has_its_line_and_leaves_nothing_half_made(user: User, where: str, status: int, advice: str):
    user.kaggle.refuse[where] = (status, "because")
    assert advice in refused(user.run("download"))
    assert not (user.data / "download").exists()
    assert not (user.data / "raw").exists()
    user.kaggle.refuse.clear()
    assert user.run("download").returncode == 0


def test_wrong_credentials_are_named_as_such(kaggle: Kaggle, tmp_path: Path):
    user = User(kaggle, tmp_path, "wrong")
    assert "does not accept these credentials" in refused(user.run("download"))


def test_no_network_is_reported_in_one_line(user: User):
    user.kaggle.close()
    line = refused(user.run("download"))
    assert "no connection to Kaggle" in line
    assert not (user.data / "download").exists()


def test_a_dropped_connection_goes_on_where_it_broke(user: User):
    user.kaggle.drop_after = len(user.kaggle.archive) // 2
    assert user.run("download").returncode == 0
    first, second = user.kaggle.starts
    assert first == 0 < second
    assert (user.data / "raw/manifest.json").is_file()


def test_a_server_that_ignores_ranges_sends_everything_again(user: User):
    user.kaggle.drop_after, user.kaggle.ranges = len(user.kaggle.archive) // 2, False
    assert user.run("download").returncode == 0
    assert user.kaggle.starts == [0, 0]
    assert (user.data / "raw/manifest.json").is_file()


def test_a_killed_download_goes_on_where_it_stopped(user: User):
    whole = len(user.kaggle.archive)
    user.kaggle.slow = 0.01
    running = user.start("download")
    deadline = time.monotonic() + 30
    while user.kaggle.sent < whole // 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.join()
    partial = (user.data / f"download/{COMPETITION}.zip").stat().st_size
    assert 0 < partial < whole
    user.kaggle.slow = 0.0
    assert user.run("download").returncode == 0
    assert user.kaggle.starts[-1] == partial
    assert (user.data / "raw/manifest.json").is_file()


def test_an_archive_that_arrives_damaged_is_fetched_again_by_itself(user: User):
    user.kaggle.damage_once = True
    ran = user.run("download")
    assert ran.returncode == 0
    assert "arrived damaged" in ran.stdout
    assert user.kaggle.calls.count("download") == 2


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_a_damaged_archive_on_disk_is_found_and_fetched_again(user: User, how: str):
    assert user.run("download").returncode == 0
    path = user.data / f"download/{COMPETITION}.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000] if how == "truncated" else whole[:300] + b"?" * 20 + whole[320:])
    shutil.rmtree(user.data / "raw")
    ran = user.run("download")
    assert ran.returncode == 0, ran.stderr
    assert "damaged" in ran.stdout
    assert path.read_bytes() == whole
