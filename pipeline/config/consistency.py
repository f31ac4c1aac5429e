"""Settings that are allowed one by one but not together."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from pipeline.config.errors import UserError
from pipeline.config.schema.network import NetworkSettings
from pipeline.config.schema.predict import Rule, SubmitSettings, ViewName
from pipeline.config.schema.settings import Settings
from pipeline.config.schema.train import ExcludedTiles, TrainSettings

_RANGES = (("augment", "scale"), ("augment", "resized_crop_area"), ("augment", "gamma_limit"), ("student", "uncertain"))
"""Settings whose two values are the ends of a range."""


def normalized(settings: Settings, where: str) -> Settings:
    """Settings with lists of names in the order of their Literal, so that any order is the same setting.

    Args:
        settings: converted settings.
        where: where they come from, for error messages.

    Raises:
        UserError: a name is listed twice, or the ends of a range are reversed.
    """
    for section, name in _RANGES:
        low, high = getattr(getattr(settings, section), name)
        if low > high:
            raise UserError(
                f"{where}: {section}.{name} = [{low}, {high}]: the first value must not be larger than the second"
            )
    excluded = _in_order(settings.train.exclude, ExcludedTiles, "train.exclude", where)
    train = msgspec.structs.replace(settings.train, exclude=excluded)
    student = msgspec.structs.replace(
        settings.student, teachers=_sorted(settings.student.teachers, "student.teachers", where)
    )
    views = _in_order(settings.predict.tta, ViewName, "predict.tta", where)
    predict = msgspec.structs.replace(settings.predict, tta=views)
    submit = settings.submit
    if submit.rules != "auto":
        submit = msgspec.structs.replace(submit, rules=_in_order(submit.rules, Rule, "submit.rules", where))
    return msgspec.structs.replace(settings, train=train, student=student, predict=predict, submit=submit)


def _in_order(names: tuple[str, ...], known: Any, key: str, where: str) -> tuple[Any, ...]:
    chosen = _sorted(names, key, where)
    return tuple(name for name in get_args(known) if name in chosen)


def _sorted(names: tuple[str, ...], key: str, where: str) -> tuple[str, ...]:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UserError(f"{where}: {key} names {twice[0]!r} more than once; name each once")
    return tuple(sorted(names))


def contradiction(settings: Settings) -> str:
    """The first combination of settings that is not allowed, and how to fix it; an empty string where there is none."""
    train, network = settings.train, settings.network
    found = _cycles(train) or _averages(train) or _border_loss(train, network)
    return found or _neighbors(settings.submit)


def _cycles(train: TrainSettings) -> str:
    cyclical = train.schedule == "cosine_restarts"
    first = first_cycle_epochs(train)
    if cyclical and train.cycles > 1 and train.first_cycle and not 1 <= first <= train.epochs - train.cycles + 1:
        return (
            f"train.first_cycle = {train.first_cycle} of {train.epochs} train.epochs is {first}, which leaves "
            f"{train.epochs - first} for {train.cycles - 1} more of train.cycles; each needs at least one, so set more "
            "train.epochs, fewer train.cycles, or another train.first_cycle"
        )
    if cyclical and train.cycles > train.epochs:
        return f"train.cycles = {train.cycles} needs at least as many train.epochs, not {train.epochs}"
    if train.snapshots > (train.cycles if cyclical else 1):
        most = f"at most train.cycles = {train.cycles}" if cyclical else "train.schedule=cosine_restarts"
        return f"train.snapshots = {train.snapshots} needs {most}: a snapshot is an epoch of a cycle"
    if train.snapshots > 1 and train.early_stopping:
        return "train.snapshots needs train.early_stopping=0: each cycle must be completed"
    if train.keep == "last" and train.early_stopping:
        return (
            "train.keep = last keeps the weights of the last epoch, and train.early_stopping ends the training after "
            "epochs without a better score; set train.early_stopping to 0, or train.keep to best"
        )
    return ""


def first_cycle_epochs(train: TrainSettings) -> int:
    """Epochs of the first cycle, for a ``train.first_cycle`` above 0."""
    return round(train.first_cycle * train.epochs)


def _averages(train: TrainSettings) -> str:
    if train.swa_start and train.ema_momentum:
        return "train.swa_start and train.ema_momentum both average the weights; set one of them to 0"
    if train.swa_start and train.snapshots > 1:
        return (
            "train.swa_start averages over the cycles that train.snapshots keeps separate; "
            "set train.swa_start to 0, or train.snapshots to 1"
        )
    return ""


def _border_loss(train: TrainSettings, network: NetworkSettings) -> str:
    if "weighted_border" in (train.loss, train.late_loss) and (network.empty_head or network.deep_supervision):
        return (
            "the loss weighted_border weights pixels of the mask only; "
            "set network.empty_head and network.deep_supervision to 0, or use another loss"
        )
    return ""


def _neighbors(submit: SubmitSettings) -> str:
    rules = [] if submit.rules == "auto" or submit.neighbors else submit.rules
    for rule in rules:
        if rule.startswith("neighbor_"):
            return f"submit.rules: {rule} needs neighbouring tiles; set submit.neighbors=true"
    return ""
