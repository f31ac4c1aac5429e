"""Creation of networks and predictors: cached by architecture, without side effects on random numbers."""

from __future__ import annotations

import random

import keras
import pytest

from pipeline.config import Settings, UserError, load
from pipeline.data.input_transform import InputTransform
from pipeline.prediction import build
from pipeline.prediction.build import PredictorCache, make_network, make_predictor
from tests.prediction.helpers import SMALL

pytestmark = pytest.mark.backends


def test_a_predictor_is_created_once_for_an_architecture():
    cache, settings = PredictorCache(), load("unet", SMALL)
    first = cache.get(settings)
    assert cache.get(load("unet", [*SMALL, "train.seed=7", "train.epochs=3"])) is first
    assert cache.get(load("unet", [*SMALL, "network.width=8"])) is not first
    assert cache.get(settings) is first


def test_the_predictor_that_was_not_used_for_the_longest_time_is_dropped():
    cache = PredictorCache(size=1)
    settings, other = load("unet", SMALL), load("unet", [*SMALL, "predict.batch_size=3"])
    first = cache.get(settings)
    cache.get(other)
    assert cache.get(settings) is not first


def test_creating_a_predictor_leaves_the_random_state_unchanged(monkeypatch: pytest.MonkeyPatch):
    def drawing(settings: Settings) -> tuple[keras.Model, InputTransform]:
        random.random()  # as layers without a seed do
        return make_network(settings)

    monkeypatch.setattr(build, "make_network", drawing)
    before = random.getstate()
    PredictorCache().get(load("unet", SMALL))
    assert random.getstate() == before


def test_views_that_do_not_fit_the_input_are_refused():
    with pytest.raises(UserError, match=r"predict\.tta: shift"):
        make_predictor(load("unet", [*SMALL, "input.fit=resize", "input.size=128", 'predict.tta=["plain","shift"]']))


def test_the_seed_determines_the_weights():
    settings = load("unet", SMALL)
    one, same, other = (make_network(settings, seed)[0].get_weights()[0] for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()
