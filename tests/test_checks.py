"""Every number by which a check decides, from either side.

A case is a function of a knob that gives what was measured; at the first value of the knob the
check finds nothing, at the second it does. Most state the compared numbers themselves, in place of
those of a healthy linear VAE, so that nothing else is near an edge.
"""

import dataclasses
import functools
import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from vae_notes import Objective, checks, data, diagnose, theory
from vae_notes._measured import Measured
from vae_notes.checks import CHECKS, GRAVE, NOTE
from vae_notes.diagnosis import Report

NAMED = {of.name: of for of in CHECKS}
GAUSSIAN, BERNOULLI = Objective(), Objective(likelihood="bernoulli")  # noise variance 1/2; none
FIELDS = {of.name for of in dataclasses.fields(Measured)}
ROWS = 600
SIGNS = np.resize([1.0, -1.0], ROWS)


@functools.cache
def healthy():
    """The best linear VAE of Gaussian data, 5 values and 3 units, a measured one."""
    x = data.linear_gaussian([4.0, 2.0, 1.0, 0.2, 0.1], count=ROWS, seed=0).astype(float)
    best = theory.optimal_parameters(x, 3, 0.5)

    def encode(x):
        z_mean = x @ best.encoder_weights + best.encoder_bias
        return z_mean, np.broadcast_to(best.z_log_var, z_mean.shape)

    decode = lambda z: z @ best.decoder_weights + best.decoder_bias  # noqa: E731
    return diagnose(encode, x, decode, GAUSSIAN).measured


def stated(**known):
    """The healthy model with other numbers, also in place of what is computed from them."""
    seen = replace(healthy(), **{k: v for k, v in known.items() if k in FIELDS})
    vars(seen).update({k: v for k, v in known.items() if k not in FIELDS})
    return seen


def decoded(**known):
    return replace(healthy().decoded, **known)


@dataclass(frozen=True)
class Pin:
    name: str
    build: Any
    outside: Any
    inside: Any
    says: Any = None  # what of the evidence is the knob, where that is held against the threshold
    words: str = ""  # found on both sides, and this is said inside only

    def __str__(self):
        return f"{self.build.__name__} {self.outside} {self.inside}"


PINS = []


def pin(name, *sides, says=None, words=""):
    def add(build):
        PINS.extend(Pin(name, build, *side, says, words) for side in sides)
        return build

    return add


def number(finding, says):
    return finding.evidence[says] if isinstance(says, str) else says(finding.evidence)


# The bound


@pin("impossible bound", (0.0, 0.01), says="largest elbo")
def a_log_probability(most):
    return stated(objective=BERNOULLI, elbo=np.array([-3.0, most, -1.0]))


@pin("impossible bound", (GAUSSIAN, BERNOULLI))
def a_log_density_may_exceed_0(objective):
    return stated(objective=objective, elbo=np.full(ROWS, 5.0))


@pin("impossible bound", (0.9e-6, 1.1e-6), says=lambda evidence: -evidence["kl"])
def a_kl_in_the_history(below):
    return stated(history={"kl": np.array([3.0, -below, 2.0])})


@pin("impossible bound", ("loss", "kl"), ("kl_weight", "kl_loss"), ("val_loss", "val_kl"))
def only_of_the_kl(name):
    return stated(history={name: np.array([3.0, np.nan, -40.0])})


@pin("no number", (0.0, 0.01), says="share of rows")
def infinite_rows(share):
    return stated(elbo=np.where(np.arange(ROWS) < share * ROWS, -np.inf, -4.0))


@pin("no number", (-1e300, math.nan), (0.0, math.inf))
def one_row(value):
    return stated(elbo=np.array([-4.0, value, -4.0]))


SCALE = 7.0  # nats of error without a code, where stated


@pin(
    "worse than no code", (0.0019, 0.0021), says=lambda of: -of["gain"] / of["error without a code"]
)
def share_of_the_error_lost(share):
    return stated(gain=(-share * SCALE, 0.0), error_without_code=SCALE)


@pin("worse than no code", (3.9, 4.1))
def loss_in_standard_errors(errors):
    return stated(gain=(-errors * 0.5, 0.5), error_without_code=SCALE)


@pin("worse than no code", (0.019, 0.021))
def a_collapsed_one_is_called_that(carried):
    return stated(
        gain=(-0.05 * SCALE, 0.0),
        error_without_code=SCALE,
        carried=carried,
        kl_per_unit=np.ones(1) / 2,
    )


@pin("worse than no code", (1, 0), (None, 0), words="has not made a single step")
def without_a_step(steps):
    return stated(gain=(-SCALE, 0.0), error_without_code=SCALE, steps=steps)


def below_a_linear_one(gain, linear_gain, shortfall, **known):
    return stated(gain=(gain, 0.0), linear_gain=(linear_gain, 0.0), shortfall=shortfall, **known)


@pin("far below a linear VAE", (0.71, 0.69), says=lambda of: of["gain"] / of["linear gain"])
def share_of_the_linear_gain(share):
    return below_a_linear_one(share * 5, 5.0, (2.0, 0.0))


@pin("far below a linear VAE", (0.095, 0.105))
def nats_below_a_linear_one(nats):
    return below_a_linear_one(1.0, 5.0, (nats, 0.0))


@pin("far below a linear VAE", (3.9, 4.1))
def errors_below_a_linear_one(errors):
    return below_a_linear_one(1.0, 5.0, (errors * 0.5, 0.5))


@pin("far below a linear VAE", (0.019, 0.021))
def far_below_but_collapsed(carried):
    return below_a_linear_one(0.0, 5.0, (5.0, 0.0), carried=carried, kl_per_unit=np.zeros(3))


@pin("below a linear VAE", (0.0, 0.1), says="shortfall")
def nats_lost(lost):
    return stated(shortfall=(lost, 0.0))


@pin("below a linear VAE", (2.9, 3.1))
def nats_lost_in_errors(errors):
    return stated(shortfall=(errors * 0.5, 0.5))


# Collapse

