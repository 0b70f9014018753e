"""Attention that fuses maps in SANet (https://arxiv.org/abs/2309.10519): bi-attention and the decoder SAD."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.layers.basic import init_convolutions, resize_to


class BiAttentionFusion(nn.Layer):
    """A weighted mean of two maps; one weight a pixel: ``α·a + (1 − α)·b``, ``α = sigmoid(conv1x1(ReLU(a + b)))``.

    Args:
        channels: C of both inputs and of the result, all (N, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight_conv = nn.Conv2D(channels, 1, 1)

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        alpha = F.sigmoid(self.weight_conv(F.relu(a + b)))
        return a * alpha + b * (1 - alpha)


class SimpleAttentionDecoder(nn.Layer):
    """SANet's decoder SAD: attention along rows and columns of the spatial path chooses between detail and context.

    ``A = sigmoid(conv1x3(s)) + sigmoid(conv3x1(s))`` with s = d1 + d2 (or both side by side), and
    ``out = conv1x1(d·A + d + y·(1 − A) + y)``. A lies in (0, 2).

    Args:
        in_channels: C of every input.
        out_channels: channels of the result.
        spatial_fusion: "add" or "concat", what makes s of d1 and d2.

    Raises:
        ValueError: another `spatial_fusion`.
    """

    def __init__(self, in_channels: int, out_channels: int, spatial_fusion: str = "add"):
        super().__init__()
        if spatial_fusion not in ("add", "concat"):
            raise ValueError(f"spatial_fusion is {spatial_fusion!r}; expected 'add' or 'concat'")
        self.spatial_fusion = spatial_fusion
        spatial_channels = in_channels * (2 if spatial_fusion == "concat" else 1)
        self.row_conv = nn.Conv2D(spatial_channels, in_channels, (1, 3), padding=(0, 1), bias_attr=False)
        self.column_conv = nn.Conv2D(spatial_channels, in_channels, (3, 1), padding=(1, 0), bias_attr=False)
        self.out_conv = nn.Conv2D(in_channels, out_channels, 1, bias_attr=False)
        init_convolutions(self)

    def forward(self, d1: paddle.Tensor, d2: paddle.Tensor, d: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
        """d1, d2 and d are (N, C, H, W), y is (N, C, any, any); returns (N, out_channels, H, W)."""
        y = resize_to(F.relu(y), d)
        spatial = d1 + d2 if self.spatial_fusion == "add" else paddle.concat([d1, d2], axis=1)
        attention = F.sigmoid(self.row_conv(spatial)) + F.sigmoid(self.column_conv(spatial))
        return self.out_conv(d * attention + d + y * (1 - attention) + y)
