"""Run-length encoding, compared with a literal reading of the competition's rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.config import UserError
from pipeline.data import rle
from pipeline.scoring import chunks

PROPERTY = settings(deadline=None, max_examples=60)
MASKS = hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(lambda shape: hnp.arrays(bool, shape))


def literal_encode(mask: np.ndarray) -> str:
    """Walk the pixels top to bottom, then left to right, counting from one."""
    runs: list[list[int]] = []
    pixel = 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            pixel += 1
            if not mask[row, column]:
                continue
            if runs and sum(runs[-1]) == pixel:
                runs[-1][1] += 1
            else:
                runs.append([pixel, 1])
    return " ".join(f"{start} {length}" for start, length in runs)


def literal_decode(text: str, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    numbers = [int(token) for token in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            mask[(pixel - 1) % height, (pixel - 1) // height] = 1
    return mask


@PROPERTY
@given(MASKS)
def test_encode_is_the_literal_reading(masks: np.ndarray) -> None:
    assert rle.encode(masks) == [literal_encode(mask) for mask in masks]


@PROPERTY
@given(MASKS)
def test_decode_undoes_encode(masks: np.ndarray) -> None:
    back = rle.decode(rle.encode(masks), *masks.shape[1:])
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, masks)


@PROPERTY
@given(MASKS)
def test_decode_is_the_literal_reading(masks: np.ndarray) -> None:
    texts = [literal_encode(mask) for mask in masks]
    expected = [literal_decode(text, *masks.shape[1:]) for text in texts]
    np.testing.assert_array_equal(rle.decode(texts, *masks.shape[1:]), expected)


def test_runs_do_not_merge_at_tile_borders() -> None:
    masks = np.zeros((3, 4, 3), bool)
    masks[0, -1, -1] = masks[1, 0, 0] = True
    masks[2] = True
    texts = rle.encode(masks)
    assert texts == ["12 1", "1 1", "1 12"]
    np.testing.assert_array_equal(rle.decode(texts, 4, 3), masks)


def test_runs_go_down_columns_and_on_at_the_top_of_the_next() -> None:
    mask = np.zeros((1, 3, 4), bool)
    mask[0, 2, 1] = mask[0, 0, 2] = True
    assert rle.encode(mask) == ["6 2"]


def test_many_tiles_of_the_competition_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((7, 101, 101)) < rng.random((7, 101, 1))
    masks[3] = False
    monkeypatch.setattr(chunks, "CHUNK", 2)
    texts = rle.encode(masks)
    assert texts == [literal_encode(mask) for mask in masks]
    np.testing.assert_array_equal(rle.decode(texts), masks)


@pytest.mark.parametrize(
    ("values", "dtype"), [([0, 1, 255], np.uint8), ([0, 1, 65535], np.uint16), ([0, -1, 256], int)]
)
def test_every_value_but_zero_is_salt(values: list[int], dtype: type) -> None:
    assert rle.encode(np.array(values, dtype).reshape(1, 3, 1)) == ["2 2"]


def test_encode_leaves_its_input_alone_and_takes_read_only_views() -> None:
    masks = np.arange(24).reshape(2, 4, 3).transpose(0, 2, 1) % 3 == 0
    before = masks.copy()
    masks.flags.writeable = False
    assert rle.encode(masks) == [literal_encode(mask) for mask in before]


def test_no_tiles() -> None:
    assert rle.encode(np.zeros((0, 101, 101), bool)) == []
    assert rle.decode([]).shape == (0, 101, 101)


def test_encode_refuses_a_single_mask() -> None:
    with pytest.raises(ValueError, match=r"\(101, 101\)"):
        rle.encode(np.zeros((101, 101), bool))


@pytest.mark.parametrize("text", ["", None, float("nan"), np.float64("nan"), " "])
def test_nothing_is_an_empty_mask(text: str | float | None) -> None:
    assert rle.check(text, 2, 2) is None
    masks = rle.decode(["1 4", text, "4 1"], 2, 2)
    assert masks.sum(axis=(1, 2)).tolist() == [4, 0, 1]


def test_touching_runs_and_spare_spaces_are_read() -> None:
    assert rle.check(" 1 2  3 1 ", 2, 2) is None
    np.testing.assert_array_equal(rle.decode([" 1 2  3 1 ", "4 1"], 2, 2), [[[1, 1], [1, 0]], [[0, 0], [0, 1]]])


MALFORMED = {
    "1": "a start without a length",
    "1 2 3": "odd count of numbers (3)",
    "1 x": "'x' is not a whole number",
    "1 2.0": "'2.0' is not a whole number",
    "1e0 1": "not a whole number",
    "+1 2": "not a whole number",
    "01 2": "not a whole number",
    "1_0 2": "not a whole number",
    "1,2": "not a whole number",
    "1\t2": "not a whole number",
    "1 2\n3 1": "not a whole number",
    "1 2\n": "not a whole number",
    "\n": "not a whole number",
    "1 2\r": "not a whole number",
    "1 2\x00": "not a whole number",
    "nan": "not a whole number",
    "\u0661 1": "not a whole number",  # an Arabic-Indic one, which int() reads
    "1\u00a02": "not a whole number",
    "1 2\u2028": "not a whole number",
    "\ud800 1": "not a whole number",  # half a surrogate pair, which no encoding takes
    "\U0001d7cf 2": "not a whole number",
    "0 1": "'0' is not positive",
    "1 0": "'0' is not positive",
    "-1 2": "'-1' is not positive",
    "1 -2": "'-2' is not positive",
    "3 1 1 1": "sorted",
    "1 2 2 1": "overlap",
    "1 1 1 1": "overlap",
    "1 13": "leaves the tile",
    "13 1": "leaves the tile",
    "12 2": "leaves the tile",
    "1 99999999999999999999": "leaves the tile",
    "18446744073709551617 1": "leaves the tile",
    "1 " + "9" * 5000: "leaves the tile",
}


@pytest.mark.parametrize(("text", "reason"), MALFORMED.items(), ids=range(len(MALFORMED)))
def test_malformed_texts_are_refused(text: str, reason: str) -> None:
    error = rle.check(text, 4, 3)
    assert error is not None
    assert reason in error
    for texts, row in (([text], 0), (["1 12", "", text, "x"], 2)):
        with pytest.raises(UserError) as caught:
            rle.decode(texts, 4, 3)
        message = str(caught.value)
        assert f"row {row}: " in message
        assert reason in message
        assert message.isascii()
        assert message.isprintable()
        assert len(message) < 200


@pytest.mark.parametrize("value", [3, 1.5, b"1 1", ["1 1"]])
def test_other_types_are_refused(value: object) -> None:
    assert "not a text" in str(rle.check(value, 4, 3))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"row 1: .* not a text"):
        rle.decode(["1 1", value], 4, 3)  # type: ignore[list-item]


def test_an_error_names_the_tile() -> None:
    with pytest.raises(UserError, match="tile b2: '0' is not positive"):
        rle.decode(["1 1", "0 1"], 4, 3, names=["a1", "b2"])


def test_numbers_of_one_row_do_not_pair_with_those_of_the_next() -> None:
    with pytest.raises(UserError, match="row 0: it has an odd count"):
        rle.decode(["1", "1"], 4, 3)


@PROPERTY
@given(
    st.lists(
        st.one_of(
            st.text(alphabet="0123 -\n\u0663x", max_size=8),
            st.lists(st.integers(-1, 14).map(str), max_size=6).map(" ".join),
            st.text(max_size=3),
        ),
        max_size=3,
    )
)
@example(["1 2", "\n", "3 4"])
def test_decode_accepts_what_check_accepts_and_nothing_else(texts: list[str]) -> None:
    errors = [error for text in texts if (error := rle.check(text, 4, 3))]
    if errors:
        with pytest.raises(UserError) as caught:
            rle.decode(texts, 4, 3)
        assert f": {errors[0]}; " in str(caught.value)
    else:
        expected = np.array([literal_decode(text, 4, 3) for text in texts]).reshape(-1, 4, 3)
        np.testing.assert_array_equal(rle.decode(texts, 4, 3), expected)