ASKED = "collapsed because the objective asked for it"
LOCAL = "collapsed into a local optimum"
NOT_ASKED = "collapsed although the objective did not ask for it"
UNKNOWN = "collapsed, cause unknown"
TESTS = {
    ASKED: theory.CollapseTest(0.25, 0.5, False, 0.0, 0.0),
    LOCAL: theory.CollapseTest(0.25, 0.5, False, 0.2, 0.01),
    NOT_ASKED: theory.CollapseTest(2.0, 0.5, False, 0.2, 0.01),
    UNKNOWN: theory.CollapseTest(2.0, 0.5, False, 0.2, 0.01),
}
SHOWN = {UNKNOWN: dict(decoded=None, explains=0.0)}


def empty(name, **known):
    """A collapsed model of that kind."""
    settings = dict(carried=0.001, gain=(0.0, 0.1), error_without_code=SCALE)
    settings |= dict(global_test=TESTS[name], kl_per_unit=np.zeros(3), linear_gain=(0.4, 0.1))
    return stated(**settings | SHOWN.get(name, {}) | known)


for _kind in TESTS:

    @pin(_kind, (0.021, 0.019), says="nats carried")
    def nats_carried(carried, kind=_kind):
        return empty(kind, carried=carried)

    @pin(_kind, (1.01, 0.99))
    def nats_paid(kl, kind=_kind):
        return empty(kind, kl_per_unit=np.full(3, kl / 3))

    @pin(_kind, (0.11, 0.09))
    def that_has_learnt_the_rest(lost, kind=_kind):
        return empty(kind, gain=(-lost * SCALE, 0.0))

    @pin(_kind, *((other, _kind) for other in TESTS if other != _kind))
    def one_cause(kind):
        return empty(kind)


@pin(UNKNOWN, (GAUSSIAN, None), words="without the objective")
def whether_there_is_one(objective):
    return empty(UNKNOWN, objective=objective)


@pin(UNKNOWN, (None, GAUSSIAN), words="more than the noise variance 0.5")
@pin(UNKNOWN, (None, BERNOULLI), words="more than the beta 1,")
def what_it_exceeds(objective):
    return empty(UNKNOWN, objective=objective)


@pin(ASKED, (BERNOULLI, GAUSSIAN), words="a noise variance of 0.5")
@pin(ASKED, (GAUSSIAN, BERNOULLI), words="a KL term with the weight beta = 1,")
def its_price(objective):
    return empty(ASKED, objective=objective)


@pin(ASKED, (False, True), words="for these data the best there is")
@pin(ASKED, (True, False), words="as far as a search can tell")
def whether_it_is_proven(proven):
    return empty(ASKED, global_test=replace(TESTS[ASKED], proven=proven))


@pin(ASKED, (0.0, 0.25), words="by well over 2,")
def how_much_less(largest):
    return empty(ASKED, global_test=replace(TESTS[ASKED], largest_eigenvalue=largest))


@pin(NOT_ASKED, (None, (0.4, 0.1)), words="A linear VAE is 0.4 nats better")
def what_a_linear_one_gains(linear_gain):
    return empty(NOT_ASKED, linear_gain=linear_gain)


def with_nats(share, gain, shortfall=(2.0, 0.0), **known):
    nats = share * healthy().predicted.kl
    kl_per_unit = np.full(3, nats / 3)
    return below_a_linear_one(gain, 5.0, shortfall, kl_per_unit=kl_per_unit, **known)


@pin("partly collapsed", (0.61, 0.59), says=lambda of: of["nats"] / of["linear nats"])
def share_of_its_nats(share):
    return with_nats(share, gain=2.0)


@pin("partly collapsed", (0.91, 0.89), (-0.001, 0.0))
def share_of_its_gain(share):
    return with_nats(0.5, gain=share * 5)


@pin("partly collapsed", (2.9, 3.1))
def nats_it_lost_in_errors(errors):
    return with_nats(0.5, gain=2.0, shortfall=(errors * 0.5, 0.5))


@pin("partly collapsed", (0.019, 0.021))
def not_wholly(carried):
    return with_nats(0.1, gain=2.0, carried=carried)


# The decoder


def columns(*parts):
    """Rows that are all alike, 100 columns: pairs of a count and a value."""
    row = np.concatenate([np.full(count, value, float) for count, value in parts])
    assert len(row) == 100
    return np.tile(row, (10, 1))


def decoding(x, output, objective, **known):
    return stated(x=x, decoded=decoded(output=output, **known), objective=objective)


@pin("probabilities where logits are wanted", (0.011, 0.009),
     says="share of outputs out of [0, 1]")  # fmt: skip
def outputs_beyond_0_and_1(share):
    output = np.full((10, 100), 0.7).ravel()
    output[: round(share * 1000)] = 1.2
    return decoding(columns((100, 0.2)), output.reshape(10, 100), BERNOULLI)


@pin("probabilities where logits are wanted", ((-0.01, 1), (0.01, 0.99)), ((0, 1.01), (0, 0.99)))
def the_range_of_probabilities(ends):
    return decoding(columns((100, 0.2)), columns((50, ends[0]), (50, ends[1])), BERNOULLI)


@pin("probabilities where logits are wanted", (4, 6))
def columns_that_want_other_logits(count):
    return decoding(columns((count, 0.2), (100 - count, 0.6)), columns((100, 0.5)), BERNOULLI)


@pin("probabilities where logits are wanted", (0.51, 0.49), (0.72, 0.74))
def means_that_want_other_logits(mean):
    return decoding(columns((100, mean)), columns((100, 0.5)), BERNOULLI)


@pin("probabilities where logits are wanted", (0.9, 0.2), words="nats better")
def which_is_better(output):
    return decoding(columns((100, 0.2)), columns((100, output)), BERNOULLI)


@pin(
    "probabilities where logits are wanted", ((0.0, 0.0), (0.0, 1.0)), words="are 37.7 nats better"
)
@pin(
    "probabilities where logits are wanted", ((0.0, 1.0), (0.0, 0.0)), words="are 53.2 nats better"
)
def how_much_better(
    outputs,
):  # a row of one 1 and zeros, and none of the outputs is surer than 1e-7
    x = columns((1, 1), (99, 0))
    return decoding(x, columns((1, outputs[0]), (1, outputs[1]), (98, 0)), BERNOULLI)


@pin("logits where means are wanted", (0.51, 0.49), says="ratio of errors")
def ratio_of_errors(ratio):
    # a column of 1 with 1.6, and so many of 0, each of which adds 1/4 to the error by a sigmoid
    zeros = (ratio * 0.6**2 - (1 - expit(1.6)) ** 2) / 0.25
    count = round(10_000 * zeros / (1 + zeros))
    x = np.repeat([[0.0, 1.0]], [count, 10_000 - count], axis=1)
    return decoding(x, 1.6 * x, GAUSSIAN)


