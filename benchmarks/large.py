"""Time and weigh what large data cost: the spectrum of 8,000 x 3,072, a diagnosis of 512 units.

    python benchmarks/large.py [REPEATS]

Every row is a process of its own, which prints the least seconds of the repeats, on the clock and
of all processors together, and by how much the first of them raised the peak of its memory.
"""

import resource
import subprocess
import sys
import time

import numpy as np

ROWS, DATA_DIM = 8000, 3072


def images():
    """Examples whose spectrum falls as that of natural images does, in float32."""
    random = np.random.default_rng(0)
    x = random.standard_normal((ROWS, DATA_DIM), np.float32)
    x *= np.arange(1, DATA_DIM + 1, dtype=np.float32) ** -0.75
    direction = random.standard_normal(DATA_DIM, np.float32)
    direction /= np.linalg.norm(direction)
    for block in np.array_split(x, 40):  # mirrored: no value is an eigenvector's own
        block -= np.outer(block @ direction, 2 * direction)
    return x


def reference(x):
    x = x.astype(np.float64)
    x -= x.mean(axis=0)
    return np.linalg.eigvalsh(x.T @ x / len(x))


def spectrum(source=lambda x: x, **options):
    def made():
        from vae_notes import theory

        x = images()
        return lambda: theory.spectrum(source(x), **options)

    return made


def batches(x):
    return (x[i : i + 100] for i in range(0, len(x), 100))


def numpy():
    x = images()
    return lambda: reference(x)


def diagnosis(units=512, rows=5000, data_dim=784):
    from vae_notes import VAE, diagnose
    from vae_notes.networks import dense

    x = np.random.default_rng(0).random((rows, data_dim), np.float32)
    vae = VAE(*dense(data_dim, units))
    diagnose(vae, x[:64])
    return lambda: diagnose(vae, x)


CASES = {
    "NumPy, all eigenvalues": numpy,
    "theory.spectrum(x)": spectrum(),
    "theory.spectrum(x, leading=32)": spectrum(leading=32),
    "theory.spectrum(x, leading=96)": spectrum(leading=96),
    "theory.spectrum(generator, leading=32)": spectrum(batches, leading=32),
    "diagnose(vae, x), D = 512": diagnosis,
}


def peak():
    """The peak of this process's memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (
        10 if sys.platform != "darwin" else 20
    )


def row(name, repeats):
    """Print the row of one case."""
    call, before, raised, times = CASES[name](), peak(), 0.0, []
    for _ in range(repeats):
        clock, processors = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - clock, time.process_time() - processors))
        raised = raised or peak() - before
    clock, processors = map(min, zip(*times, strict=True))
    print(f"{name:40} {clock:8.2f} {processors:10.2f} {raised:8.0f}", flush=True)


def main(repeats=3):
    """Print a row a case."""
    print(f"{'':40} {'seconds':>8} {'processor':>10} {'MiB':>8}", flush=True)
    for name in CASES:
        subprocess.run([sys.executable, __file__, str(repeats), name], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        row(sys.argv[2], int(sys.argv[1]))
    else:
        main(*map(int, sys.argv[1:]))
