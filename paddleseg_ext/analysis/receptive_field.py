"""What a layer sees: the theoretical receptive field traced through any network, and the effective one.

Effective receptive field: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural
Networks", NeurIPS 2016.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import matplotlib
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.analysis.feature_maps import map_shapes, run_with_maps
from paddleseg_ext.tables import text_table

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

AREA_SHARES = (0.2, 0.5, 0.95, 0.99)
NARROW = 64
"""The side of the traced input across the traced axis; the strides of segmentation networks divide it."""
PERIOD = 64
"""Two outputs this many input pixels apart are compared to get the stride: a multiple of every upsampling factor."""
BASELINE = 1e-30
"""So small an input that gates and smooth activations are linear around it, with float64 far from underflow."""


@dataclass(frozen=True)
class AxisField:
    """The receptive field along one axis, in input pixels: output i sees `size` pixels around `centre + i * stride`.

    The first pixel is 0. `size` and `centre` are None where an output sees the whole input; `stride` is None where
    the map has a fixed size.
    """

    size: int | None
    stride: float | None
    centre: float | None


@dataclass(frozen=True)
class Field:
    """The receptive field of a map: its channels, and the field along its height and its width."""

    channels: int
    height: AxisField
    width: AxisField


def theoretical_fields(
    model: nn.Layer, names: Iterable[str], in_channels: int = 3, max_size: int = 4096
) -> dict[str, Field]:
    """The receptive fields of the named maps (see `visit_maps`), exact.

    A gradient is sent back from one output to the input of a copy of the network in which every weight is positive,
    batch norms are identities and maxima are means. There no path cancels another and none is blocked: the pixels
    with a gradient are those that the output depends on. The two axes are traced on long, narrow inputs, which grow
    until the field ends well inside; one that does not within `max_size` pixels counts as the whole input.
    """
    names = list(names)
    with tracing(model) as traced:
        shapes = map_shapes(traced, _input(in_channels, (NARROW, NARROW)))
        height, width = (_axis_fields(traced, names, in_channels, max_size, axis, shapes) for axis in (2, 3))
    return {name: Field(shapes[name][1], height[name], width[name]) for name in names}


def field_table(fields: dict[str, Field]) -> str:
    """The fields as text, height by width: a line a layer."""

    def cell(field: Field, attribute: str, absent: str) -> str:
        values = [getattr(axis, attribute) for axis in (field.height, field.width)]
        return absent if None in values else " x ".join(f"{value:g}" for value in values)

    attributes = (("size", "whole input"), ("stride", "-"), ("centre", "-"))
    rows = [[name, field.channels, *(cell(field, *one) for one in attributes)] for name, field in fields.items()]
    return text_table(["layer", "channels", "receptive field", "stride", "centre of output 0"], rows)


@contextmanager
def tracing(model: nn.Layer):
    """A float64 copy of the network through which dependence can be traced, as `theoretical_fields` says."""
    model = copy.deepcopy(model)
    model.eval()
    model.to(dtype="float64")
    rng = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        fan_in = max(1, int(np.prod(parameter.shape[1:])))
        # not all alike: softmax and differences have no gradient where everything is equal
        value = rng.uniform(0.5, 1.5, parameter.shape) / fan_in
        parameter.set_value(value if not name.endswith("bias") else 0 * value)
        parameter.stop_gradient = True
    for name, statistic in model.named_buffers():
        if name.endswith(("_mean", "_variance")):  # of a batch norm
            statistic.set_value(np.full(statistic.shape, float(name.endswith("_variance"))))
    default_dtype = paddle.get_default_dtype()
    paddle.set_default_dtype("float64")
    try:
        # the functions, because networks call them directly and the layers call them too
        with mock.patch.multiple(
            F, relu=_open_relu, relu6=_open_relu, max_pool2d=_mean_pool2d, adaptive_max_pool2d=_adaptive_mean_pool2d
        ):
            yield model
    finally:
        paddle.set_default_dtype(default_dtype)


def _open_relu(x, name=None):
    return F.leaky_relu(x, 0.5)


def _mean_pool2d(
    x, kernel_size, stride=None, padding=0, return_mask=False, ceil_mode=False, data_format="NCHW", name=None
):
    if return_mask:
        raise ValueError("a network that keeps the indices of its maxima cannot be traced")
    return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, data_format=data_format)


def _adaptive_mean_pool2d(x, output_size, return_mask=False, name=None):
    return F.adaptive_avg_pool2d(x, output_size)


def _axis_fields(
    model: nn.Layer, names: list[str], in_channels: int, max_size: int, axis: int, shapes: dict[str, list[int]]
) -> dict[str, AxisField]:
    """The fields along one axis, on inputs that grow until each field ends inside; `shapes` of the smallest input."""
    fields = dict.fromkeys(names, AxisField(None, None, None))
    gap = _widest_gap(model, axis, shapes)
    for size in [size for size in (512, 1024, 2048) if size < max_size] + [max_size]:
        open_ended = [name for name in names if fields[name].size is None]
        if not open_ended:
            break
        x = _input(in_channels, (size, NARROW) if axis == 2 else (NARROW, size))
        for name, output in run_with_maps(model, x, open_ended)[1].items():
            if output.shape[axis] > shapes[name][axis]:  # else a pooled map of fixed size, which sees everything
                fields[name] = _trace(output, x, axis, gap)
    return fields


def _widest_gap(model: nn.Layer, axis: int, shapes: dict[str, list[int]]) -> float:
    """The largest distance between neighbouring taps of a convolution, in input pixels.

    A field that ends nearer to the border than this may go on beyond it, where a dilated tap met only padding.
    """
    gaps = [1]
    for name, layer in model.named_sublayers():
        if isinstance(layer, nn.Conv2D) and name in shapes:
            input_length = shapes[name][axis] * layer._stride[axis - 2]
            gaps.append(layer._dilation[axis - 2] * NARROW / input_length)
    return max(gaps)


def _trace(output: paddle.Tensor, x: paddle.Tensor, axis: int, margin: float) -> AxisField:
    """The field of a map along one axis, from what two outputs in its middle depend on, `margin` inside the input."""
    size, length = x.shape[axis], output.shape[axis]
    across = output.shape[5 - axis] // 2
    step = max(1, round(PERIOD * length / size))
    first = (length - step) // 2

    def span(index: int) -> tuple[int, int]:
        position = (index, across) if axis == 2 else (across, index)
        gradient = _gradient(output[:, :, position[0], position[1]], x)
        (seen,) = np.nonzero(np.abs(gradient).sum(axis=(0, 1, 5 - axis)))
        return (seen[0], seen[-1]) if seen.size else (0, size - 1)

    low, high = span(first)
    next_low, next_high = (low, high) if low < margin else span(first + step)
    if low < margin or next_high >= size - margin:
        return AxisField(None, size / length, None)
    stride = float(next_low + next_high - low - high) / 2 / step
    return AxisField(int(high - low + 1), stride, float(low + high) / 2 - first * stride)


class EffectiveFields:
    """The effective receptive fields of the named maps, averaged over the inputs that are added one by one.

    The field of a map is the absolute gradient of its central output (all channels summed) with respect to the
    input, summed over the input's channels: how much every pixel counts.

    Raises:
        ValueError: the gradient of a map is zero everywhere.
    """

    def __init__(self, model: nn.Layer, names: Iterable[str]):
        self.model = model
        self.names = list(names)
        self.count = 0
        self._places: dict[str, tuple] = {}
        self._sums = dict.fromkeys(self.names, np.zeros(()))

    def add(self, x: paddle.Tensor) -> None:
        """Another input (1, C, H, W), as large as the others."""
        x = x.detach()
        x.stop_gradient = False
        for name, output in run_with_maps(self.model, x, self.names)[1].items():
            row, column = output.shape[2] // 2, output.shape[3] // 2
            gradient = np.abs(_gradient(output[:, :, row, column], x))
            self._sums[name] = self._sums[name] + gradient.sum(axis=(0, 1), dtype=np.float64)
            self._places[name] = tuple(zip((row, column), x.shape[2:], output.shape[2:]))
        self.count += 1

    def centre(self, name: str, field: Field) -> tuple[int, int]:
        """The pixel (row, column) that the output whose gradient was taken is centred on, by its theoretical field.

        Where the field is the whole input, and so has no centre: index * stride, as in a network of padded
        convolutions, whose strides begin at pixel 0.
        """
        pixels = []
        for axis, (index, size, length) in zip((field.height, field.width), self._places[name]):
            stride = size / length if axis.stride is None else axis.stride
            pixels.append(min(int(np.floor((axis.centre or 0) + index * stride + 0.5)), size - 1))
        return pixels[0], pixels[1]

    def shares(self, name: str) -> np.ndarray:
        """The share of each pixel in the gradient of the map (H, W); they sum to 1."""
        total = self._sums[name].sum()
        if total == 0:
            raise ValueError(f"{name}: the gradient of its central output is zero everywhere")
        return self._sums[name] / total


@dataclass(frozen=True)
class Square:
    """The smallest square around the centre that holds `share` of the gradient, `area_ratio` of the input's area."""

    share: float
    side: int
    area_ratio: float


