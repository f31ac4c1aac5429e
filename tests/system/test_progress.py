"""Progress is a bar on a terminal and plain lines elsewhere."""

from __future__ import annotations

import pytest

from pipeline.system import progress
from pipeline.system.progress import Progress, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (8.4, "8 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str):
    assert format_duration(seconds) == text


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress("train", 1000, "steps", done=100, bar=False) as shown:
        for second in range(1, 31):
            clock.now = second
            shown(100 + 10 * second)
    assert not shown.drawn
    assert capsys.readouterr().out.splitlines() == [
        "  train: 250 of 1,000 steps, 1 min 15 s left",
        "  train: 400 of 1,000 steps, 1 min 0 s left",
    ]


def test_short_work_and_the_last_unit_print_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress("train", 2, "steps", bar=False) as shown:
        assert shown.remaining() == 0
        shown(1)
        clock.now = 100
        shown(2)
        shown.note("nothing without a bar")
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str]):
    with Progress("train", 4, "steps", bar=True) as shown:
        shown(1, total=5)
        shown.echo("a line")
    assert shown.drawn
    captured = capsys.readouterr()
    assert captured.out == "a line\n"
    assert "1/5" in captured.err
