"""Chapter 6, *From Keras 2 to Keras 3*."""

import numpy as np

from vae_notes import likelihoods, schedules
from vae_notes.exercises._judge import Wrong, array, call, compare, number, parts

__all__ = ["EXERCISES"]


def translate_a_line(answer):
    """A function of (x, x_mean) for `K.mean(K.square(x - x_mean), axis=-1)`."""
    x, x_mean = np.random.default_rng(0).random((2, 5, 7)).astype(np.float32)
    squares = (x - x_mean) ** 2
    compare(
        array(call(answer, x, x_mean), what="what the function returns"),
        squares.mean(axis=-1),
        [
            (squares.sum(axis=-1), "That is the sum over the data dimensions, not their mean."),
            (squares.mean(), "That is one number for the whole batch, not one for each example."),
            (squares.mean(axis=0), "That averages over the batch, not over the data dimensions."),
            (squares, "Nothing is averaged: there is still a number for every data dimension."),
            (np.abs(x - x_mean).mean(axis=-1), "That is the absolute error, not its square."),
        ],
        "On a batch of 5 examples it does not give what the old line gave.",
    )
    _traces(answer, x.shape)


def _traces(function, shape):
    """A function that runs on arrays only fails in a training step."""
    from vae_notes._keras import tf

    spec = tf.TensorSpec((None, *shape[1:]), tf.float32)
    try:
        traced = tf.function(function, autograph=False).get_concrete_function(spec, spec)
    except Exception as error:
        raise Wrong(
            f"It is right for arrays, but tracing it raised {type(error).__name__}: "
            f"a training step gives it placeholders."
        ) from error
    if not tf.is_tensor(traced.structured_outputs):
        raise Wrong("It is right for arrays, but in a traced step its result would be frozen.")


def which_weight(answer):
    """The weights in force in two epochs, from three logged numbers each."""
    loss, reconstruction, kl = np.array([[5.2, 4.9], [4.7, 4.4], [2.0, 2.0]])
    weighted = loss - reconstruction
    compare(
        array(answer, (2,)),
        weighted / kl,
        [
            ((0.25, 0.5), "That is what they say; ask the log."),
            (weighted, "That is the weighted KL term, not the weight."),
            (kl / weighted, "The ratio is upside down."),
            (loss / reconstruction, "Take the reconstruction away from the loss, then divide."),
            (reconstruction / kl, "The reconstruction is what the weight does not multiply."),
        ],
        "The loss is the reconstruction plus the weight times the KL: solve it for the weight.",
        tolerance=1e-2,
    )
    return "So they did not: the callback ran, and the loss did not see it."


RAMP = schedules.linear(start=1, length=4)  # of the chapter


def no_trap(answer):
    """The logs of `train` where the weight follows the schedule."""
    names = "loss", "decoder_loss", "latent_kl_term"
    in_force = _in_force(answer, *names)
    _follows(in_force, RAMP(np.arange(6)), RAMP)
    return "With run_eagerly=True every step is plain Python: correct, and slow."


def _in_force(logs, loss, reconstruction, kl, scale=1.0):
    """The weights (epochs,) that explain a loss, whatever anybody says that they were."""
    logs = getattr(logs, "history", logs)
    if not isinstance(logs, dict):
        raise Wrong(f"The log is a {type(logs).__name__}, expected a history with its metrics.")
    for name in (loss, reconstruction, kl):
        if name not in logs:
            raise Wrong(f"The log has no {name!r}, without which the weight cannot be recovered.")
    total, error, divergence = (array(logs[n], (None,), n) for n in (loss, reconstruction, kl))
    if not len(total) or not len(total) == len(error) == len(divergence):
        raise Wrong("The curves in the log are empty or differ in length.")
    if (divergence <= 0).any():
        raise Wrong("The KL term is 0 in some epoch, so the weight cannot be recovered there.")
    return (total - scale * error) / (scale * divergence)


