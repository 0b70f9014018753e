"""The maps that the named layers of any network put out, seen or replaced while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import contextmanager

import paddle
from paddle import nn


@contextmanager
def visit_maps(model: nn.Layer, visit: Callable[[str, paddle.Tensor], paddle.Tensor | None]):
    """Within it `visit(name, map)` sees each map (N, C, H, W) that a sublayer of `model` puts out, in running order.

    The name is the sublayer's (`backbone.layer1`), with an index where it puts out several maps (`backbone[3]`).
    What `visit` returns, if anything, takes the place of the map.
    """

    def hook_of(name: str):
        def hook(layer, inputs, outputs):
            if isinstance(outputs, (list, tuple)):
                return type(outputs)(seen(f"{name}[{index}]", value) for index, value in enumerate(outputs))
            return seen(name, outputs)

        return hook

    def seen(name: str, value):
        replaced = visit(name, value) if isinstance(value, paddle.Tensor) and value.ndim == 4 else None
        return value if replaced is None else replaced

    hooks = [layer.register_forward_post_hook(hook_of(name)) for name, layer in model.named_sublayers()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def run_with_maps(model: nn.Layer, x: paddle.Tensor, names: Collection[str] | None = None):
    """What the network returns for the input `x`, and {name: map} of its maps or of those of these `names`."""
    maps: dict[str, paddle.Tensor] = {}

    def keep(name, value):
        if names is not None and name not in names:
            return None
        maps.pop(name, None)  # a layer that runs again counts where it runs last
        maps[name] = value
        return value.clone()  # the network may work in place

    with visit_maps(model, keep):
        return model(x), maps


@paddle.no_grad()
def map_shapes(model: nn.Layer, x: paddle.Tensor) -> dict[str, list[int]]:
    """The shape of every map by name, in the order in which the network computes them for the input `x`."""
    shapes: dict[str, list[int]] = {}

    def visit(name, value):
        shapes.pop(name, None)  # a layer that runs again counts where it runs last
        shapes[name] = value.shape

    with visit_maps(model, visit):
        model(x)
    return shapes
