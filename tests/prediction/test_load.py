"""Loading trained weights: files of another network, or damaged ones, are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import UserError, load
from pipeline.prediction.build import make_network
from pipeline.prediction.ensemble import Ensemble
from pipeline.prediction.load import load_network, load_predictor
from tests.conftest import blobs
from tests.prediction.helpers import SMALL

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of a network of other seed than the default."""
    path = tmp_path_factory.mktemp("weights") / "best.weights.h5"
    make_network(load("unet", SMALL), seed=1)[0].save_weights(path)
    return path


def test_the_weights_of_a_file_are_loaded(weights: Path):
    settings = load("unet", SMALL)
    model, _ = load_network(settings, weights)
    for mine, theirs in zip(model.get_weights(), make_network(settings, seed=1)[0].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        load_network(load("unet", [*SMALL, "network.width=8"]), weights)
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        load_network(load("unet", [*SMALL, "network.levels=2"]), weights)
    damaged = tmp_path / weights.name
    damaged.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        load_network(load("unet", SMALL), damaged)


def test_one_predictor_takes_the_weights_of_one_file_after_another(weights: Path, tmp_path: Path):
    settings, images = load("unet", SMALL), blobs(2)[0]
    other = tmp_path / "other.weights.h5"
    make_network(settings, seed=2)[0].save_weights(other)
    first = load_predictor(settings, weights)
    before = first(images, np.empty(images.shape, np.uint8))
    second = load_predictor(settings, other)
    assert second is first
    assert not np.array_equal(second(images, np.empty(images.shape, np.uint8)), before)
    again = load_predictor(settings, weights)(images, np.empty(images.shape, np.uint8))
    np.testing.assert_array_equal(again, before)
    assert isinstance(load_predictor(settings, weights, other), Ensemble)
