"""The same training step in PyTorch and in JAX, in an environment of their own.

    python rivals.py torch|torch.func|jax|jax.vmap CASE REPLICATES

A contestant of benchmarks/bench.py, which starts it; see cases.py for what it answers. Layers,
optimiser, noise and loss are those of ours.py, with one linear map for both heads. PyTorch pads an
image by a pixel on each side where Keras pads by one at the end. All but eager PyTorch leave out a
smaller last batch, so that every step has the same shape.
"""

import functools
import importlib
import sys

from cases import serve

# PyTorch


def torch_model(case):
    from torch import nn

    z = 2 * case.latent_dim
    if not case.convolutional:
        (n,), (h,) = case.shape, case.widths
        encoder = [nn.Linear(n, h), nn.ReLU(), nn.Linear(h, z)]
        decoder = [nn.Linear(z // 2, h), nn.ReLU(), nn.Linear(h, n)]
    else:
        (*_, channels), (f, g), (a, b) = case.shape, case.widths, case.corner
        conv = functools.partial(nn.Conv2d, kernel_size=3, stride=2, padding=1)
        back = functools.partial(
            nn.ConvTranspose2d, kernel_size=3, stride=2, padding=1, output_padding=1
        )
        encoder = [conv(channels, f), nn.ReLU(), conv(f, g), nn.ReLU(), nn.Flatten()]
        encoder += [nn.Linear(a * b * g, z)]
        decoder = [nn.Linear(z // 2, a * b * g), nn.ReLU(), nn.Unflatten(1, (g, a, b))]
        decoder += [back(g, f), nn.ReLU(), back(f, channels)]

    return torch_loss()(nn.Sequential(*encoder), nn.Sequential(*decoder))


@functools.cache
def torch_loss():
    """The class, one for all: ``stack_module_state`` wants it so."""
    from torch import nn

    class Loss(nn.Module):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def forward(self, x, noise):
            z_mean, z_log_var = self.encoder(x).chunk(2, dim=1)
            z = z_mean + (z_log_var / 2).exp() * noise
            error = (x - self.decoder(z)).square().flatten(1).sum(dim=1)
            kl = (z_mean.square() + z_log_var.exp() - 1 - z_log_var).sum(dim=1) / 2
            return (error + kl).mean()

    return Loss


def torch_data(case, device):
    import torch

    x = torch.tensor(case.examples(), device=device)
    return x.permute(0, 3, 1, 2).contiguous() if case.convolutional else x  # channels first


def torch_eager(case, replicates):
    """Modules, autograd and Adam, as PyTorch's tutorials train."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    loss, x = torch_model(case).to(device), torch_data(case, device)
    adam = torch.optim.Adam(loss.parameters(), 1e-3)

    def run(calls):
        for _ in range(calls):
            for index in torch.randperm(case.count, device=device).split(case.batch_size):
                adam.zero_grad()
                loss(x[index], torch.randn(len(index), case.latent_dim, device=device)).backward()
                adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run, case.steps


def torch_func(case, replicates):
    """Stacked parameters, ``vmap`` of ``grad`` compiled, and Adam's fused kernel."""
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap

    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = [torch_model(case).to(device) for _ in range(replicates)]
    weights, _ = stack_module_state(models)
    adam, x = torch.optim.Adam(weights.values(), 1e-3, fused=True), torch_data(case, device)

    def loss(weights, x, noise):
        return functional_call(models[0], weights, (x, noise))

    torch._dynamo.config.suppress_errors = True  # without a compiler for C++, not compiled
    gradient = torch.compile(vmap(grad(loss)), dynamic=False)
    cut = case.full_steps * case.batch_size

    def run(calls):
        for _ in range(calls):
            order = torch.rand(replicates, case.count, device=device).argsort(dim=1)[:, :cut]
            for index in order.split(case.batch_size, dim=1):
                noise = torch.randn(*index.shape, case.latent_dim, device=device)
                values = {name: weight.detach() for name, weight in weights.items()}
                for name, value in gradient(values, x[index], noise).items():
                    weights[name].grad = value
                adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run, case.full_steps


# JAX


def jax_dense(weights, x, noise):
    import jax

    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
    z_mean, z_log_var, z = draw(jax.nn.relu(x @ w1 + b1) @ w2 + b2, noise)
    return z_mean, z_log_var, jax.nn.relu(z @ w3 + b3) @ w4 + b4


def jax_conv(weights, x, noise):
    import jax

    relu = jax.nn.relu
    (w1, b1), (w2, b2), (w3, b3), (w4, b4), (w5, b5), (w6, b6) = weights
    h = relu(conv(relu(conv(x, w1) + b1), w2) + b2)
    z_mean, z_log_var, z = draw(h.reshape(len(h), -1) @ w3 + b3, noise)
    h = relu(z @ w4 + b4).reshape(h.shape)
    return z_mean, z_log_var, conv_transpose(relu(conv_transpose(h, w5) + b5), w6) + b6


def draw(heads, noise):
    import jax.numpy as jnp

    z_mean, z_log_var = jnp.split(heads, 2, axis=1)
    return z_mean, z_log_var, z_mean + jnp.exp(z_log_var / 2) * noise


NHWC = "NHWC", "HWIO", "NHWC"


def conv(x, w):
    """A convolution of stride 2: JAX's on a GPU, patches times weights on a processor."""
    import jax
    import jax.numpy as jnp

    if on_gpu():
        return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=NHWC)
    b, h, v, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    patches = [x[:, i : i + h : 2, j : j + v : 2] for i in range(3) for j in range(3)]
    rows = jnp.concatenate(patches, axis=-1).reshape(b * h * v // 4, -1)
    return (rows @ w.reshape(-1, w.shape[-1])).reshape(b, h // 2, v // 2, -1)


def conv_transpose(x, w):
    """Its transpose; on a processor the products are added up where they overlap."""
    import jax

    if on_gpu():
        return jax.lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=NHWC)
    (b, h, v, c), outputs = x.shape, w.shape[-1]
    y = x.reshape(-1, c) @ w.transpose(2, 0, 1, 3).reshape(c, -1)
    y = interleave(y.reshape(b, h, v, 3, 3, outputs), 1)
    return interleave(y, 2)


def interleave(y, axis):
    """(.., n, .., 3, ..) to (.., 2 n, ..): of neighbours, third and first share a place."""
    import jax.numpy as jnp

    first, second, third = (jnp.take(y, i, axis=3) for i in range(3))
    before = [(1, 0) if i == axis else (0, 0) for i in range(third.ndim)]
    third = jnp.pad(third, before)[(slice(None),) * axis + (slice(-1),)]
    both = jnp.stack([first + third, second], axis=axis + 1)
    return both.reshape(*both.shape[:axis], -1, *both.shape[axis + 2 :])


def on_gpu():
    import jax

    return jax.default_backend() == "gpu"


def jax_weights(case, key):
    import jax
    import jax.numpy as jnp

    def layer(key, *shape):
        scale = (shape[-1] / shape[-2] + 1) ** -0.5 * (2 / shape[-2]) ** 0.5
        return scale * jax.random.normal(key, shape), jnp.zeros(shape[-1])

    z = case.latent_dim
    if case.convolutional:
        (*_, channels), (f, g), (a, b) = case.shape, case.widths, case.corner
        sizes = [(3, 3, channels, f), (3, 3, f, g), (a * b * g, 2 * z)]
        sizes += [(z, a * b * g), (3, 3, g, f), (3, 3, f, channels)]
    else:
        (n,), (h,) = case.shape, case.widths
        sizes = [(n, h), (h, 2 * z), (z, h), (h, n)]
    return [layer(k, *s) for k, s in zip(jax.random.split(key, len(sizes)), sizes, strict=True)]


def jax_scan(case, replicates):
    """An epoch in one ``lax.scan``, whose state is donated; ``vmap`` where there are several.

    Convolutions on a processor go through the replicates with ``lax.map``, not ``vmap``, which
    takes about twice as long there; and through ``lax.conv`` they would take ten times as long.
    """
    import jax
    import jax.numpy as jnp

    forward = jax_conv if case.convolutional else jax_dense

    def loss(weights, x, noise):
        z_mean, z_log_var, x_mean = forward(weights, x, noise)
        kl = (z_mean**2 + jnp.exp(z_log_var) - 1 - z_log_var).sum(axis=1) / 2
        return (((x - x_mean) ** 2).reshape(len(x), -1).sum(axis=1) + kl).mean()

    def step(state, index):
        weights, m, v, t, key = state
        key, draw = jax.random.split(key)
        noise = jax.random.normal(draw, (case.batch_size, case.latent_dim))
        gradients = jax.grad(loss)(weights, x[index], noise)
        t += 1
        m = jax.tree.map(lambda a, g: a + 0.1 * (g - a), m, gradients)
        v = jax.tree.map(lambda a, g: a + 0.001 * (g * g - a), v, gradients)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, a, b: w - rate * a / (jnp.sqrt(b) + 1e-7), weights, m, v)
        return weights, m, v, t, key

    def start(key):
        weights = jax_weights(case, key)
        zeros = (jax.tree.map(jnp.zeros_like, weights) for _ in "mv")
        return weights, *zeros, jnp.float32(0), key

    def order(key):
        order = jax.random.permutation(key, case.count)[: case.full_steps * case.batch_size]
        return order.reshape(case.full_steps, case.batch_size)

    several = replicates > 1
    each = lambda function: jax.vmap(function) if several else function  # noqa: E731
    if several and case.convolutional and not on_gpu():
        steps = lambda state, index: jax.lax.map(lambda a: step(*a), (state, index))  # noqa: E731
    else:
        steps = each(step)

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state):
        *rest, key = state
        key, shuffle = jnp.moveaxis(each(jax.random.split)(key), -1, 0)
        orders = each(order)(shuffle)
        orders = orders.swapaxes(0, 1) if several else orders
        return jax.lax.scan(lambda s, i: (steps(s, i), None), (*rest, key), orders)[0]

    x, key = jnp.asarray(case.examples()), jax.random.key(0)
    state = [jax.jit(each(start))(jax.random.split(key, replicates) if several else key)]

    def run(calls):
        for _ in range(calls):
            state[0] = epoch(state[0])
        jax.block_until_ready(state[0])

    return run, case.full_steps


MAKERS = {
    "torch": torch_eager,
    "torch.func": torch_func,
    "jax": jax_scan,
    "jax.vmap": jax_scan,
}


def gpu_of(library):
    if library.__name__ == "torch" and library.cuda.is_available():
        return library.cuda.get_device_name(0), library.cuda.max_memory_allocated
    if library.__name__ == "jax" and on_gpu():
        device = library.devices()[0]
        return device.device_kind, lambda: device.memory_stats()["peak_bytes_in_use"]
    return None


def main():
    library = importlib.import_module(sys.argv[1].partition(".")[0])
    serve(MAKERS[sys.argv[1]], {library.__name__: library.__version__}, gpu_of(library))


if __name__ == "__main__":
    main()
