"""``VAE.fit`` on several devices and in several processes gives what one device gives.

Several devices are those of processes of their own, since TensorFlow fixes them when it starts.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_notes import VAE, KLAnnealing, Objective, data, schedules
from vae_notes._keras import keras, tf
from vae_notes.networks import dense

PROGRAM = """
import json, sys
import tensorflow as tf

if sys.argv[1] == "mirrored":
    cpu, = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
assert strategy.num_replicas_in_sync == 2

sys.path.append(sys.argv[2])
from test_distribution import trained
print(json.dumps(trained(strategy)))
"""


def trained(strategy):
    """History, logs of ``evaluate`` and the KL weight on each device.

    With plain gradient descent, which sees the scale of a gradient, and uneven last batches. That
    of 129 examples has one, so one of two devices has none.
    """
    x = data.digits()[:129]
    with strategy.scope():
        vae = VAE(*dense(64, 3, (8,)), Objective(kl_weight=2.0))
        vae.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    annealing = KLAnnealing(schedules.linear(0, 2))
    fit = dict(epochs=3, batch_size=32, validation_data=x[:41], callbacks=[annealing], verbose=0)
    history = vae.fit(x, **fit).history
    logs = vae.evaluate(x[:20], verbose=0, return_dict=True)
    weights = strategy.experimental_local_results(vae._kl_weight.value)
    return history, logs, [float(value) for value in weights]


def train(kind, workers):
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
                [sys.executable, "-c", PROGRAM, kind, Path(__file__).parent],
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
    history, logs, weights = trained(tf.distribute.get_strategy())
    assert history["kl_weight"] == [0, 1, 2] and weights == [2]
    return history, logs


@pytest.mark.parametrize("kind, workers", [("mirrored", 1), ("workers", 2)])
def test_two_devices_do_what_one_does(kind, workers, alone):
    history, logs = alone
    for results in train(kind, workers):
        assert_same(results[0], history)
        assert_same(results[1], logs)
        assert results[2] == [2] * (2 if kind == "mirrored" else 1)
