"""A server that sends or reads nothing ends a call after the timeout."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline.config import UserError
from pipeline.data.sources import kaggle as kaggle_source
from pipeline.data.sources.kaggle.client import call_kaggle
from tests.data.sources.kaggle.helpers import User, refused
from tests.kaggle_server import COMPETITION, Kaggle


def test_a_download_that_stalls_ends_in_one_line_and_goes_on_next_time(user: User):
    user.kaggle.stall["download"], user.timeout = len(user.kaggle.archive) * 3 // 4, "1"
    line = refused(user.run("download"))
    assert "has sent nothing for 1 s during the download" in line
    assert "resumes where it stopped" in line
    assert user.kaggle.calls.count("download") == 1
    partial = (user.data / f"download/{COMPETITION}.zip").stat().st_size
    assert partial > 0
    user.kaggle.stall.clear()
    user.timeout = ""
    assert user.run("download").returncode == 0
    assert user.kaggle.starts[-1] == partial
    assert (user.data / "raw/manifest.json").is_file()


def test_a_slow_download_is_no_stall_though_it_takes_longer_than_the_timeout(user: User):
    user.kaggle.slow, user.timeout = 0.01, "1"
    assert user.run("download").returncode == 0
    assert user.kaggle.starts == [0]


@pytest.mark.parametrize(
    ("where", "count", "credentials", "what"),
    [
        ("DownloadDataFiles", 0, "key", "download"),
        ("DownloadDataFiles", 10, "key", "download"),
        ("IntrospectToken", 0, "token", "sign-in"),
        ("ListSubmissions", 10, "key", "list of submissions"),
    ],
)
def test_each_call_of_the_client_has_a_timeout(
    kaggle: Kaggle, tmp_path: Path, where: str, count: int, credentials: str, what: str
):
    user = User(kaggle, tmp_path, credentials)
    kaggle.stall[where], user.timeout = count, "1"
    line = refused(user.run("submissions" if where == "ListSubmissions" else "download"))
    assert f"has sent nothing for 1 s during the {what}; run the same command again" in line
    assert kaggle.calls.count(where) == 1
    assert not (user.data / "download").exists()


def test_a_server_that_does_not_read_is_a_stall_too():
    import requests

    send = requests.adapters.HTTPAdapter.send
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(UserError, match=r"nothing for 0\.5 s during the upload"), call_kaggle("upload", 0.5):
            requests.put(address, data=bytes(50_000_000), proxies={"http": ""})
    assert requests.adapters.HTTPAdapter.send is send


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("PIPELINE_TIMEOUT", text)
    with pytest.raises(UserError, match="write a number of seconds"):
        kaggle_source.past_submissions()