@pin("logits where means are wanted", (19, 21))
def outputs_far_out(count):
    return decoding(columns((100, 1)), columns((count, 1.6), (100 - count, 1.4)), GAUSSIAN)


@pin(
    "logits where means are wanted", ((-0.45, 1.45), (-0.55, 1.45)), ((-0.45, 1.45), (-0.45, 1.55))
)
def how_far_out(ends):
    x, output = columns((25, 0), (75, 1)), columns((25, ends[0]), (75, ends[1]))
    return decoding(x, output, GAUSSIAN)


@pin("logits where means are wanted", (-0.01, 0.0), (1.01, 1.0))
def data_in_0_and_1(value):
    return decoding(columns((1, value), (99, 1)), columns((100, 1.6)), GAUSSIAN)


@pin("logits where means are wanted", (BERNOULLI, GAUSSIAN))
def where_means_are_wanted(objective):
    return decoding(columns((100, 1)), columns((100, 1.6)), objective)


@pin("data out of the decoder's reach", (BERNOULLI, GAUSSIAN))
def where_an_output_is_a_mean(objective):
    return replace(share_below_a_relu(0.5), objective=objective)


def end_of_a_decoder(x, far, output=None):
    """One column; of the outputs far out a tenth is at every given value."""
    x, far = np.asarray(x, float)[:, None], np.asarray(far, float)[:, None]
    output = far if output is None else np.asarray(output, float)[:, None]
    return stated(x=x, decoded=decoded(output=output, far=far))


def rows_of_which(share, low):
    """Half of the rows at one value, half 1 above: so much of their variance is below ``low``."""
    least = low - math.sqrt(share / 2)
    return np.resize([least, least + 1], 100)


@pin("data out of the decoder's reach", (0.019, 0.021), says="share out of reach")
def share_below_a_relu(share):
    return end_of_a_decoder(rows_of_which(share, 0.0), np.linspace(-4, 9, 101).clip(0))


@pin("data out of the decoder's reach", (0.019, 0.021), says="share out of reach")
def share_below_a_tanh(share):
    return end_of_a_decoder(rows_of_which(share, -1.0), np.tanh(np.linspace(-9, 9, 101)))


@pin("data out of the decoder's reach", (0.019, 0.021), says="share out of reach")
def share_above_a_sigmoid(share):
    return end_of_a_decoder(1 - rows_of_which(share, 0.0), expit(np.linspace(-9, 9, 101)))


@pin("data out of the decoder's reach", (0.019, 0.021), says="share out of reach")
def share_above_a_tanh(share):
    return end_of_a_decoder(-rows_of_which(share, -1.0), np.tanh(np.linspace(-9, 9, 101)))


@pin("data out of the decoder's reach", (1.1e-6, 0.9e-6))
def outputs_below_0(below):
    far = np.linspace(-4, 9, 101).clip(-below)
    return end_of_a_decoder(rows_of_which(0.5, 0.0), far)


@pin("data out of the decoder's reach", (1.1e-6, 0.9e-6))
def outputs_above_1(above):
    return end_of_a_decoder(1 - rows_of_which(0.1, 0.0), np.linspace(-4, 9, 101).clip(0, 1 + above))


@pin("data out of the decoder's reach", (1.1e-6, 0.9e-6))
def outputs_beyond_1_either_way(beyond):
    far = np.linspace(-4, 9, 101).clip(-1 - beyond, 1 + beyond)
    return end_of_a_decoder(rows_of_which(0.1, -1.0), far)


@pin("data out of the decoder's reach", (-0.1, 0.0))
def near_outputs_count_too(least):
    far = np.linspace(-4, 9, 101).clip(0)
    return end_of_a_decoder(rows_of_which(0.5, 0.0), far, output=np.linspace(least, 1, 100))


@pin("data out of the decoder's reach", (0.021, 0.019))
def what_is_piled_up_at_0(value):
    return end_of_a_decoder(rows_of_which(0.5, 0.0), [value] * 20 + [5.0] * 80)


@pin("data out of the decoder's reach", (0.021, 0.019))
def what_is_piled_up_at_1(value):
    return end_of_a_decoder(1 - rows_of_which(0.1, 0.0), [1 - value] * 20 + [0.5] * 80)


@pin("data out of the decoder's reach", (9, 11))
def how_much_is_piled_up(count):
    return end_of_a_decoder(rows_of_which(0.5, 0.0), [0.0] * count + [5.0] * (100 - count))


@pin("data out of the decoder's reach", (0.009, 0.011))
def a_decoder_that_moves(most):
    return end_of_a_decoder(rows_of_which(0.5, 0.0), np.linspace(0, most, 100))


@pin("data out of the decoder's reach", ([9.0, 1.0], [9.0, 9.0]), words="ReLU")
@pin("data out of the decoder's reach", ([9.0, 9.0], [9.0, 1.0]), words="sigmoid")
def which_activation(highest):
    x = np.resize([-2.0, 3.0], 100)
    return end_of_a_decoder(
        np.abs(x) if highest[1] == 1 else x, np.linspace(-4, 9, 101).clip(0, highest[1])
    )


@pin("data out of the decoder's reach", (-0.2, 0.0), words="sigmoid")
def which_of_two_activations(least):
    return end_of_a_decoder(1 - rows_of_which(0.1, 0.0), np.linspace(-4, 9, 101).clip(least, 1))


def listening(change, output=0.0, x=None, **known):
    error = np.ones(ROWS)
    found = decoded(
        error=error, error_permuted=error + change, output=np.outer(SIGNS, np.ones(5)) * output
    )
    return stated(decoded=found, x=healthy().x if x is None else x, **known)


@pin("the decoder ignores the code", (0.0011, 0.0009), says="change of the error")
@pin("the decoder ignores the code", (-0.0011, -0.0009))
def change_of_the_error(change):
    return listening(change)


@pin("the decoder ignores the code", (0.095, 0.105))
def a_code_to_ignore(carried):
    return listening(0.0, carried=carried)


@pin("the decoder ignores the code", (1.05e-3, 0.95e-3))
def outputs_that_move(share):
    return listening(0.0, output=share * np.ptp(healthy().x) / 2)


