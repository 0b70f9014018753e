"""Which classes are in the image? The semantic encoding loss of EncNet (Zhang et al., CVPR 2018, section 3.1).

Legend: N images, C classes.
"""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddleseg.cvlibs import manager

from paddleseg_ext.layers.basic import at_least_float32
from paddleseg_ext.losses.common import integer_labels, without_amp


@manager.LOSSES.add_component
class EncodingBCELoss(nn.Layer):
    """`encoding_bce` as a layer; C comes from the YAML, as PaddleSeg hands losses only `ignore_index`.

    Labels are checked against [0, C) on a CPU alone, since a GPU would have to be waited for; there, those out of range
    count for nothing.

    Args:
        num_classes: C.
        ignore_index: see `encoding_bce`, also for `reduction`.

    Shape:
        logits (N, C) or (N, C, 1, 1), labels (N, H, W) or (N, 1, H, W).

    Raises:
        ValueError: a wrong `num_classes` or `reduction`, logits or labels of another shape, labels out of range.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, reduction: str = "mean"):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        expected = (labels.shape[0], self.num_classes)
        if tuple(logits.shape) not in (expected, (*expected, 1, 1)):
            raise ValueError(f"the logits must be {expected} or {(*expected, 1, 1)}, got {tuple(logits.shape)}")
        labels = integer_labels(labels)
        if labels.place.is_cpu_place():
            _check_range(labels, self.num_classes, self.ignore_index)
        return encoding_bce(logits.flatten(1), labels, self.ignore_index, self.reduction)


@without_amp
def encoding_bce(
    logits: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255, reduction: str = "mean"
) -> paddle.Tensor:
    """Binary cross-entropy between the logits (N, C) and which classes are in each label map.

    An image without a valid pixel takes no part; where none takes part, the loss is 0 and so is its gradient.

    Args:
        logits: (N, C).
        labels: (N, H, W) or (N, 1, H, W), integers.
        ignore_index: the label of pixels that count for nothing.
        reduction: 'mean' over the C logits of the images that take part, 'sum', or 'none' for (N, C).

    Raises:
        ValueError: labels that are not integers.
    """
    logits = at_least_float32(logits)
    present = present_classes(labels, logits.shape[1], ignore_index).astype(logits.dtype)
    takes_part = present.max(axis=1, keepdim=True)
    loss = takes_part * F.binary_cross_entropy_with_logits(logits, present, reduction="none")
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.sum() / (takes_part.sum() * logits.shape[1]).clip(min=1)


def present_classes(labels: paddle.Tensor, num_classes: int, ignore_index: int = 255) -> paddle.Tensor:
    """1 where an image has the class and 0 elsewhere, (N, num_classes) float32, from labels (N, [1,] H, W).

    Raises:
        ValueError: labels that are not integers.
    """
    labels = integer_labels(labels).flatten(1)
    counts = (labels != ignore_index) & (labels >= 0) & (labels < num_classes)
    # The rest goes to a spare last column, which is cut off: Paddle 2.6 would write it out of bounds.
    column = paddle.where(counts, labels, paddle.full_like(labels, num_classes))
    seen = paddle.zeros((labels.shape[0], num_classes + 1))
    ones = paddle.ones_like(column, dtype="float32")  # a number would be copied to the device, which waits
    return paddle.put_along_axis(seen, column, ones, axis=1)[:, :num_classes]


def _check_range(labels: paddle.Tensor, num_classes: int, ignore_index: int) -> None:
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= num_classes))
    if bool(wrong.any()):
        values = labels[wrong].unique().tolist()
        raise ValueError(f"labels must be in [0, {num_classes}) or {ignore_index} (ignored), got {values[:10]}")
