"""The summary at the end of a command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.cli import summary
from pipeline.stages import Context
from tests.road.conftest import finish


@pytest.mark.parametrize(("keep", "name"), [("best", "best"), ("last", "kept")])
def test_a_last_epoch_that_is_kept_is_not_called_the_best(
    context: Callable[..., Context], capsys: pytest.CaptureFixture[str], keep: str, name: str
):
    made = context("demo", f"train.keep={keep}")
    finish(made)
    summary.trained(made)
    heading = capsys.readouterr().out.splitlines()[1]
    assert heading.split()[:4] == ["fold", "tiles", "epochs", name]