@pin("the decoder ignores the code", (1.05e-3, 0.95e-3))
def outputs_that_move_of_constant_data(range_):
    return listening(0.0, output=range_ / 2, x=np.full((ROWS, 5), 3.0))


def error_worth(nats):
    """The error of a row of 5 values with a log-likelihood of so many nats at variance 1/2."""
    return -np.asarray(nats) - 2.5 * math.log(math.pi)


def seeing(nats, scale=SCALE, deviation=0.0, **known):
    """Of permuted codes; the deviation is that of the rows around the mean, by their error."""
    spread = SIGNS * deviation * math.sqrt(ROWS - 1)
    found = decoded(error_permuted=error_worth(nats + spread))
    return stated(**dict(decoded=found, baseline=np.zeros(ROWS), error_without_code=scale) | known)


@pin("the decoder sees more than the code", (0.19, 0.21), says="share explained")
def share_that_needs_no_code(share):
    return seeing(share * SCALE)


@pin("the decoder sees more than the code", (3.9, 4.1))
def explained_in_standard_errors(errors):
    return seeing(0.5 * SCALE, deviation=0.5 * SCALE / errors)


@pin("the decoder sees more than the code", (0.0, SCALE))
def an_error_to_explain(scale):
    return seeing(5.0, scale=scale)


@pin("the decoder sees more than the code", (0.021, 0.019))
def with_a_single_sample(carried):
    found = decoded(error=error_worth(np.full(ROWS, 5.0)), error_permuted=None)
    return seeing(0.0, decoded=found, carried=carried)


def noise(rows, columns):
    return np.random.default_rng(0).standard_normal((rows, columns))


@pin("the decoder sees more than the code", (0.9, 1.1), words="no direction worth a code")
def what_it_leaves(noise_variance):
    rest = noise(ROWS, 5) * [2, 1, 1, 1, 1]
    rest *= np.sqrt(1 / theory.spectrum(rest)[0])
    found = decoded(output=healthy().x - rest, error_permuted=-np.ones(ROWS) * 1e3)
    objective = Objective.for_noise_variance(noise_variance)
    return seeing(0.0, decoded=found, objective=objective)


@pin("the decoder sees more than the code", (205, 195), words="no direction worth a code")
def what_it_leaves_of_few_rows(rows):
    """Of 20 values: their largest variance is about 1.6 by chance, and 1 on other rows."""
    x = noise(rows, 20)
    found = decoded(output=0 * x, error_permuted=-np.ones(rows) * 1e3)
    objective = Objective.for_noise_variance(1.25)
    return seeing(0.0, decoded=found, baseline=np.zeros(rows), x=x, objective=objective)


def sampling(ratio, gain=(5.0, 0.0)):
    output = np.outer(SIGNS, np.ones(5))
    found = decoded(output=output, prior=math.sqrt(ratio) * output)
    return stated(decoded=found, gain=gain, error_without_code=SCALE)


@pin("good reconstructions, bad samples", (2.9, 3.1), (1 / 2.9, 1 / 3.1), says="ratio of spreads")
def ratio_of_spreads(ratio):
    return sampling(ratio)


@pin("good reconstructions, bad samples", (0.09, 0.11))
def reconstructions_that_are_good(share):
    return sampling(9.0, gain=(share * SCALE, 0.0))


@pin("good reconstructions, bad samples", (3.9, 4.1))
def surely_good(errors):
    return sampling(9.0, gain=(errors * 0.5, 0.5))


# The posterior


def posterior(variance, spread, **known):
    """One unit: so much variance of its mean, and of the posteriors."""
    z_mean, z_log_var = np.broadcast_arrays(
        np.sqrt(np.atleast_1d(variance)) * SIGNS[:, None], np.log(spread)
    )
    return stated(**dict(z_mean=z_mean, z_log_var=z_log_var, decoded=None) | known)


CHANCE = math.sqrt(2 / ROWS)


def log_sigma(found, left):
    """Where the second moment is e^found if read as it was given, and e^left as log sigma."""
    sigma = (1 - math.sqrt(1 - 4 * (math.exp(found) - math.exp(left)))) / 2
    return posterior(math.exp(left) - sigma**2, sigma)


@pin("log-variance is not one", (0.118 + CHANCE, 0.122 + CHANCE), says="mean abs(ln E z^2)")
def second_moments_off(found):
    return log_sigma(found, 0.0)


@pin("log-variance is not one", (0.092 + CHANCE, 0.088 + CHANCE))
def what_is_left(left):
    return log_sigma(0.33, left)


@pin("log-variance is not one", (0.105, 0.095))
def what_is_left_of_little(left):
    return log_sigma(0.2, left)


@pin("log-variance is not one", (0.26, 0.24))
def what_is_left_of_widths_beyond_the_prior(left):
    return posterior(math.exp(left) - 0.3**2, math.exp(0.3))  # sigma is 0.3


@pin("log-variance is not one", (1.55, 1.65))
def the_price_that_tells(price):
    seen = log_sigma(0.31, 0.15)
    due = (1 - float(np.exp(seen.z_log_var).mean())) / 2
    added = dict(error=1 + np.full(ROWS, price * due), error_at_mean=np.ones(ROWS))
    found = decoded(**added, error_as_log_sigma=np.ones(ROWS))
    return stated(z_mean=seen.z_mean, z_log_var=seen.z_log_var, decoded=found)


@pin("log-variance is not one", ("log sigma", "sigma"), words="read as sigma they")
@pin("log-variance is not one", ("sigma", "sigma^2"), words="read as sigma^2 they")
@pin("log-variance is not one", ("sigma", "log sigma"), words="read as log sigma they")
def which_it_is(reading):
    given = {"log sigma": 0.5, "sigma": math.exp(0.3), "sigma^2": math.exp(0.3**2)}
    return posterior(1 - 0.3**2 if reading != "log sigma" else 0.75, given[reading])


def by_width(as_given, as_log_sigma, left=0.0):
    """Prices of the widths, over those of an optimum, with widths too small for second moments."""
    sigma = 0.1
    prices = as_given * (1 - sigma) / 2, as_log_sigma * (1 - sigma**2) / 2
    error, error_as_log_sigma = (1 + np.full(ROWS, price) for price in prices)
    found = decoded(error=error, error_as_log_sigma=error_as_log_sigma, error_at_mean=np.ones(ROWS))
    return posterior(math.exp(left) - sigma**2, sigma, decoded=found)