def squares(shares: np.ndarray, centre: tuple[int, int], wanted: Iterable[float] = AREA_SHARES) -> list[Square]:
    """The squares around `centre` (row, column) for some shares of an effective field (H, W), cut at the border."""
    rows, columns = np.indices(shares.shape)
    distance = np.maximum(abs(rows - centre[0]), abs(columns - centre[1])).ravel()
    held = np.cumsum(np.bincount(distance, shares.ravel()))
    areas = np.cumsum(np.bincount(distance)) / shares.size
    reaches = [min(int(np.searchsorted(held, share)), len(held) - 1) for share in wanted]
    return [Square(share, 2 * reach + 1, float(areas[reach])) for share, reach in zip(wanted, reaches)]


def plot_effective(path: str, name: str, shares: np.ndarray, centre: tuple[int, int], found: list[Square]) -> None:
    """Save an effective field with its squares as an image."""
    height, width = shares.shape
    figure, axes = plt.subplots(figsize=(7, 1.2 + 6 * height / width), layout="constrained")
    relative = np.log10(np.maximum(shares / shares.max(), 1e-6))
    shown = axes.imshow(relative, cmap="magma", vmin=-6, vmax=0)
    colours = plt.get_cmap("winter")(np.linspace(1, 0, len(found)))
    for square, colour in zip(found, colours):
        corner = (centre[1] - square.side / 2, centre[0] - square.side / 2)
        label = f"{square.share:.0%} of the gradient: {square.side} px, {square.area_ratio:.1%} of the area"
        axes.add_patch(Rectangle(corner, square.side, square.side, fill=False, color=colour, label=label))
    axes.set(title=f"Effective receptive field of {name}", xlabel="x / px", ylabel="y / px")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.colorbar(shown, label="log10 of the gradient, relative to its maximum")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _input(channels: int, size: tuple[int, int]) -> paddle.Tensor:
    values = BASELINE * np.random.default_rng(1).uniform(0.5, 1.5, (1, channels, *size))
    return paddle.to_tensor(values, stop_gradient=False)


def _gradient(outputs: paddle.Tensor, x: paddle.Tensor) -> np.ndarray:
    (gradient,) = paddle.grad(outputs.sum(), [x], retain_graph=True)
    return gradient.numpy()
