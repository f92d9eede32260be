"""One sentence for each kind of mistake, with what was given, what was expected and what to do."""

import math

import numpy as np
import pytest

from vae_notes import _check


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_whole_numbers(value):
    assert _check.whole("n", value) == value and type(_check.whole("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.bool_(True), np.float64(2)])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError) as error:
        _check.whole("n", value)
    assert str(error.value) == f"n={value!r} is not a whole number of at least 1: give one."


def test_both_ends_of_a_range():
    assert [_check.whole("n", n, 2, 4) for n in (2, 4)] == [2, 4]
    for outside in (1, 5):
        with pytest.raises(ValueError, match=f"n={outside} is not a whole number from 2 to 4"):
            _check.whole("n", outside, 2, 4)


@pytest.mark.parametrize(
    "bounds, inside, outside, span",
    [
        ({}, [-1e9, 0, np.float32(3)], [math.inf, math.nan, "1", None, True, 1j, [1]], ""),
        ({"least": 0}, [0, 1], [-1e-9], " of at least 0"),
        ({"above": 0}, [1e-9], [0, -1], " above 0"),
        ({"most": 1}, [1, -5], [1.1], " of at most 1"),
        ({"below": 1}, [0.99], [1], " below 1"),
        ({"least": 0, "below": 1}, [0, 0.5], [-0.1, 1], " of at least 0 and below 1"),
        ({"above": 0, "most": 1}, [0.5, 1], [0, 1.5], " above 0 and of at most 1"),
    ],
)
def test_numbers(bounds, inside, outside, span):
    for value in inside:
        assert _check.number("a", value, **bounds) == value
    for value in outside:
        with pytest.raises(ValueError) as error:
            _check.number("a", value, **bounds)
        assert str(error.value) == f"a={value!r} is not a finite number{span}: give one."


def test_sizes_look_into_sequences():
    _check.sizes(a=1, b=(2, 3), c=[])
    with pytest.raises(ValueError, match="b=0 is not a whole number"):
        _check.sizes(a=1, b=(2, 0))


def test_choices():
    _check.one_of("by", "step", ("epoch", "step"))
    with pytest.raises(ValueError, match=r"by='batch' is unknown: choose one of epoch, step\."):
        _check.one_of("by", "batch", ("epoch", "step"))


@pytest.mark.parametrize(
    "message, expected",
    [
        ("It broke. Ask somebody.", "It broke."),
        ("tf.function is old... Use another.", "tf.function is old... Use another."),
        (
            "\x1b[1mException encountered when calling Dense.call().\x1b[0m\n\nNo good. x",
            "No good.",
        ),
        ("cannot open /usr/lib/python3/x.npy now", "cannot open x.npy now"),
        ("<Layer at 0x7f01> failed", "<Layer> failed"),
        ("a" * 500, " ..."),
        ("", ""),
    ],
)
def test_first_sentences(message, expected):
    assert _check.first_sentence(message) == expected.strip()


def test_a_reason_stands_inside_a_sentence():
    assert _check.reason(OSError("no space left. Sorry.")) == "no space left"
    assert _check.reason(KeyboardInterrupt()) == "KeyboardInterrupt"