@pin("log-variance is not one", (1.55, 1.65))
def price_as_given(price):
    return by_width(price, 1.0)


@pin("log-variance is not one", (0.86, 0.88), (1.16, 1.14))
def price_as_log_sigma(price):
    return by_width(2.0, price)


@pin("log-variance is not one", (-0.12, -0.10))
def second_moments_as_log_sigma(left):
    """Not where reading it as log sigma leads away from 1 by more than 0.02."""
    moment = math.exp(-0.09)  # as given
    sigma = (1 - math.sqrt(1 - 4 * (moment - math.exp(left)))) / 2
    prices = 2.0 * (1 - sigma) / 2, (1 - sigma**2) / 2
    error, error_as_log_sigma = (1 + np.full(ROWS, price) for price in prices)
    found = decoded(error=error, error_as_log_sigma=error_as_log_sigma, error_at_mean=np.ones(ROWS))
    return posterior(moment - sigma, sigma, decoded=found)


@pin("far from the prior", (255.0, 1.0))
def bytes_of_which_no_decoder_is_known(scale):
    x = scale * np.random.default_rng(0).random((ROWS, 5)).round(2 if scale == 1 else 3)
    x[0] = scale
    return posterior(9.0, 0.5, x=x)


@pin("a head that cannot be negative", (-0.01, 0.0), says="least z_mean")
def least_mean(least):
    return posterior(1.0, 0.5, z_mean=np.linspace(least, 3, ROWS)[:, None])


@pin("a head that cannot be negative", (-0.01, 0.0), says="least z_log_var")
def least_log_variance(least):
    return posterior(1.0, 0.5, z_log_var=np.linspace(least, 3, ROWS)[:, None])


@pin("a head that cannot be negative", (19, 20))
def values_of_one_unit(rows):
    return posterior(1.0, 0.5, z_mean=np.linspace(0, 3, rows)[:, None])


@pin("a head that cannot be negative", (9, 10))
def values_of_two_units(rows):
    still = np.ones((rows, 1))
    moving = np.linspace(0, 3, rows)[:, None]
    return posterior(1.0, 0.5, z_mean=np.hstack([moving, still, moving]))


@pin("a head that cannot be negative", (0.9e-6, 1.1e-6))
def a_unit_that_moves(deviation):
    return posterior(1.0, 0.5, z_mean=1 + deviation * SIGNS[:, None])


@pin("a head that cannot be negative", ("z_log_var", "z_mean"), words="half of the prior")
def which_head(name):
    return posterior(1.0, 0.5, **{name: np.linspace(0, 3, ROWS)[:, None]})


def noiseless(added=2.0, log_var=0.0, explains=0.5):
    ones = np.ones(ROWS)
    found = decoded(error=added * ones, error_at_mean=ones)
    return posterior([3.0, 3.0], np.exp([0.0, log_var]), decoded=found, explains=explains)


@pin("trained without noise", (1.19, 1.21), says="error of a sample over that of the mean")
def error_that_noise_adds(added):
    return noiseless(added)


@pin("trained without noise", (0.21, 0.19), (-0.21, -0.19))
def widths_of_the_prior(log_var):
    return noiseless(log_var=log_var)


@pin("trained without noise", (0.095, 0.105))
def a_mean_that_explains(share):
    return noiseless(explains=share)


@pin("far from the prior", (0.69, 0.71), says="mean abs(ln E z^2)")
@pin("far from the prior", (-0.69, -0.71), says=lambda of: math.log(of["largest second moment"]))
def logarithm_of_a_second_moment(logarithm):
    return posterior(math.exp(logarithm) - 0.1, 0.1)


@pin("far from the prior", (1.3, 1.5))
def mean_logarithm_of_two(logarithm):
    return posterior([math.exp(logarithm) - 0.1, 0.9], 0.1)


@pin("far from the prior", (0.048, 0.052))
def a_busy_unit(variance):
    return posterior(variance, 0.01)


@pin("far from the prior", (0.095, 0.105))
def of_a_model_that_has_learnt(share):
    return posterior(9.0, 0.1, decoded=healthy().decoded, explains=share)


@pin("clamped log-variance", (0.045, 0.055), says="share of values")
def share_at_the_least(share, sign=1):
    log_var = sign * np.linspace(-5, -1, 1000)[:, None]
    log_var[: round(share * 1000)] = sign * -6.0
    return posterior(1.0, 0.5, z_log_var=log_var)


@pin("clamped log-variance", (0.045, 0.055), says="share of values")
def share_at_the_greatest(share):
    return share_at_the_least(share, sign=-1)


@pin("clamped log-variance", (0.0, -0.1))
def an_edge_that_is_the_prior(edge):
    return posterior(1.0, 0.5, z_log_var=np.linspace(-5, 2, ROWS)[:, None].clip(None, edge))


@pin("clamped log-variance", (0.9e-6, 1.1e-6))
def log_variances_that_move(range_):
    return posterior(1.0, 0.5, z_log_var=-3 + range_ / 2 * np.outer(SIGNS, [1.0, 0.0]))


# The run


@pin("KL weight is not the objective's", (0.019, 0.021), (-0.019, -0.021),
     says=lambda of: of["kl_weight in force"] / of["kl_weight of the objective"] - 1)  # fmt: skip
def relative_difference(difference):
    return stated(objective=Objective(kl_weight=2.0), kl_weight=2.0 * (1 + difference))


@pin("KL weight is not the objective's", ([0.0, 0.5, 1.0], [0.0, 1.0, 0.5]), ([], [0.5]))
def last_weight_in_the_history(weights):
    return stated(history={"kl_weight": np.array(weights, float)})


@pin(
    "KL weight is not the objective's",
    (BERNOULLI, GAUSSIAN),
    words="variance of 1.5 instead of 0.5",
)
def in_noise_variances(objective):
    return stated(objective=objective, kl_weight=3.0)


def priced(ratio, explains=0.5, sigma2=0.1, **known):
    error = np.full(ROWS, 1 + ratio * (1 - sigma2) / 2)
    found = decoded(error=error, error_at_mean=np.ones(ROWS))
    known = dict(decoded=found, explains=explains, gain=(5.0, 0.0)) | known
    return posterior(1 - sigma2, sigma2, **known)


