"""What the answers of several chapters are made of."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vae_notes import claims, data, theory
from vae_notes.runs import Runs


@dataclass(frozen=True)
class Later:
    """An answer that takes a while, so it is made only where a test gives it."""

    make: Callable


def made(answer):
    """The answer itself; of a tuple, any part may be one for later."""
    if isinstance(answer, tuple):
        return tuple(map(made, answer))
    return answer.make() if isinstance(answer, Later) else answer


def once_a_seed(make):
    """Keep what a function gives, for each base seed, since the answers share their data."""

    @functools.cache
    def kept(seed, *arguments):
        return make(*arguments)

    return lambda *arguments: kept(claims.base_seed(), *arguments)


@once_a_seed
def digits():
    return data.split(data.digits(), seed=claims.base_seed())


@once_a_seed
def spectrum():
    return theory.spectrum(digits()[0])


def swept(build, recipes, seeds, x, weights, means):
    """What a sweep would give back, had it trained: these weights and means for every seed."""
    keys = [(recipe.name, seed) for recipe in recipes for seed in seeds]
    return Runs(build, recipes, seeds, x, dict.fromkeys(keys, means), dict.fromkeys(keys, weights))


def weights_of(*halves):
    """Weights of an encoder and a decoder as a sweep keeps them."""
    kinds = "trainable_variables", "non_trainable_variables"
    return [[v.numpy() for half in halves for v in getattr(half, kind)] for kind in kinds]


def linear_weights(best):
    """Weights of `dense(..., hidden=())` that make it the linear VAE of the theory."""
    encoder = best.encoder_weights, best.encoder_bias, 0 * best.encoder_weights, best.z_log_var
    decoder = best.decoder_weights, best.decoder_bias
    return [[np.asarray(w, np.float32) for w in (*encoder, *decoder)], []]
