"""Chapter 1, *The VAE objective*."""

import numpy as np

from vae_notes.exercises._judge import compare, number

__all__ = ["EXERCISES"]


def price_a_unit(answer):
    """KL in nats of a unit with mean 0 and standard deviation 0.5."""
    deviation = 0.5

    def kl(variance):
        return 0.5 * (variance - np.log(variance) - 1)

    compare(
        number(answer),
        kl(deviation**2),
        [
            (kl(deviation), "The function takes the logarithm of the variance, not of sigma."),
            (
                kl(np.exp(deviation)),
                "The second argument is a logarithm: give log(variance), not sigma itself.",
            ),
            (kl(deviation**2) / np.log(2), "That is in bits; this book counts in nats."),
        ],
        "Give the KL of this one unit in nats, with its mean 0 and log-variance 2 log(0.5).",
    )
    return "And it tells nothing: the code is the same for every x."


EXERCISES = {"1.1": price_a_unit}
