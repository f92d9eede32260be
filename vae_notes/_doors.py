"""Every way in which a model can be handed over, made into two functions on NumPy arrays.

A door gives ``encode`` from x (b, ...) to z_mean and z_log_var (b, D), and ``decode`` from z (b, D)
to what the decoder gives for it, in float64. Nothing here imports TensorFlow or PyTorch: whoever
hands over a model of theirs has done so.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_notes import _check
from vae_notes.objective import Objective

__all__ = ["Door", "opened"]

BATCH = 1024  # examples that a network gets at once


@dataclass(frozen=True)
class Door:
    """A model as functions on arrays.

    Attributes
    ----------
    encode : callable
        From x (b, ...) and the number of rows before it to z_mean and z_log_var, (b, D) each. A
        function gets all the rows of a block at once, a network 1,024 of them.
    decode : callable or None
        From z (b, D) and the number of rows before it to means or logits (b, ...).
    repeatable : bool
        Whether ``decode`` can be asked for any z, and not only for what was stored.
    objective : Objective or None
        What it was trained on.
    kl_weight : float or None
        That in force in the model, where it has one.
    steps : int or None
        How many its optimiser has made, where it has one.
    in_training_mode : bool
        Whether it behaves as in training (PyTorch's ``module.training``).
    flipped : callable or None
        A context in which the model behaves as in training where it did not, or the reverse; None
        where no layer of it would behave otherwise.
    """

    encode: Callable[[NDArray, int], tuple[NDArray, NDArray]]
    decode: Callable[[NDArray, int], NDArray] | None = None
    repeatable: bool = True
    objective: Objective | None = None
    kl_weight: float | None = None
    steps: int | None = None
    in_training_mode: bool = False
    flipped: Any = None
    unchanged: Callable[[], Any] = nullcontext


def opened(model: Any, decode: Any = None, objective: Any = None) -> Door:
    """The door for whatever was handed over; ``decode`` and ``objective`` go before the model's.

    Parameters
    ----------
    model : VAE, object, callable, or pair of arrays
        With ``encode`` and perhaps ``decode``; with ``encoder`` and perhaps ``decoder``; a function
        of x; or z_mean and z_log_var themselves.
    decode : callable or array, optional
        A function of z, or what the decoder gave for one sample of z for each row.
    objective : Objective or pair of str, optional
    """
    own = getattr(model, "objective", None)
    given = own if objective is None and isinstance(own, Objective) else objective
    known: dict[str, Any] = {"objective": _objective(given)}
    if isinstance(model, (tuple, list)) and len(model) in (2, 3):
        stored = _posterior(model, None)
        coder: Callable[[NDArray, int], Any] = lambda x, at: _of_rows(stored, x, at)  # noqa: E731
    else:
        encode, decoder = _parts(model)
        decode = decoder if decode is None else decode
        coder = lambda x, at: _posterior(_asked(encode, x, model), x)  # noqa: E731
        known |= _state(model)
    known["encode"] = coder
    if decode is None:
        return Door(**known)
    if not callable(decode):
        outputs = _array(decode)
        known["repeatable"] = False
        known["decode"] = lambda z, at: _rows(outputs, len(z), at)
    else:
        known["decode"] = lambda z, at: _array(_asked(decode, z.astype(np.float32), model))
    return Door(**known)


def _objective(given: Any) -> Objective | None:
    if given is None or isinstance(given, Objective):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return Objective(*given)
    if isinstance(given, str):
        return Objective(likelihood=given)
    raise ValueError(
        f"objective={given!r} is none: give an Objective, two reductions such as "
        f'("mean", "sum"), or the name of a likelihood.'
    )


def _parts(model: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None]:
    """What of a model encodes and what decodes."""
    if _is_ours(model):
        return _quietly(model.encoder), _quietly(model.decoder)
    encode = getattr(model, "encode", None)
    if callable(encode):
        decode = getattr(model, "decode", None)
        return encode, decode if callable(decode) else None
    encoder = getattr(model, "encoder", None)
    if callable(encoder):
        decoder = getattr(model, "decoder", None)
        return _quietly(encoder), _quietly(decoder) if callable(decoder) else None
    if not callable(model):
        raise ValueError(
            f"A {type(model).__name__} cannot be diagnosed: give a model with encode and decode, a "
            f"function of x that returns (z_mean, z_log_var), or these two arrays."
        )
    return _quietly(model), None


def _is_ours(model: Any) -> bool:
    """A vae_notes.VAE: its own ``decode`` gives means, and here what the decoder says is wanted."""
    return hasattr(model, "encoder") and isinstance(getattr(model, "objective", None), Objective)


def _quietly(network: Any) -> Callable[[Any], Any]:
    """A Keras model as it is in use; any other callable as it is."""
    if "keras" in sys.modules and isinstance(network, sys.modules["keras"].layers.Layer):
        return lambda x: _in_batches(lambda part: network(part, training=False), x)
    return network


def _asked(function: Callable[[Any], Any], x: NDArray, model: Any) -> Any:
    """The outputs of a function for an array; as a tensor where it wants one of PyTorch."""
    torch = sys.modules.get("torch")
    parameter = _first_parameter(model)
    parameter = _first_parameter(function) if parameter is None else parameter
    try:
        if torch is None or (parameter is None and _takes_arrays(function, x)):
            return function(x)
        tensor = torch.as_tensor(np.ascontiguousarray(x))
        if parameter is not None:
            tensor = tensor.to(parameter.device, parameter.dtype)
        with torch.no_grad():
            return _in_batches(function, tensor)
    except Exception as error:
        if isinstance(error, ValueError) and "is needed: give" in str(error):  # one of these doors
            raise
        raise ValueError(
            f"The model failed for an array of shape {x.shape} ({_check.reason(error)}): give x as "
            f"it was trained on, and functions of arrays or tensors."
        ) from error


def _in_batches(network: Callable[[Any], Any], x: Any) -> Any:
    """A network's outputs as arrays, of so many examples at once that memory does not matter."""
    parts = [network(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    if isinstance(parts[0], (tuple, list)):
        return tuple(
            np.concatenate([_array(of) for of in each]) for each in zip(*parts, strict=True)
        )
    return np.concatenate([_array(of) for of in parts])


def _takes_arrays(function: Callable[[Any], Any], x: NDArray) -> bool:
    """Whether a function can do with an array; what fails may want a tensor."""
    try:
        function(x[:2])
    except Exception:
        return False
    return True


def _first_parameter(model: Any) -> Any:
    """The first parameter of a PyTorch module, or of the one that a function is a method of."""
    torch = sys.modules.get("torch")
    for of in (model, getattr(model, "__self__", None)):
        if torch is not None and isinstance(of, torch.nn.Module):
            return next(of.parameters(), None)
    return None


def _array(of: Any) -> NDArray[np.float64]:
    """An array, tensor or variable of any framework as float64."""
    if hasattr(of, "detach"):
        of = of.detach().cpu()
    if hasattr(of, "mean") and hasattr(of, "stddev") and not hasattr(of, "shape"):
        raise ValueError(
            f"The decoder gave a {type(of).__name__}, a distribution: return its mean, or its "
            f"logits where the likelihood is Bernoulli."
        )
    try:
        return np.asarray(of, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"A {type(of).__name__} was given where an array or tensor is needed: give functions "
            f"that return (z_mean, z_log_var) and the decoded tensor."
        ) from None


def _posterior(latent: Any, x: NDArray | None) -> tuple[NDArray, NDArray]:
    """z_mean and z_log_var of what an encoder gave: two, or three with a sample."""
    if hasattr(latent, "shape") or not isinstance(latent, (tuple, list)):
        raise ValueError(
            f"The encoder gave one {type(latent).__name__}, but two arrays are needed: return "
            f"(z_mean, z_log_var), which may be the two halves of one."
        )
    if len(latent) not in (2, 3):
        raise ValueError(
            f"The encoder gave {len(latent)} outputs, but two are needed, or three with a sample: "
            f"return (z_mean, z_log_var)."
        )
    arrays = [_array(of) for of in latent]
    shapes = {of.shape for of in arrays}
    count = len(arrays[0]) if x is None or not arrays[0].ndim else len(x)
    if len(shapes) > 1 or arrays[0].ndim != 2 or len(arrays[0]) != count:
        listed = " and ".join(str(of.shape) for of in arrays)
        raise ValueError(
            f"The encoder gave shapes {listed} for {count} examples: give all as (n, latent_dim)."
        )
    if len(arrays) == 3:
        arrays = _without_sample(*arrays)
    if not all(np.isfinite(of).all() for of in arrays):
        raise ValueError(
            "The encoder gave NaN or infinity: scale the data first, and if they are scaled, "
            "training has diverged, so train again with a smaller learning rate."
        )
    return arrays[0], arrays[1]


def _without_sample(first: NDArray, second: NDArray, third: NDArray) -> list[NDArray]:
    """(mean, log-variance) of three outputs: Keras puts the sample last, some put it first."""

    def misfit(z: NDArray, mean: NDArray, log_var: NDArray) -> float:
        with np.errstate(all="ignore"):
            spread = np.mean(np.square(z - mean) * np.exp(-np.clip(log_var, -600, 600)))
            return float(abs(np.log(spread))) if spread > 0 else np.inf

    if misfit(first, second, third) < min(misfit(third, first, second), 1.0):
        return [second, third]
    return [first, second]


def _of_rows(stored: tuple[NDArray, NDArray], x: NDArray, at: int) -> tuple[NDArray, NDArray]:
    return _rows(stored[0], len(x), at), _rows(stored[1], len(x), at)


def _rows(stored: NDArray, count: int, at: int) -> NDArray:
    if len(stored) < at + count:
        raise ValueError(
            f"x has {at + count} rows or more and an array beside it {len(stored)}: give one of "
            f"the same rows."
        )
    return stored[at : at + count]


def _state(model: Any) -> dict[str, Any]:
    """What a model knows of its own training, as far as its framework lets it be seen."""
    found: dict[str, Any] = {}
    if _is_ours(model):
        found["kl_weight"] = float(np.asarray(model.kl_weight))
        optimizer = getattr(model, "optimizer", None)
        found["steps"] = 0 if optimizer is None else int(np.asarray(optimizer.iterations))
        if any(_differs_in_training(layer) for part in (model.encoder, model.decoder)
               for layer in _layers(part)):  # fmt: skip
            found["flipped"] = lambda: _keras_in_training(model)
    torch = sys.modules.get("torch")
    module = model if hasattr(model, "modules") else getattr(model, "__self__", None)
    if torch is not None and isinstance(module, torch.nn.Module):
        kinds = ("BatchNorm", "Dropout", "InstanceNorm")
        if any(type(of).__name__.startswith(kinds) for of in module.modules()):
            kept = {name: value.clone() for name, value in module.state_dict().items()}
            found["in_training_mode"] = bool(module.training)
            found["flipped"] = lambda: _torch_flipped(module, kept)
            found["unchanged"] = lambda: _torch_unchanged(module, kept)
    return found


def _layers(network: Any) -> list[Any]:
    from vae_notes._keras import all_layers

    return all_layers(network)


def _differs_in_training(layer: Any) -> bool:
    name = type(layer).__name__
    return ("Normalization" in name and hasattr(layer, "moving_mean")) or "Dropout" in name


@contextmanager
def _keras_in_training(model: Any) -> Iterator[Door]:
    """The model with its layers in training mode, and its moving averages as they were after."""
    parts = (model.encoder, model.decoder)
    kept = [[np.array(v) for v in part.non_trainable_variables] for part in parts]
    encoder, decoder = parts
    try:
        yield Door(
            encode=lambda x, at: _posterior(encoder(x, training=True), x),  # all: it is one batch
            decode=lambda z, at: _array(decoder(z.astype(np.float32), training=True)),
        )
    finally:
        for part, values in zip(parts, kept, strict=True):
            for variable, value in zip(part.non_trainable_variables, values, strict=True):
                variable.assign(value)


@contextmanager
def _torch_unchanged(module: Any, kept: dict[str, Any]) -> Iterator[None]:
    """Moving averages move whenever a module in training mode is asked: put them back."""
    try:
        yield
    finally:
        module.load_state_dict(kept)


@contextmanager
def _torch_flipped(module: Any, kept: dict[str, Any]) -> Iterator[Door]:
    """The module in its other mode, with the moving averages that it came with."""
    mode = module.training
    encode, decode = _parts(module)
    with _torch_unchanged(module, kept):
        module.load_state_dict(kept)
        module.train(not mode)
        try:
            yield Door(
                encode=lambda x, at: _posterior(_asked(encode, x, module), x),
                decode=None
                if decode is None
                else lambda z, at: _array(_asked(decode, z.astype(np.float32), module)),
            )
        finally:
            module.train(mode)