@pin("trained on another objective", (1.95, 2.05), (1 / 1.95, 1 / 2.05), says="ratio")
def price_of_the_widths(ratio):
    return priced(ratio)


@pin("trained on another objective", (3.9, 4.1), (1 / 3.9, 1 / 4.1))
def price_of_what_is_below_a_linear_vae(ratio):
    return priced(ratio, shortfall=(1.0, 0.1))


@pin("trained on another objective", (0.31, 0.29))
def surely_below(shortfall):
    return priced(3.0, shortfall=(shortfall, 0.1))


@pin("trained on another objective", (0.0, 0.01))
def widths_that_cost_something(ratio):
    return priced(ratio)


@pin("trained on another objective", (0.048, 0.052))
def a_price_that_is_due(due):
    return priced(3.0, sigma2=1 - 2 * due)


@pin("trained on another objective", (0.095, 0.105))
def of_a_decoder_that_has_learnt(share):
    return priced(3.0, explains=share)


@pin("trained on another objective", (BERNOULLI, GAUSSIAN), words="a noise variance of about 1.5")
def in_noise_variances_too(objective):
    return priced(3.0 if objective == GAUSSIAN else 6.0, objective=objective)


@pin("used in training mode", (0.095, 0.105),
     says=lambda of: (of["elbo in training mode"] - of["elbo in use"]) / SCALE)  # fmt: skip
def better_in_training_mode(share):
    elbo = np.full(ROWS, -9.0)
    return stated(elbo=elbo, elbo_flipped=-9.0 + share * SCALE, error_without_code=SCALE)


@pin("used in training mode", (3.9, 4.1))
def better_by_errors(errors):
    elbo = -9.0 + 0.5 * SIGNS * math.sqrt(ROWS)
    return stated(elbo=elbo, elbo_flipped=-9.0 + 0.5 * errors, error_without_code=SCALE)


@pin("used in training mode", (False, True))
def in_training_mode(mode):
    return stated(elbo_flipped=-99.0, in_training_mode=mode)


def running(*loss, **others):
    return stated(history={k: np.array(v, float) for k, v in {"loss": loss, **others}.items()})


def lost_again(evidence):
    first, last, least = (evidence[f"{of} loss"] for of in ("first", "last", "least"))
    return (last - least) / (first - least)


@pin("training was unstable", (0.49, 0.51), says=lost_again)
def share_of_the_fall_lost(share):
    return running(12, 2, 2, 2 + 10 * share)


@pin("training was unstable", (1, 2))
def an_epoch_before(epochs):
    return running(*[1, np.nan][-epochs:])


@pin("training was unstable", (2.0, np.nan), (2.0, np.inf))
def a_loss_that_is_no_number(loss):
    return running(4, 3, loss, 2)


@pin("training was unstable", ([3, 3, np.nan], [3, np.nan, 3]), words="from epoch 1 on")
def from_which_epoch(loss):
    return running(*loss)


@pin("training was unstable", (20, 19), (20, 14))
def the_last_tenth(epochs):
    return running(10, *[0] * (epochs - 2), 9)


@pin("training was unstable", ([0, 1, 1, 1], [1, 1, 1, 1]))
def while_the_weight_is_still(weights):
    return running(10, 0, 0, 9, kl_weight=weights)


@pin("training was unstable", ([1, 1, 1], [1, 5, 5]), ([1] * 18 + [5, 1], [1] * 18 + [5, 5]))
def a_loss_that_never_fell(loss):
    return running(*loss)


def fitted(train, here, error=0.0):
    without = GAUSSIAN.likelihood.baseline_rows(healthy().x, 1.0)
    elbo_train = np.full(ROWS, without.mean() + train)
    return stated(x_train=healthy().x, elbo_train=elbo_train, gain=(here, error))


@pin("overfitted", (0.49, 0.51), says=lambda of: 1 - of["gain here"] / of["gain in training"])
def share_not_seen_by_new_rows(share):
    return fitted(10.0, 10 * (1 - share))


@pin("overfitted", (3.9, 4.1))
def gap_in_standard_errors(errors):
    return fitted(10.0, 1.0, error=9 / errors)


@pin("overfitted", (-0.01, 0.01))
def a_gain_in_training(train):
    return fitted(train, -5.0)


def validated(val_loss, loss=None, **others):
    return running(*(loss or np.linspace(9, 1, len(val_loss))), val_loss=val_loss, **others)


@pin("overfitted", (0.49, 0.51), says=lambda of: of["rise"] / 10)
def rise_on_rows_kept_aside(share):
    return validated([12, 6, 2, 3, 2 + 10 * share])


@pin("overfitted", (4, 5))
def epochs_on_rows_kept_aside(epochs):
    return validated([12, 2, 9, 9, 9][:epochs])


@pin("overfitted", (17, 16))
def the_best_epoch_of_20(best):
    return validated([12] * best + [2] + [9] * (19 - best))


@pin("overfitted", ([9, 5, 5, 5, 6], [9, 5, 5, 5, 4]), ([9, 5, 5, 5, 5], [9, 5, 5, 5, 4.9]),
     ([9, 5, 5, 4], [9, 5, 5, 5, 4]))  # fmt: skip
def while_the_loss_fell_on(loss):
    return validated([12, 2, 9, 9, 9], loss)


@pin("overfitted", ([0, 1, 1, 1, 1], [1, 1, 1, 1, 1]))
def at_one_weight(weights):
    return validated([12, 2, 9, 9, 9], kl_weight=weights)


@pin("still improving", (0.019, 0.021), says=lambda of: of["late fall"] / of["whole fall"])
def share_of_the_fall_that_is_late(share):
    return running(100, *[0] * 7, 100 * share, 0)


@pin("still improving", (9, 10))
def epochs_enough(epochs):
    return running(100, *[1] * (epochs - 2), -20)


@pin("still improving", (19, 20), (14, 20))
def two_epochs_are_a_tenth_of_20(epochs):
    return running(100, *[3] * (epochs - 3), 0, 0)


@pin("still improving", (20, 19), (20, 14))
def one_epoch_is_a_tenth_of_19(epochs):
    return running(100, *[0] * (epochs - 3), 3, 0)


@pin("still improving", (0, 6), (np.nan, 6), (np.inf, 6))
def a_loss_that_fell(first):
    return running(first, *[0] * 7, 5, 0)


