import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from vae_notes import schedules

ramps = pytest.mark.parametrize(
    "shape", [schedules.linear, schedules.cosine, schedules.sigmoid], ids=lambda f: f.__name__
)


@pytest.mark.parametrize(
    "schedule, table",
    [
        (
            schedules.linear(40, 20),
            {0: 0, 39: 0, 40: 0, 41: 0.05, 50: 0.5, 59: 0.95, 60: 1, 499: 1},
        ),
        (schedules.linear(0, 10, stop=4), {0: 0, 2.5: 1, 10: 4, 11: 4}),
        (schedules.linear(5, 0), {4.99: 0, 5: 1, 6: 1}),
        (schedules.constant(0.3), {0: 0.3, 100: 0.3}),
        (schedules.cosine(10, 10), {10: 0, 15: 0.5, 20: 1, 30: 1}),
        (schedules.cosine(0, 3, stop=2), {1: 1 - math.cos(math.pi / 3), 3: 2}),
        (schedules.sigmoid(10, 10), {0: 0, 10: 0, 15: 0.5, 20: 1}),
        (schedules.cyclical(10), {0: 0, 2.5: 0.5, 5: 1, 9.9: 1, 10: 0, 12.5: 0.5}),
        (schedules.cyclical(4, ramp=1, stop=2), {0: 0, 2: 1, 4: 0}),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_table(schedule, table):
    for epoch, weight in table.items():
        assert schedule(epoch) == pytest.approx(weight, abs=1e-12)
    np.testing.assert_allclose(schedule(list(table)), list(table.values()), atol=1e-12)


@given(length=st.integers(1, 500))
def test_linear_reaches_one_exactly_on_time(length):
    """Adding 1/length in float32, as the post does, is an epoch late for 12, 19, 23, ..."""
    weights = schedules.linear(0, length)(np.arange(length + 2))
    assert weights[length] == 1.0
    assert weights[length - 1] < 1.0


@ramps
@given(
    start=st.floats(0, 100),
    length=st.just(0.0) | st.floats(0.01, 100),
    stop=st.floats(0, 10),
    e=st.floats(0, 300),
)
def test_ramps_rise_within_their_bounds(shape, start, length, stop, e):
    schedule = shape(start, length, stop)
    assert -1e-12 <= schedule(e) <= stop + 1e-12
    assert schedule(e) <= schedule(e + 1.0) + 1e-12
    if e < start:
        assert schedule(e) == 0
    if e >= start + length * (1 + 1e-9):
        assert schedule(e) == pytest.approx(stop)


@given(t=st.floats(0, 1))
def test_sigmoid_is_the_logistic_curve_cut_at_six(t):
    s = special.expit
    expected = (s(12 * t - 6) - s(-6)) / (s(6) - s(-6))
    assert schedules.sigmoid(0, 1)(t) == pytest.approx(expected, abs=1e-12)


@given(period=st.floats(0.5, 50), e=st.floats(0, 100))
def test_cyclical_repeats(period, e):
    schedule = schedules.cyclical(period)
    phase = math.fmod(e, period) / period
    if 1e-6 < phase < 1 - 1e-6:
        assert schedule(e) == pytest.approx(schedule(e + period), abs=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: schedules.linear(40, -20),
            "length=-20 is not a finite number of at least 0: give one",
        ),
        (lambda: schedules.cosine(-1, 20), "start=-1 is not a finite number of at least 0"),
        (lambda: schedules.sigmoid(0, math.inf), "length=inf is not a finite number"),
        (lambda: schedules.linear("40", 20), "start='40' is not a finite number"),
        (lambda: schedules.cyclical(0), "period=0 is not a finite number above 0"),
        (
            lambda: schedules.cyclical(5, ramp=1.5),
            "ramp=1.5 is not a finite number above 0 and of at most 1",
        ),
        (lambda: schedules.constant(-1), "value=-1 is not a finite number of at least 0"),
        (lambda: schedules.as_published(40, 0), "length=0 is not a whole number of at least 1"),
        (lambda: schedules.as_published(-1, 20), "start=-1 is not a whole number of at least 0"),
        (lambda: schedules.as_published(40, 2.5), "length=2.5 is not a whole number"),
        (lambda: schedules.as_published("40", 20), "start='40' is not a whole number"),
        (lambda: schedules.linear(0, 1)(-1), "epochs count from 0"),
        (lambda: schedules.as_published(40, 20)(-1), "epochs count from 0"),
        (lambda: schedules.linear(0, 1)(math.nan), "epochs count from 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def published(start, length, epochs, corrected=True):
    """The post's callback, acted out: the weight in force in each epoch, and the one printed."""
    weight, in_force, printed = np.float32(0), [], []
    for epoch in range(epochs):
        in_force.append(float(weight))
        if epoch > start:
            step = 1 / length if corrected else 1 / annealtime  # noqa: F821
            weight = np.minimum(weight + np.float32(step), np.float32(1))
        printed.append(float(weight))
    return in_force, printed


@given(start=st.integers(0, 60), length=st.integers(1, 120))
def test_as_published_is_what_the_callback_does(start, length):
    epochs = start + length + 10
    in_force, _ = published(start, length, epochs)
    assert schedules.as_published(start, length)(np.arange(epochs)).tolist() == in_force


def test_as_published_is_constant_within_an_epoch():
    schedule = schedules.as_published(40, 20)
    assert schedule(42.9) == schedule(42) < schedule(43)


def test_the_published_callback_is_an_epoch_late():
    epochs = np.arange(500)
    in_force, printed = published(40, 20, 500)
    assert np.count_nonzero(np.equal(in_force, 0)) == 42
    assert np.flatnonzero(in_force)[0] == 42
    assert in_force[42] == pytest.approx(0.05)
    assert in_force.index(1.0) == 61
    np.testing.assert_allclose(in_force, schedules.linear(41, 20)(epochs), atol=1e-6)
    assert printed[:-1] == in_force[1:]


def test_the_published_callback_fails_at_the_end_of_epoch_41():
    published(40, 20, 41, corrected=False)
    with pytest.raises(NameError, match="annealtime"):
        published(40, 20, 42, corrected=False)


def test_float32_additions_that_come_late():
    late = [
        length
        for length in range(1, 51)
        if schedules.as_published(0, length)(length + 1) < schedules.linear(1, length)(length + 1)
    ]
    assert late == [12, 19, 23, 27, 28, 31, 33, 37, 40, 41, 44, 46, 47, 48, 49, 50]
    for length in late:
        assert schedules.as_published(0, length)(length + 2) == 1.0


ONE_OF_EACH = [
    schedules.constant(0.3),
    schedules.linear(40, 20),
    schedules.cosine(1, 2, stop=3),
    schedules.sigmoid(1, 2),
    schedules.cyclical(4, ramp=0.25),
    schedules.as_published(40, 20),
]


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=str)
def test_schedules_print_compare_and_pickle(schedule):
    again = eval(repr(schedule), vars(schedules))
    unpickled = pickle.loads(pickle.dumps(schedule))
    assert again == unpickled == schedule and len({again, unpickled, schedule}) == 1
    assert again(1.5) == unpickled(1.5) == schedule(1.5)
    assert sum(schedule == other for other in ONE_OF_EACH) == 1
    with pytest.raises(FrozenInstanceError):
        schedule.start = 3


def test_schedules_of_other_shapes_or_numbers_differ():
    assert schedules.linear(1, 2) != schedules.cosine(1, 2)
    assert schedules.linear(1, 2) != schedules.linear(1, 3)
