"""Two commands on one experiment: where one makes what the other one reads, a line says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Layout
from pipeline.config import load
from pipeline.stages import report, submit, validate
from tests.conftest import TINY, Chain


@pytest.mark.parametrize("other", ["validate", "clean"])
@pytest.mark.parametrize("stage", ["report", "submit"])
def test_a_validation_of_other_folds_meanwhile_is_one_line(
    stage: str, other: str, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def read(*arguments: Any) -> Any:
        """Another command has run since the stage began."""
        if other == "validate":
            assert Chain(root, capsys)("validate", "--folds", "0,1") == 0
        else:
            validated.manifest_path.unlink()
        return really(*arguments)

    chain, layout = Chain(root, capsys), Layout(root, "demo", "demo", load("demo", TINY.split()))
    validated = validate.artifact(layout, (0, 1))
    assert chain("validate", "--folds", "0") == 0
    assert chain("clean", "report") == 0
    module, name = {"report": (report, "_read"), "submit": (submit, "_masks")}[stage]
    really = getattr(module, name)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, read)
        assert chain(stage, "--folds", "0") == 2
    line = "validate was made again or removed meanwhile by another command; run this command again"
    assert chain.error == f"error: {stage}: {line}\n"
    assert chain(stage, "--folds", "0") == 0, chain.error
