"""The models that are timed, and how a contestant, a process of its own, answers for its time.

A contestant is started with its name, a case and a number of replicates. When it is ready it
writes a line of JSON about itself. It answers each line with a number of calls by the seconds that
they took and the most memory that it has held so far.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    shape: tuple  # of one example
    widths: tuple  # units of the hidden layer, or filters of both convolutions
    latent_dim: int
    batch_size: int
    count: int  # examples

    @property
    def convolutional(self):
        return len(self.shape) > 1

    @property
    def corner(self):
        """Height and width of what the encoder flattens."""
        return self.shape[0] // 4, self.shape[1] // 4

    @property
    def layers(self):
        """Rows, inputs and outputs of the matrix product that each layer is at bottom."""
        b, z = self.batch_size, self.latent_dim
        if not self.convolutional:
            (n,), (h,) = self.shape, self.widths
            return [(b, n, h), (b, h, 2 * z), (b, z, h), (b, h, n)]
        (*_, channels), (f, g) = self.shape, self.widths
        small = math.prod(self.corner)
        far, near = b * 4 * small, b * small  # pixels of a batch after one halving, after two
        encoder = [(far, 9 * channels, f), (near, 9 * f, g), (b, small * g, 2 * z)]
        return [*encoder, (b, z, small * g), (near, g, 9 * f), (far, f, 9 * channels)]

    @property
    def products(self):
        """(n, k, m) of each product (n, k) (k, m) of a step; nothing goes back to the data."""
        forward = self.layers
        weights = [(k, rows, m) for rows, k, m in forward]
        inputs = [(rows, m, k) for rows, k, m in forward[1:]]
        return [*forward, *weights, *inputs]

    @property
    def steps(self):
        """Of an epoch, with the last batch, which may be smaller."""
        return math.ceil(self.count / self.batch_size)

    @property
    def full_steps(self):
        """Of an epoch that leaves out a smaller last batch."""
        return self.count // self.batch_size

    def examples(self):
        size = self.count, *self.shape
        return np.random.default_rng(0).random(size, dtype=np.float32)


CASES = {
    "64-64-8": Case((64,), (64,), 8, 32, 1797),
    "784-400-20": Case((784,), (400,), 20, 128, 3840),
    "conv (16, 32)": Case((28, 28, 1), (16, 32), 16, 128, 1280),
    "conv (32, 64)": Case((28, 28, 1), (32, 64), 16, 128, 1280),
}


def serve(make, versions, gpu=None):
    """Be a contestant.

    ``make(case, replicates)`` gives a function of a number of calls, and the steps of a call;
    ``gpu``, where the contestant runs on one, is its name and a function that tells its peak bytes.
    """
    case, replicates = CASES[sys.argv[2]], int(sys.argv[3])
    before, start = peak(), time.perf_counter()
    run, steps = make(case, replicates)
    run(1)
    middle = time.perf_counter()
    run(1)
    call = time.perf_counter() - middle
    ready = {"steps": steps, "call": call, "compiling": max(0, middle - start - call)}
    print(json.dumps(ready | {"versions": versions, "gpu": gpu and gpu[0]}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        seconds = time.perf_counter() - start
        memory = gpu[1]() if gpu else peak() - before
        print(json.dumps({"seconds": seconds, "memory": memory / 2**20}), flush=True)


def peak():
    """The most bytes that this process has held in memory."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(s.split()[1]) for s in lines if s.startswith("VmHWM"))
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