# The rows


@pin("data on another scale", (19, 21), (1 / 19, 1 / 21), says="ratio")
def rows_over_those_of_training(ratio):
    return stated(x_train=healthy().x / ratio, decoded=None)


@pin("data on another scale", (19, 21), (1 / 19, 1 / 21), says="ratio")
def rows_over_what_is_decoded(ratio):
    return stated(decoded=decoded(output=healthy().x / ratio))


@pin("data on another scale", (0.49, 0.51))
def outputs_that_are_alike(cosine):
    x = np.outer(SIGNS, [1.0, 1.0])
    across = np.outer(SIGNS, [1.0, -1.0])
    output = (cosine * x + math.sqrt(1 - cosine**2) * across) / 10
    return stated(x=x, decoded=decoded(output=output * 0.5 / 1.2))


@pin("data on another scale", (-1.0, 1.0), (np.nan, 1.0), (0.0, 1.0))
def outputs_of_one_sign(sign):
    return stated(decoded=decoded(output=sign * healthy().x / 99))


for _value, _words in [
    (255, "those of training divided by 255?"),
    (65535, "those of training divided by 65535?"),
    (1 / 255, "these divided by 255 twice?"),
    (1 / 65535, "these divided by 65535 twice?"),
]:

    @pin("data on another scale", (0.45 * _value, 0.55 * _value), (2.2 * _value, 1.8 * _value),
         words=f"were {_words}")  # fmt: skip
    def a_guess(ratio):
        return stated(x_train=healthy().x / ratio, decoded=None)


@pin("too few rows for the spectrum", (51, 49), says=lambda of: of["rows"] / of["values"] * 5)
def rows_for_each_value(count):
    return stated(count=count, spectrum=None)


@pin("constant columns", (0.0, 0.01), says="share")
def share_that_is_constant(share):
    return stated(x=noise(50, 100) * (np.arange(100) >= 100 * share))


@pin("constant columns", (GAUSSIAN, Objective("mean", "sum")), words="variance would be 2.")
@pin("constant columns", (Objective("mean", likelihood="bernoulli"), Objective("mean", "sum")),
     words="averaged")  # fmt: skip
def of_averaged_errors(objective):
    x = np.where(np.arange(5) < 1, 3.0, healthy().x)
    return stated(x=x, objective=objective)


@pin("kinds taken for numbers", (0, 1), says="columns")
@pin("kinds taken for numbers", (5, 6), words="0, 1, 2, 3, 4 ... hold")
def columns_of_kinds(count):
    x = noise(100, 8)
    x[:, :count] = np.resize(np.arange(5.0), (100, 1))
    return stated(x=x)


@pin("kinds taken for numbers", (BERNOULLI, GAUSSIAN), (None, GAUSSIAN))
def under_squared_errors(objective):
    return replace(columns_of_kinds(1), objective=objective)


@pin("padded sequences", (0.09, 0.11), says="share of rows")
def share_of_rows_padded(share):
    x = noise(100, 24)
    x[: round(100 * share), 12:] = 0
    return stated(x=x, data_shape=(12, 2))


@pin("data never scaled", (99, 101), says="largest value")
@pin("data never scaled", (40_000, 200), words="Divide them by 255.")
@pin("data never scaled", (200, 40_000), words="Divide them by 65535.")
def grey_levels(most):
    return stated(
        x=np.rint(np.random.default_rng(0).uniform(0, most, (200, 20))).clip(0, most - 1) + 1.0
    )


@pin("data never scaled", (0.5, 0.0))
def not_of_pixels(offset):
    return stated(x=grey_levels(200).x * 3 ** (offset > 0))


# All of them


@pytest.mark.parametrize("case", PINS, ids=str)
def test_a_check_decides_where_it_says(case):
    check = NAMED[case.name]
    outside, inside = (check.finding(case.build(knob)) for knob in (case.outside, case.inside))
    assert inside is not None
    if case.words:
        assert case.words in str(inside) and case.words not in str(outside)
    else:
        assert outside is None
    assert (inside.name, inside.gravity, inside.page) == (check.name, check.gravity, check.page)
    assert re.search(r"\d", inside.sentence) and "nan" not in inside.sentence
    assert inside.evidence and all(math.isfinite(of) for of in inside.evidence.values())
    assert inside.remedy.endswith((".", "?"))


@pytest.mark.parametrize("case", [of for of in PINS if of.says], ids=str)
def test_the_evidence_is_what_was_compared_with_a_threshold_that_may_move(case):
    check = NAMED[case.name]
    found = check.finding(case.build(case.inside))
    compared = number(found, case.says)
    assert compared == pytest.approx(case.inside, rel=1e-3, abs=1e-9)
    step = case.inside - case.outside
    if case.inside * check.threshold < 0:  # the other sign
        step = -step
    elif 0 < case.inside < 1 < check.threshold:  # a ratio, the other way round
        step = 1 / case.inside - 1 / case.outside
    lenient, strict = check.threshold - step, check.threshold + step
    assert check.finding(case.build(case.inside), strict) is None
    assert check.finding(case.build(case.outside), lenient) is not None


def test_every_threshold_is_pinned():
    assert {of.name for of in PINS if of.says} == set(NAMED)


def test_a_collapse_says_what_was_held_against_what():
    for name, test in TESTS.items():
        evidence = NAMED[name].finding(empty(name)).evidence
        assert evidence["largest eigenvalue"] == test.largest_eigenvalue
        assert evidence["critical"] == test.critical_variance
    assert set(NAMED[UNKNOWN].finding(empty(UNKNOWN, objective=None)).evidence) == {
        "nats carried",
        "active units",
    }


ASKED_ONCE = dict.fromkeys(
    ["error_at_mean", "error_permuted", "error_as_log_sigma", "prior", "far"]
)
WITHOUT = {
    "a decoder": lambda: dict(decoded=None, elbo=None),
    "a decoder that can be asked": lambda: dict(decoded=decoded(**ASKED_ONCE)),
    "an objective": lambda: dict(objective=None, elbo=None),
    "both": lambda: dict(decoded=None, elbo=None, objective=None, spectrum=None),
}


