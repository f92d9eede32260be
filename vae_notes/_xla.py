"""Compiling a function: with XLA where that is faster, otherwise as one graph.

XLA joins small operations into few, which is what a small dense model needs. On a processor it has
no fast convolution, and takes up to sixty times as long for one as TensorFlow's own kernel does. So
the program is traced first, and what is in it decides.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from vae_notes._keras import all_layers, tf

__all__ = ["Compiled", "supports_xla"]

SLOW = ("Conv", "DepthwiseConv", "Dilation2D")  # how the names of these operations begin


class Compiled:
    """A function of tensors, traced once for a signature, and run with XLA or without.

    Parameters
    ----------
    function : callable
        From tensors to tensors; it may change variables.
    signature : sequence of tf.TensorSpec
        Of its arguments.
    jit_compile : bool or "auto"
        Whether with XLA; "auto" decides by what is in the program, and is no where XLA refuses.

    Attributes
    ----------
    xla : bool
        Whether with XLA.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Sequence[Any],
        jit_compile: bool | str = "auto",
    ) -> None:
        self.function, self.signature, self.asked = function, signature, jit_compile
        self.lock = threading.Lock()
        self.trace(bool(jit_compile))
        if jit_compile == "auto" and _is_slow(self.program.graph):
            self.trace(False)

    def trace(self, xla: bool) -> None:
        """Make the program."""
        self.xla = xla
        function = tf.function(self.function, jit_compile=xla, autograph=False)
        self.program = function.get_concrete_function(*self.signature)

    def __call__(self, *arguments: Any) -> Any:
        xla = self.xla
        try:
            return self.program(*arguments)
        except tf.errors.InvalidArgumentError:
            if self.asked != "auto" or not xla:
                raise
        # XLA refused before it did anything, so this is the first time that the program runs
        with self.lock:
            if self.xla:
                self.trace(False)
        return self.program(*arguments)


def _is_slow(graph: Any) -> bool:
    """Whether XLA has no fast kernel for something in a graph; a GPU has them all."""
    if tf.config.list_physical_devices("GPU"):
        return False
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(node.op.startswith(SLOW) for node in nodes)


def supports_xla(model: Any) -> bool:
    """Whether no layer says that XLA cannot compile it; on a Mac's GPU it compiles nothing."""
    metal = sys.platform == "darwin" and tf.config.list_physical_devices("GPU")
    return not metal and all(layer.supports_jit for layer in all_layers(model))
