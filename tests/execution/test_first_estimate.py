"""The first estimate of a training, printed while its first epoch runs."""

from __future__ import annotations

import pytest

from pipeline.execution.first_estimate import FirstEstimate
from pipeline.execution.local_progress import LocalProgress
from pipeline.stages import Context, train
from tests.system.test_progress import Clock


def test_the_steps_in_which_the_network_is_compiled_are_not_measured(clock: Clock):
    estimate, found = FirstEstimate(), []
    for step in range(1, 101):
        clock.now += 60 if step <= 2 else 0.5
        found.append((step, estimate.step(0, step, 100)))
    assert [each for each in found if each[1] is not None] == [(22, 50.0)]


def test_half_of_a_short_epoch_is_measured_and_nothing_of_one_that_ends_at_once(clock: Clock):
    estimate, short = FirstEstimate(), FirstEstimate()
    found = []
    for step in range(1, 11):
        clock.now += 2
        found.append(estimate.step(0, step, 10))
        assert short.step(0, step, 7) is None
    assert found == [None] * 5 + [20.0] + [None] * 4


def test_an_epoch_that_was_not_measured_in_time_is_not_mixed_with_the_next(clock: Clock):
    # A cluster's events do not name every step.
    estimate = FirstEstimate()
    assert [estimate.step(*each, 100) for each in ((0, 5), (0, 20), (1, 1), (1, 60))] == [None] * 4


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (2, "about 50 s per epoch, 2 min per fold, 5 min in all, by its first steps"),
        (0, "about 50 s per epoch, 2 min per fold, by its first steps"),
    ],
)
def test_the_estimate_is_one_line_of_the_first_fold(
    context: Context, clock: Clock, total: int, words: str, capsys: pytest.CaptureFixture[str]
):
    for number in range(2 if total else 1):
        with LocalProgress(train.task(context.layout, number), number, total) as progress:
            # Resumed: two of the four epochs are left, and four of the other fold.
            for step in range(1, 51):
                clock.now += 1
                progress.step(number, 2, step, 50)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"fold 0: {words}")
