"""Cross entropy pixel by pixel, with or without weights of the classes.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.layers.basic import at_least_float32
from paddleseg_ext.losses.common import check_shapes, integer_labels, without_amp


def pixel_cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """(N, H, W), 0 where ignored, of logits (N, K, H, W) and integer labels (N, H, W)."""
    losses = F.cross_entropy(
        at_least_float32(logits).transpose([0, 2, 3, 1]), labels, ignore_index=ignore_index, reduction="none"
    )
    return losses.reshape(labels.shape)


def class_weights(weight: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """The weight of each pixel's class, in the shape of `labels`; that of class 0 where ignored."""
    classes = paddle.where(labels != ignore_index, labels, paddle.zeros_like(labels))
    return weight.gather(classes.flatten()).reshape(labels.shape)


def check_weight(weight: paddle.Tensor | None, logits: paddle.Tensor) -> None:
    """Raises ValueError unless `weight`, if given, has a number for each class of logits (N, K, H, W)."""
    if weight is not None and weight.shape != [logits.shape[1]]:
        raise ValueError(
            f"weight has {weight.size} numbers, the logits have {logits.shape[1]} classes: give each class one number"
        )


@manager.LOSSES.add_component
class AllPixelCrossEntropyLoss(nn.Layer):
    """Weight × cross entropy, summed and divided by the number of all pixels, ignored ones included.

    The official SANet's auxiliary loss. PaddleSeg's `CrossEntropyLoss` with `avg_non_ignore: False` is the same
    without weights; with them, PaddleSeg 2.8 divides by their sum.

    Args:
        weight: one number for each class; None weighs all alike.
        ignore_index: the label that means nothing.

    Raises:
        ValueError: `weight` lacks a number for some class; labels that are not integers, or shapes that do not fit.
    """

    def __init__(self, weight: Sequence[float] | None = None, ignore_index: int = 255):
        super().__init__()
        self.weight = None if weight is None else paddle.to_tensor(weight, dtype="float32")
        self.ignore_index = ignore_index

    @without_amp
    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W)."""
        labels = integer_labels(labels)
        check_shapes(logits, labels)
        check_weight(self.weight, logits)
        losses = pixel_cross_entropy(logits, labels, self.ignore_index)
        if self.weight is not None:
            losses = losses * class_weights(self.weight, labels, self.ignore_index)
        return losses.sum() / losses.size  # a CPU's mean of a million pixels is half a percent off
