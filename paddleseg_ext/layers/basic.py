"""The few building blocks that PaddleSeg lacks and that the layers here share."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import param_init
from paddleseg.models import layers


def bn_relu_conv(
    in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], bias: bool = False
) -> nn.Sequential:
    """The pre-activation unit: batch norm, ReLU, convolution with stride 1 that keeps H and W."""
    height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    return nn.Sequential(
        layers.SyncBatchNorm(in_channels),
        nn.ReLU(),
        nn.Conv2D(
            in_channels,
            out_channels,
            (height, width),
            padding=(height // 2, width // 2),
            bias_attr=None if bias else False,
        ),
    )


def at_least_float32(x: paddle.Tensor) -> paddle.Tensor:
    """Half precision as float32, since sums over all pixels overflow.

    No cast to the same type, at which Paddle 2.6 is slow.
    """
    return x if x.dtype in (paddle.float32, paddle.float64) else x.astype("float32")


def resize_to(x: paddle.Tensor, reference: paddle.Tensor, align_corners: bool = False) -> paddle.Tensor:
    """`x` (N, C, h, w) resized bilinearly to the (H, W) of `reference`, which may be unknown until a graph runs."""
    return F.interpolate(x, reference.shape[2:], mode="bilinear", align_corners=align_corners)


def init_convolutions(network: nn.Layer) -> None:
    """He's normal initialisation by fan-out for every convolution, as the official SANet has it.

    Paddle's own default uses fan-in.
    """
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D):
            out_channels, _, height, width = layer.weight.shape
            param_init.normal_init(layer.weight, std=(2 / (out_channels * height * width)) ** 0.5)
