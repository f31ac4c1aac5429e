"""The galleries of an experiment's page."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.config import TILE
from pipeline.reporting import galleries, tile_images
from pipeline.reporting.galleries import Tiles
from pipeline.scoring import metric
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import PostProcessing


@pytest.fixture
def tiles() -> Tiles:
    """A missed sliver, a false alarm, a tile with an invented half, and a perfect one."""
    truth, masks = np.zeros((4, TILE, TILE), np.uint8), np.zeros((4, TILE, TILE), bool)
    truth[0, :5] = 1
    masks[1, :50] = True
    truth[2, :40], masks[2] = 1, True
    truth[3, :60], masks[3, :60] = 1, True
    scores = pd.DataFrame(
        {
            "id": ["sliver", "alarm", "half", "right"],
            "depth": [100.0, 200.0, 300.4, 400.0],
            "coverage": truth.mean(axis=(1, 2)),
            "fold": [0, 1, 0, 1],
            "score": metric.tile_scores(masks, truth),
            "iou": metric.iou(masks, truth).round(6),
            "predicted": masks.mean(axis=(1, 2)).round(6),
        }
    )
    return Tiles(scores, np.full(truth.shape, 90, np.uint8), truth, masks.astype(np.uint8) * 200)


def test_each_gallery_has_its_tiles_with_id_depth_fold_coverage_and_score(tiles: Tiles):
    found = {each.link: each for each in galleries.draw(tiles, PostProcessing(0.5, 0))}
    assert {link: [tile["id"] for tile in each.tiles] for link, each in found.items()} == {
        "worst": ["half", "sliver"],
        "false-alarms": ["alarm"],
        "slivers": ["sliver"],
    }
    tile = found["worst"].tiles[0]
    assert tile["png"].startswith("data:image/png;base64,")
    assert {key: tile[key] for key in ("depth", "fold", "coverage", "score", "wrong", "note")} == {
        "depth": "300",
        "fold": 0,
        "coverage": "39.6\u00a0%",
        "score": 0.0,
        "wrong": 61 * TILE,
        "note": "",
    }
    assert "1 have a predicted mask" in found["false-alarms"].note


def test_a_false_alarm_that_the_final_rules_remove_is_marked(tiles: Tiles):
    alarms = galleries.draw(tiles, PostProcessing(0.9, 0))[1]
    assert alarms.tiles[0]["note"] == "; no mask with the final threshold and rules"


def test_masks_are_drawn_with_the_rules_from_labelled_neighbours(tiles: Tiles):
    none, above = np.full(4, -1), np.array([-1, 0, -1, -1])
    known = replace(tiles, neighbors=Neighbors(above, none, np.arange(4), tiles.truth))
    alarms = galleries.draw(known, PostProcessing(0.5, 0, ("neighbor_empty",)))[1]
    assert alarms.tiles[0]["note"] == "; no mask with the final threshold and rules"
    assert galleries.draw(known, PostProcessing(0.5, 0))[1].tiles[0]["note"] == ""


def test_panels_show_image_probability_and_difference():
    image, truth = np.full((TILE, TILE), 90, np.uint8), np.zeros((TILE, TILE), np.uint8)
    mask = np.zeros((TILE, TILE), bool)
    truth[:20], mask[10:30] = 1, True
    png = tile_images.panels(image, truth, mask.astype(np.uint8) * 255, mask)
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    assert pixels.shape == (TILE, 3 * TILE + 8, 4)
    assert (pixels[:, :TILE, :3] == 90).all()
    assert (pixels[:, TILE : TILE + 4, 3] == 0).all()
    difference = pixels[:, -TILE:, :3]
    missed, hit, invented, rock = (difference[row, 50] for row in (5, 15, 25, 60))
    assert missed[0] > missed[2]  # orange
    assert invented[2] > invented[0]  # blue
    assert (hit == 90).all()
    assert (rock == 90).all()
    probability = pixels[:, TILE + 4 : -TILE - 4, :3]
    assert (probability[29, 50] == 255).all()  # border of the mask
    np.testing.assert_array_equal(probability[19, 50], tile_images._rgb(tile_images.MISSED))
