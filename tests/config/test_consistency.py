"""Settings that contradict each other are rejected."""

from __future__ import annotations

import pytest

from pipeline.config import UserError, blend, load


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["train.schedule=cosine_restarts", "train.cycles=6", "train.epochs=5"], "at least as many train.epochs"),
        (["train.schedule=cosine_restarts", "train.epochs=9", "train.first_cycle=0.9"], "leaves 1 for 3 more"),
        (["train.schedule=cosine_restarts", "train.epochs=9", "train.first_cycle=0.01"], "another train.first_cycle"),
        (["train.snapshots=2"], "train.schedule=cosine_restarts"),
        (["train.schedule=cosine_restarts", "train.cycles=2", "train.snapshots=3"], "at most train.cycles = 2"),
        (["train.schedule=cosine_restarts", "train.snapshots=2", "train.early_stopping=3"], "train.early_stopping=0"),
        (["train.keep=last", "train.early_stopping=3"], "set train.early_stopping to 0, or train.keep to best"),
        (["train.swa_start=0.75"], "train.ema_momentum"),
        (
            ["train.schedule=cosine_restarts", "train.snapshots=2", "train.swa_start=0.75", "train.ema_momentum=0"],
            "or train.snapshots to 1",
        ),
        (["train.loss=weighted_border"], "set network.empty_head and network.deep_supervision to 0"),
        (["train.late_loss=weighted_border", "network.empty_head=0"], "network.deep_supervision to 0"),
        (["student.uncertain=[0.8,0.2]"], "the first value must not be larger"),
        (["student.teachers=[kernel,kernel]"], "names 'kernel' more than once"),
        (["submit.rules=[fill_holes,neighbor_empty]"], "neighbor_empty needs neighbouring tiles; set submit.neighbors"),
    ],
)
def test_settings_that_contradict_each_other_are_rejected_in_one_line(assignments: list[str], message: str):
    with pytest.raises(UserError) as error:
        load("unet", assignments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_belong_together_may_be_given_in_any_order():
    together = ["train.snapshots=2", "train.cycles=2", "train.schedule=cosine_restarts"]
    assert load("unet", together) == load("unet", together[::-1])
    averages = ["train.swa_start=0.5", "train.ema_momentum=0"]
    assert load("unet", averages) == load("unet", averages[::-1])


def test_rules_from_neighbours_need_their_setting_in_a_blend_too():
    members, rules = {"unet": load("unet"), "demo": load("unet")}, "submit.rules=[neighbor_stripe]"
    with pytest.raises(UserError, match=r"neighbor_stripe needs neighbouring tiles; set submit\.neighbors=true"):
        blend(members, [rules])
    assert blend(members, [rules, "submit.neighbors=true"]).submit.rules == ("neighbor_stripe",)