@pytest.mark.parametrize("missing", WITHOUT)
def test_of_a_healthy_model_nothing_is_found_without(missing):
    seen = stated(
        **WITHOUT[missing](), kl_weight=1.0, elbo_flipped=-99.0, history={"loss": np.ones(30)}
    )
    assert not [of.name for of in CHECKS if of.finding(seen)]


EXPLAINS = [
    ("data on another scale", "worse than no code"),
    ("probabilities where logits are wanted", "worse than no code"),
    ("logits where means are wanted", "worse than no code"),
    ("used in training mode", "worse than no code"),
    ("KL weight is not the objective's", "trained on another objective"),
    ("KL weight is not the objective's", ASKED),
    ("log-variance is not one", "trained on another objective"),
    ("log-variance is not one", "far from the prior"),
    ("a head that cannot be negative", "far from the prior"),
    ("data out of the decoder's reach", "far below a linear VAE"),
    ("the decoder sees more than the code", NOT_ASKED),
    ("the decoder ignores the code", "worse than no code"),
    ("trained without noise", "far from the prior"),
    ("far from the prior", "good reconstructions, bad samples"),
    ("partly collapsed", "far below a linear VAE"),
    ("training was unstable", "worse than no code"),
    ("overfitted", "worse than no code"),
    ("far below a linear VAE", "below a linear VAE"),
]


@pytest.mark.parametrize("cause, symptom", EXPLAINS)
def test_what_explains_another_is_asked_first(cause, symptom):
    assert list(NAMED).index(cause) < list(NAMED).index(symptom)


def test_names_pages_and_gravities():
    assert len(NAMED) == len({of.page for of in CHECKS}) == len(CHECKS)
    assert all(re.fullmatch("findings/[a-z0-9]+(-[a-z0-9]+)*", of.page) for of in CHECKS)
    gravities = [of.gravity for of in CHECKS]
    assert set(gravities) == {GRAVE, NOTE} and gravities == sorted(
        gravities, key=[GRAVE, NOTE].index
    )
    conclusive = [of.name for of in CHECKS if of.conclusive]
    assert conclusive == [of.name for of in CHECKS[: len(conclusive)]]
    assert conclusive[0] == "no number" and conclusive[-1] == "used in training mode"
    assert all(math.isfinite(of.threshold) and of.unit and of.answer.__doc__ for of in CHECKS)


def ill():
    """With two grave findings, and one worth knowing."""
    x = healthy().x * (np.arange(5) > 0)
    return stated(x=x, kl_weight=3.0, gain=(-SCALE, 0.0), error_without_code=SCALE)


def test_a_healthy_model_and_an_ill_one():
    assert Report(healthy()).findings == ()
    found = [of.name for of in Report(ill()).findings]
    assert found[:2] == ["KL weight is not the objective's", "worse than no code"]
    assert found[-1] == "constant columns"


def test_findings_are_sorted_by_gravity_and_then_as_they_are_asked(monkeypatch):
    expected = Report(ill()).findings
    monkeypatch.setattr(checks, "CHECKS", CHECKS[::-1])
    found = Report(ill()).findings
    graves = sum(of.gravity == GRAVE for of in expected)
    assert found == expected[:graves][::-1] + expected[graves:][::-1] and 1 < graves < len(found)


def test_nothing_is_asked_after_a_conclusive_finding():
    seen = replace(ill(), elbo=np.full(ROWS, np.nan))
    assert NAMED["constant columns"].finding(seen) is not None
    assert [of.name for of in Report(seen).findings] == ["no number"]


def test_thresholds_of_the_caller():
    moved = {"worse than no code": 2.0, "constant columns": 0.2}
    found = {of.name for of in Report(ill(), moved).findings}
    assert found == {of.name for of in Report(ill()).findings} - set(moved)


VALUES = {
    "normal": lambda random, *shape: random.standard_normal(shape),
    "huge": lambda random, *shape: 1e8 * random.standard_normal(shape),
    "ones and zeros": lambda random, *shape: random.integers(0, 2, shape).astype(float),
    "kinds": lambda random, *shape: random.integers(0, 9, shape).astype(float),
    "zero": lambda random, *shape: np.zeros(shape),
    "one": lambda random, *shape: np.ones(shape),
    "equal rows": lambda random, rows, *shape: np.tile(random.random(shape), (rows, 1)),
}
HISTORIES = [None, {}, {"loss": []}, {"loss": [1.0]}, {"loss": [np.nan] * 3, "kl": [np.nan] * 3},
             {"loss": [1.0] * 30, "val_loss": [1.0] * 30, "kl_weight": [0.0] * 30},
             {"loss": [3.0, np.inf], "val_loss": [np.nan] * 9, "kl": [], "lr": ["a"]}]  # fmt: skip
kinds = st.sampled_from(sorted(VALUES))


@settings(max_examples=100)
@given(
    sizes=st.tuples(st.integers(2, 7), st.integers(1, 6), st.integers(1, 3)),
    x=kinds, z_mean=kinds, z_log_var=kinds, train=st.none() | kinds,
    decode=st.sampled_from([None, "array", "function", "nan"]),
    objective=st.sampled_from([None, GAUSSIAN, BERNOULLI, Objective("mean", "mean", 5.0)]),
    history=st.sampled_from(HISTORIES), seed=st.integers(0, 9),
)  # fmt: skip
def test_whatever_was_measured_no_check_fails(
    sizes, x, z_mean, z_log_var, train, decode, objective, history, seed
):
    rows, columns, units = sizes
    random = np.random.default_rng(seed)
    rows_of = lambda kind, count: VALUES[kind](random, count, columns)  # noqa: E731
    if objective is BERNOULLI:
        x, train = "ones and zeros", train and "one"
    posterior = (
        VALUES[z_mean](random, rows, units),
        VALUES[z_log_var](random, rows, units).clip(-9, 9),
    )
    encode = lambda x: [np.resize(of, (len(x), units)) for of in posterior]  # noqa: E731
    weights = random.standard_normal((units, columns))
    given = {
        "array": posterior[0] @ weights,
        "function": lambda z: z @ weights,
        "nan": lambda z: np.full((len(z), columns), np.nan),
    }.get(decode)
    x_train = None if train is None else rows_of(train, rows + 1)
    model = posterior if decode == "array" else encode
    report = diagnose(
        model, rows_of(x, rows), given, objective, history=history, x_train=x_train, seed=seed
    )
    assert len(str(report)) and report.verdict and report.to_json()
