"""Models of PyTorch, healthy and broken, through the door that takes them as they are."""

import numpy as np
import torch
from broken import ASKED, case, sample
from torch import nn
from torch.nn import functional

from vae_notes import Objective

torch.set_num_threads(1)  # several are slower on layers this small


class Dense(nn.Module):
    """After the interface of PyTorch's own example: encode gives two, decode one."""

    def __init__(self, data_dim=64, latent_dim=8, hidden=64, norm=False, dropout=0.0, end=None):
        super().__init__()
        layers = [nn.Linear(data_dim, hidden), nn.ReLU()]
        if norm:
            layers.insert(1, nn.BatchNorm1d(hidden))
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.mean, self.log_var = nn.Linear(hidden, latent_dim), nn.Linear(hidden, latent_dim)
        back = [nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, data_dim)]
        self.back = nn.Sequential(*back, *([end] if end else []))

    def encode(self, x):
        h = self.body(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z):
        return self.back(z)


def trained(model, x, loss, epochs=60, learning_rate=1e-3, log_sigma=False, noise=True):
    """Adam on batches of 64; ``loss`` is of the summed errors and the summed KL of each row."""
    torch.manual_seed(0)
    x = torch.as_tensor(np.asarray(x, "float32"))
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            z_mean, z_log_var = model.encode(x[rows])
            width = torch.exp(z_log_var if log_sigma else z_log_var / 2)
            z = z_mean + width * torch.randn_like(width) * noise
            log_var = 2 * z_log_var if log_sigma else z_log_var
            kl = 0.5 * (z_mean**2 + log_var.exp() - 1 - log_var)
            step = loss(x[rows], model.decode(z), kl)
            optimizer.zero_grad()
            step.backward()
            optimizer.step()
    return model.eval()


def squared(noise_variance):
    return lambda x, y, kl: ((x - y) ** 2).sum(1).mean() + 2 * noise_variance * kl.sum(1).mean()


def cross_entropy(x, y, kl):
    return (
        functional.binary_cross_entropy_with_logits(y, x, reduction="sum") / len(x)
        + kl.sum(1).mean()
    )


SHARP = Objective.for_noise_variance(0.05)


def digits():
    x = sample("digits").astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[:1400]], x[order[1400:]]


@case("healthy")
def a_healthy_module():
    train, test = digits()
    return {"model_or_encode": trained(Dense(), train, squared(0.05), 120), "x": test,
            "objective": SHARP}  # fmt: skip


@case("healthy")
def a_healthy_module_with_logits():
    train, test = digits()
    return {"model_or_encode": trained(Dense(), train, cross_entropy, 80), "x": test,
            "objective": "bernoulli"}  # fmt: skip


@case("worse than no code")
def a_module_without_training():
    torch.manual_seed(0)
    return {"model_or_encode": Dense().eval(), "x": digits()[1], "objective": SHARP}


@case(ASKED)
def cross_entropy_divided_by_the_pixels():
    train, test = digits()
    loss = lambda x, y, kl: (  # noqa: E731
        functional.binary_cross_entropy_with_logits(y, x) + kl.sum(1).mean()
    )
    objective = Objective("mean", "sum", likelihood="bernoulli")
    return {"model_or_encode": trained(Dense(), train, loss, 40), "x": test, "objective": objective}


@case("log-variance is not one")
def log_sigma_for_log_variance():
    train, test = digits()
    model = trained(Dense(), train, squared(0.05), 120, log_sigma=True)
    return {"model_or_encode": model, "x": test, "objective": SHARP}


@case("used in training mode", dropout=(False, 0.5), norm=(True, 0.0))
def a_module_left_in_training_mode(norm, dropout):
    train, test = digits()
    model = trained(Dense(norm=norm, dropout=dropout), train, squared(0.05), 60)
    return {"model_or_encode": model.train(), "x": test, "objective": SHARP}


@case("trained without noise")
def the_mean_decoded_in_training():
    train, test = digits()
    model = trained(Dense(), train, squared(0.05), 120, noise=False)
    return {"model_or_encode": model, "x": test, "objective": SHARP}


@case("probabilities where logits are wanted")
def a_sigmoid_at_the_end():
    train, test = digits()
    loss = lambda x, y, kl: (  # noqa: E731
        functional.binary_cross_entropy(y, x, reduction="sum") / len(x) + kl.sum(1).mean()
    )
    model = trained(Dense(end=nn.Sigmoid()), train, loss, 60)
    return {"model_or_encode": model, "x": test, "objective": "bernoulli"}


@case("trained on another objective", "far from the prior")
def a_kl_averaged_over_the_batch_and_units():
    train, test = digits()
    loss = lambda x, y, kl: ((x - y) ** 2).sum(1).mean() + 0.1 * kl.mean()  # noqa: E731
    return {"model_or_encode": trained(Dense(), train, loss, 120), "x": test, "objective": SHARP}
