"""A wrong setting is explained in one line: which one, what is allowed, what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.config import Settings, UserError, load
from pipeline.config.messages import explain


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epocs=5", "did you mean 'train.epochs'"),
        ("predict.tta=plain", "a list in brackets"),
        ("predict.tta=plain", "write predict.tta=[plain]"),
        ("network.dropout=0.2", "write network.dropout=[0.2]"),
        ("trian.epochs=5", "did you mean 'train'"),
        ("train.epochs=x", "train.epochs must be a whole number from 1 to 1000000, not 'x'"),
        ("train.epochs=0", "train.epochs must be a whole number from 1 to 1000000, not 0"),
        ("train.seed=2147483648", "from 0 to 2147483647"),
        ("train.loss=loss", "bce_dice"),
        ("network.encoder=Resnet50", "did you mean 'ResNet50'"),
        ("network.dropout=[1.5]", "network.dropout"),
        ("augment.scale=[2, 1]", "augment.scale"),
        ("augment.scale=2", "a list of 2 values in brackets, each a number above 0 and at most 1000000"),
        ("predict.tta=[plain,flop]", "'flip'"),
        ("predict.tta=[plain,flip,plain]", "names 'plain' more than once"),
        ("predict.tta=[]", "predict.tta must be a list in brackets of one or more items"),
        ("submit.rules=[fill_hole]", "'fill_holes'"),
        ("submit.rules=some", "'auto'"),
        ("train.exclude=[tiny,tiny]", "train.exclude names 'tiny' more than once"),
        ("submit.rules=[fill_holes,fill_holes]", "submit.rules names 'fill_holes' more than once"),
        ("submit.threshold=2", "submit.threshold must be a number above 0 and below 1 or 'auto', not 2"),
        ("train.tensorboard=yes", "true or false"),
        ("train.epochs=5, train.batch_size=16", "several settings are separated by spaces"),
        ("train.epochs", "section.key=value"),
        ("train=3", "section.key=value"),
        ("train.epochs.x=3", "epochs.x"),
        ("split.folds=1", "split.folds"),
        ("train.learning_rate=nan", "train.learning_rate"),
        ("train.learning_rate=inf", "train.learning_rate"),
        ("train.epochs=0x" + "f" * 5000, "not this value"),
    ],
)
def test_a_wrong_assignment_is_explained_in_one_line(assignment: str, message: str):
    with pytest.raises(UserError) as error:
        load("unet", [assignment])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[train]\nepocs = 5\n", "there is no setting 'train.epocs' (did you mean 'train.epochs'?)"),
        (b"[trian]\nepochs = 5\n", "there is no setting 'trian' (did you mean 'train'?)"),
        (b"epochs = 5\n", "there is no setting 'epochs'"),
        (b"train = 5\n", "train is a section: write [train] and its settings below, not train = 5"),
        (b'[train]\nepochs = "five"\n', "train.epochs must be a whole number from 1 to 1000000, not 'five'"),
        (b"[train]\nepochs = 0\n", "train.epochs must be a whole number from 1 to 1000000, not 0"),
        (b"[train]\nema_momentum = 1.0\n", "train.ema_momentum must be a number of at least 0 and below 1, not 1.0"),
    ],
)
def test_a_wrong_settings_file_is_named_and_explained_in_one_line(experiments: Path, text: bytes, message: str):
    path = experiments / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(UserError) as error:
        load("mine")
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


WRONG: tuple[Any, ...] = (None, [None], {}, [[]], -1, 10**9, 3.5, True, "word", ["word"])


def test_whatever_does_not_convert_is_explained():
    for section in Settings.__struct_fields__:
        for name in getattr(Settings(), section).__struct_fields__:
            for value in WRONG:
                tree = {section: {name: value}}
                try:
                    msgspec.convert(tree, Settings)
                except msgspec.ValidationError:
                    assert explain(tree, typed=True).startswith(f"{section}.{name} must be ")
                else:
                    assert explain(tree, typed=True) == ""
