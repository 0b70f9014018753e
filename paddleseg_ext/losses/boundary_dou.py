"""Overlap that counts more the nearer the boundary: the boundary difference over union loss (Sun et al., MICCAI 2023).

Legend: N pictures, K classes.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.boundary import rims
from paddleseg_ext.losses.common import at_least_float32, check_class_logits, without_amp

SMOOTH = 1e-5  # the authors'
MAX_ALPHA = 0.8


@without_amp
def boundary_dou(logits: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """The boundary difference over union loss of main logits against labels; see `BoundaryDoULoss`.

    Args:
        logits: (N, K, H, W).
        labels: integers (N, H, W).
        ignore_index: the label that means nothing; such pixels count for nothing, and are another class to their
            neighbours.

    Returns:
        A scalar; 1, without a gradient, for a batch without a valid pixel.
    """
    logits = at_least_float32(logits)
    k = logits.shape[1]
    # classes last: Paddle's softmax along another axis takes several times as long on a CPU
    p = F.softmax(logits.transpose([0, 2, 3, 1]).reshape([-1, k]), axis=-1)
    valid = (labels != ignore_index).flatten()
    classes = paddle.arange(k, dtype=labels.dtype)
    target = ((labels.flatten().unsqueeze(1) == classes) & valid.unsqueeze(1)).astype(p.dtype)
    weights = paddle.stack([paddle.ones_like(valid), rims(labels).flatten()]).astype(p.dtype)
    size, rim = paddle.matmul(weights, target)
    alpha = (1 - 2 * (rim + SMOOTH) / (size + SMOOTH)).clip(max=MAX_ALPHA)

    both = (p * target).sum(axis=0)
    union = size + paddle.matmul(valid.astype(p.dtype), p * p) + SMOOTH
    return ((union - 2 * both) / (union - (1 + alpha) * both)).mean()


@manager.LOSSES.add_component
class BoundaryDoULoss(nn.Layer):
    """`boundary_dou` of main logits: the difference over the union, with less of the inside the larger a class is.

    With g the one-hot labels and p the class probabilities of the batch's valid pixels, for each class

        (G + P − 2 I) / (G + P − (1 + α) I),   G = Σ g², P = Σ p², I = Σ g p,   α = min(1 − 2 C / S, 0.8),

    S being the pixels of the class and C those of them beside another class or the frame (`paddleseg_ext.boundary.
    rims`); the mean over all K classes, of which absent ones are 1. α = −1 (all rim) gives a squared Dice loss, and the
    nearer α is to 1, the less the agreement inside of large regions hides the difference at their boundary.

    Source: Sun et al., "Boundary Difference Over Union Loss for Medical Image Segmentation", MICCAI 2023
    (https://arxiv.org/abs/2308.00220), equation 2 with the authors' 1e-5 in each quotient.

    When to use: beside cross entropy, for any network, as it needs the main logits alone; from the first iteration on.
    Where few of many classes are in a batch it is small beside them. Weight: 1, the authors'.

    Args:
        ignore_index: the label that means nothing.

    Raises:
        ValueError: labels that are not integers or not of the logits' size; one class.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W)."""
        check_class_logits(logits, labels)
        return boundary_dou(logits, labels, self.ignore_index)
