"""``VAE.fit`` on several devices and in several processes gives what one device gives.

Each case runs in processes of its own, since TensorFlow fixes its devices when it starts.
"""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, os, sys
import tensorflow as tf, keras

kind, count, optimizer = sys.argv[1:]
cpu, = tf.config.list_physical_devices("CPU")
if kind == "mirrored":
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
elif kind == "workers":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
else:
    strategy = tf.distribute.get_strategy()
assert strategy.num_replicas_in_sync == (1 if kind == "one" else 2)

from vae_notes import VAE, KLAnnealing, Objective, data, schedules
from vae_notes.networks import dense

x = data.digits()[: int(count)]
with strategy.scope():
    vae = VAE(*dense(64, 3, (8,)), Objective(kl_weight=2.0))
    vae.compile({"class_name": optimizer, "config": {"learning_rate": 1e-3}}, jit_compile=False)
annealing = KLAnnealing(schedules.linear(0, 2))
fit = dict(epochs=3, batch_size=32, validation_data=x[:41], callbacks=[annealing], verbose=0)
history = vae.fit(x, **fit).history
logs = vae.evaluate(x[:20], verbose=0, return_dict=True)
weights = [float(value) for value in strategy.experimental_local_results(vae._kl_weight.value)]
print(json.dumps([history, logs, weights]))
"""


def train(kind, count, optimizer, workers=1):
    """What each of some processes prints; none survives the test."""
    ports = []
    for _ in range(workers):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    processes = []
    for i in range(workers):
        task = {"type": "worker", "index": i}
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        if kind == "workers":
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, kind, str(count), optimizer],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        results = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in results]


def assert_same(got, expected):
    assert set(got) == set(expected)
    for metric, values in expected.items():
        np.testing.assert_allclose(got[metric], values, rtol=1e-5, atol=1e-7, err_msg=metric)


@pytest.fixture(scope="module")
def alone():
    """What one device makes of it."""
    ((history, logs, (weight,)),) = train("one", 129, "SGD")
    assert history["kl_weight"] == [0, 1, 2] and weight == 2
    return history, logs


@pytest.mark.parametrize("kind, workers", [("mirrored", 1), ("workers", 2)])
def test_two_devices_do_what_one_does(kind, workers, alone):
    """With plain gradient descent, which sees the scale of a gradient, and uneven last batches.

    The last batch of 129 examples has one, so one of two devices has none.
    """
    history, logs = alone
    for results in train(kind, 129, "SGD", workers):
        assert_same(results[0], history)
        assert_same(results[1], logs)
        assert results[2] == [2] * (2 if kind == "mirrored" else 1)
