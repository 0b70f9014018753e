"""Context encoding (Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018).

Legend: N images, C channels, L = H*W positions, K codewords.
"""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddleseg.models import layers


class EncModule(nn.Layer):
    """Channel attention from the encoded content of the whole image: ``relu(x + x * gamma)``.

    `gamma` (N, C) is a sigmoid layer over the mean of the K normalized residual encodings.

    Args:
        in_channels: C.
        num_codes: K.

    Shape:
        input (N, C, H, W); output: the encoding (N, C) and the attended map (N, C, H, W).

    Raises:
        ValueError: `in_channels` or `num_codes` below 1, or an input of another shape.
    """

    def __init__(self, in_channels: int, num_codes: int):
        super().__init__()
        self.encoding_project = layers.ConvBNReLU(in_channels, in_channels, 1)
        self.encoding = nn.Sequential(
            Encoding(in_channels, num_codes),
            nn.BatchNorm1D(num_codes),  # (N, K, C): the statistics are per codeword
            nn.ReLU(),
        )
        self.fc = nn.Sequential(nn.Linear(in_channels, in_channels), nn.Sigmoid())

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        encoded = self.encoding(self.encoding_project(x)).mean(axis=1)
        gamma = self.fc(encoded).unsqueeze([2, 3])
        return encoded, F.relu(x + x * gamma)


class Encoding(nn.Layer):
    """Residuals to learnable codewords, summed over the image with soft assignment.

    With the codewords c_k and scales s_k:

        a_ik = softmax_k(s_k * |x_i - c_k|^2)        e_k = sum_i a_ik * (x_i - c_k)

    Expanding the square leaves two matrix products, so memory grows with L * (K + C) and not with L * K * C. The
    arithmetic is float32 under mixed precision too.

    Args:
        channels: C.
        num_codes: K.

    Shape:
        input (N, C, H, W), output (N, K, C).

    Raises:
        ValueError: `channels` or `num_codes` below 1, or an input of another shape.
    """

    def __init__(self, channels: int, num_codes: int):
        super().__init__()
        if channels < 1 or num_codes < 1:
            raise ValueError(
                f"channels and num_codes must be at least 1, got channels {channels} and num_codes {num_codes}"
            )
        self.channels = channels
        bound = (channels * num_codes) ** -0.5
        self.codewords = self.create_parameter(
            (num_codes, channels), default_initializer=nn.initializer.Uniform(-bound, bound)
        )
        self.scale = self.create_parameter((num_codes,), default_initializer=nn.initializer.Uniform(-1, 0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"the input must be (N, {self.channels}, H, W), got {tuple(x.shape)}")
        with paddle.amp.auto_cast(enable=False):
            return _encode(*map(_at_least_float32, (x.flatten(2), self.codewords, self.scale)))


def _at_least_float32(x: paddle.Tensor) -> paddle.Tensor:
    """Casts float32, too, unlike the one in `layers.basic`: else Paddle 2.6 exports the parameters without values."""
    return x if x.dtype == paddle.float64 else x.astype("float32")


def _encode(x: paddle.Tensor, codewords: paddle.Tensor, scale: paddle.Tensor) -> paddle.Tensor:
    """(N, C, L), (K, C), (K,) -> (N, K, C)."""
    # |x|^2 - 2 x.c + |c|^2 cancels badly where x and c share a large offset, and s_k |x|^2 drowns the rest where
    # activations are large. Both shifts leave the function as it is, hence no gradient goes through them:
    # differences do not feel a common offset, and softmax does not feel a term that all codewords share.
    offset = codewords.detach().mean(axis=0)
    x, codewords = x - offset.unsqueeze(1), codewords - offset
    scale, top = scale.unsqueeze(1), scale.detach().max()

    distance_without_x2 = codewords.square().sum(axis=1, keepdim=True) - 2 * paddle.matmul(codewords, x)
    logits = scale * distance_without_x2 + (scale - top) * x.square().sum(axis=1, keepdim=True)
    assignment = F.softmax(logits, axis=1)  # (N, K, L)
    return paddle.matmul(assignment, x, transpose_y=True) - assignment.sum(axis=2, keepdim=True) * codewords
