"""The same training step in PyTorch and in JAX, run by benchmarks/bench.py in another environment.

    python rivals.py torch|jax N H D B COUNT

A VAE of N-H-D units learns from COUNT examples in batches of B. After the line "ready VERSION" it
answers each line with a number of epochs by the microseconds that a step of them took.
"""

import sys
import time

import numpy as np


def data(count, data_dim):
    return np.random.default_rng(0).random((count, data_dim), dtype=np.float32)


def torch_epoch(data_dim, hidden, latent_dim, batch_size, count):
    """Eager PyTorch, as its tutorials train: modules, autograd, Adam."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = nn.Sequential(
        nn.Linear(data_dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent_dim)
    ).to(device)
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, data_dim)
    ).to(device)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    x = torch.tensor(data(count, data_dim), device=device)

    def epoch():
        for index in torch.randperm(count, device=device).split(batch_size):
            batch = x[index]
            z_mean, z_log_var = encoder(batch).chunk(2, dim=1)
            z = z_mean + torch.exp(z_log_var / 2) * torch.randn_like(z_mean)
            error = (batch - decoder(z)).square().sum(dim=1)
            kl = (z_mean.square() + z_log_var.exp() - 1 - z_log_var).sum(dim=1) / 2
            adam.zero_grad()
            (error + kl).mean().backward()
            adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return epoch, torch.__version__


def jax_epoch(data_dim, hidden, latent_dim, batch_size, count):
    """One model, an epoch in one ``lax.scan``; the last partial batch is left out, as is usual."""
    import jax
    import jax.numpy as jnp

    def layer(key, inputs, outputs):
        scale = np.sqrt(2 / (inputs + outputs))
        return scale * jax.random.normal(key, (inputs, outputs)), jnp.zeros(outputs)

    sizes = (data_dim, hidden), (hidden, 2 * latent_dim), (latent_dim, hidden), (hidden, data_dim)
    weights = [layer(jax.random.key(i), *size) for i, size in enumerate(sizes)]

    def loss(weights, x, key):
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
        z_mean, z_log_var = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=1)
        z = z_mean + jnp.exp(z_log_var / 2) * jax.random.normal(key, z_mean.shape)
        x_mean = jax.nn.relu(z @ w3 + b3) @ w4 + b4
        kl = (z_mean**2 + jnp.exp(z_log_var) - 1 - z_log_var).sum(axis=1) / 2
        return (((x - x_mean) ** 2).sum(axis=1) + kl).mean()

    def step(state, x):
        weights, m, v, t, key = state
        key, noise = jax.random.split(key)
        gradients = jax.grad(loss)(weights, x, noise)
        t += 1
        m = jax.tree.map(lambda a, g: a + 0.1 * (g - a), m, gradients)
        v = jax.tree.map(lambda a, g: a + 0.001 * (g * g - a), v, gradients)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, a, b: w - rate * a / (jnp.sqrt(b) + 1e-7), weights, m, v)
        return (weights, m, v, t, key), None

    x, steps = jnp.asarray(data(count, data_dim)), count // batch_size

    @jax.jit
    def scan(state):
        *rest, key = state
        key, order = jax.random.split(key)
        order = jax.random.permutation(order, count)[: steps * batch_size]
        take = lambda state, i: step(state, x[i])  # noqa: E731
        return jax.lax.scan(take, (*rest, key), order.reshape(steps, batch_size))[0]

    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, jnp.float32(0), jax.random.key(9))]

    def epoch():
        state[0] = jax.block_until_ready(scan(state[0]))

    return epoch, jax.__version__


def main(name, *sizes):
    sizes = [int(size) for size in sizes]
    *_, batch_size, count = sizes
    epoch, version = {"torch": torch_epoch, "jax": jax_epoch}[name](*sizes)
    steps = count // batch_size if name == "jax" else -(-count // batch_size)
    epoch()
    print("ready", version, flush=True)
    for line in sys.stdin:
        epochs = int(line)
        start = time.perf_counter()
        for _ in range(epochs):
            epoch()
        print((time.perf_counter() - start) / (epochs * steps) * 1e6, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