def _follows(in_force, expected, schedule):
    """Raise `Wrong` unless the weights in force are the expected ones, to two digits."""
    if len(in_force) != len(expected):
        raise Wrong(f"The log has {len(in_force)} epochs, which is not what was asked for.")

    def close(weights):
        return np.allclose(in_force, weights, atol=0.02)

    if close(expected):
        return
    if np.ptp(in_force) < 0.02:
        raise Wrong("The weight in force is the same in every epoch: it is frozen.")
    epochs = np.arange(len(expected))
    if close(schedule(np.maximum(epochs - 1, 0))):
        raise Wrong("The schedule was in force, but one epoch late.")
    if close(schedule(epochs + 1)):
        raise Wrong("The schedule was in force, but one epoch early.")
    off = int(np.argmax(~np.isclose(in_force, expected, atol=0.02)))
    raise Wrong(f"A schedule was in force, but not this one: it is off first in epoch {off}.")


def frozen_at_half(answer):
    """The weight in force, and the noise variance of the VAE that it trains."""
    weight, variance = parts(answer, "weight", "noise_variance")
    weight, variance = number(weight, "the weight"), number(variance, "the noise variance")
    first, last = 0.5, 1.0
    compare(
        weight,
        first,
        [
            (last, "That is what the variable holds in the end, not what the loss used."),
            (0.0, "The ramp was changed: no epoch of it has that weight."),
        ],
        "Divide what the loss has beyond the reconstruction by the KL.",
        tolerance=0.02,
    )
    compare(
        variance,
        first / 2,
        [
            (
                last / 2,
                "That is the weight, or the noise variance they believe in, not the one in force.",
            ),
            (2 * first, "The weight is twice the noise variance, not the other way round."),
            (first / 16, "The KL term is summed over the units, not averaged."),
            (64 * first / 2, "The errors are summed over the pixels, not averaged."),
        ],
        "The weight is right; chapter 1 says which noise variance it stands for.",
        tolerance=0.02,
    )
    return "It is hard to notice: a plausible VAE, of another noise variance."


def port_a_script(answer):
    """(path, history): the saved VAE of the script, and the log that proves its schedule."""
    path, history = parts(answer, "path", "history")
    vae = _load(path)
    if vae.data_dim != 64 or vae.latent_dim != 8:
        raise Wrong(f"The model has N = {vae.data_dim} and D = {vae.latent_dim}: one is not right.")
    _summed(vae.objective)
    hidden = [w.shape[-1] for w in vae.encoder.get_weights() if w.ndim == 2][:-2]
    if hidden != [64]:
        raise Wrong(f"The encoder has hidden layers {hidden}, which is not what the script had.")
    schedule = schedules.linear(start=4, length=4)
    scale, weight = vae.objective.weights(64, 8)
    names = "loss", "reconstruction", "kl"
    in_force = _in_force(history, *names, scale=scale) / (weight / scale)
    _follows(in_force, schedule(np.arange(10)), schedule)
    if abs(float(vae.kl_weight) - vae.objective.kl_weight) > 0.01:
        raise Wrong("The saved model does not hold the weight of the last epoch.")
    return "Loaded from its file, with its objective and its weight."


def _load(path):
    from vae_notes.model import VAE

    if isinstance(path, VAE):
        return path
    try:
        return VAE.load(path)
    except Exception as error:
        raise Wrong("The path does not lead to a VAE: save it with vae.save(path).") from error


def _summed(objective):
    """The script's mean times N is a sum, and so is its KL term."""
    from vae_notes.objective import Objective

    if objective.likelihood != likelihoods.Gaussian():
        raise Wrong("The script has a squared error, not a cross-entropy.")
    compare(
        objective.noise_variance(64, 8),
        Objective().noise_variance(64, 8),
        [
            (Objective("mean").noise_variance(64, 8), "The factor N on the error was lost."),
            (Objective("sum", "mean").noise_variance(64, 8), "The script sums the KL term."),
            (Objective("mean", "mean").noise_variance(64, 8), "The script averages neither term."),
        ],
        "The two terms are weighed otherwise than in the script.",
    )


EXERCISES = {
    "6.1": translate_a_line,
    "6.2": which_weight,
    "6.3": no_trap,
    "6.4": frozen_at_half,
    "6.5": port_a_script,
}
