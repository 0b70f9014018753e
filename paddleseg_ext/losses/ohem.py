"""Cross entropy of the pixels that are hard to classify, with or without weights of the classes.

N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.losses.common import check_shapes, integer_labels, without_amp
from paddleseg_ext.losses.cross_entropy import check_weight, class_weights, pixel_cross_entropy


@without_amp
def ohem_cross_entropy(
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    thresh: float,
    min_kept: int,
    weight: paddle.Tensor | None = None,
    ignore_index: int = 255,
) -> paddle.Tensor:
    """Mean over the hard pixels of weight × cross entropy.

    Hard are those whose class got a probability up to `thresh`, or the `min_kept` hardest; weights do not count
    for the choice. PaddleSeg's `OhemCrossEntropyLoss` makes the same choice, but waits for the device in between.

    Args:
        logits: (N, K, H, W).
        labels: integers (N, H, W).
        weight: (K,), of the classes.
    """
    losses = pixel_cross_entropy(logits, labels, ignore_index)
    valid = labels != ignore_index
    hardness = losses.detach().flatten()  # 0 where ignored
    kth = paddle.topk(hardness, min(min_kept, hardness.shape[0]), sorted=False)[0].min()
    kept = (valid & (losses.detach() >= paddle.clip(kth, max=-math.log(thresh)))).astype(losses.dtype)
    if weight is not None:
        losses = losses * class_weights(weight, labels, ignore_index)
    return (losses * kept).sum() / paddle.clip(kept.sum(), min=1)


@manager.LOSSES.add_component
class WeightedOhemCrossEntropyLoss(nn.Layer):
    """`ohem_cross_entropy` as a layer: PaddleSeg's `OhemCrossEntropyLoss` with weights of the classes.

    Args:
        thresh: see `ohem_cross_entropy`.
        min_kept: see `ohem_cross_entropy`; of one card's batch.
        weight: one number for each class; None weighs all alike.
        ignore_index: the label that means nothing.

    Raises:
        ValueError: `thresh` is not a probability, `min_kept` is below 1, or `weight` lacks a number for some class;
            labels that are not integers, or shapes that do not fit.
    """

    def __init__(
        self,
        thresh: float = 0.9,
        min_kept: int = 131072,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__()
        if not 0 < thresh <= 1 or min_kept < 1:
            raise ValueError(f"thresh is {thresh}, min_kept {min_kept}; expected a probability and at least 1 pixel")
        self.thresh = thresh
        self.min_kept = min_kept
        self.weight = None if weight is None else paddle.to_tensor(weight, dtype="float32")
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W)."""
        labels = integer_labels(labels)
        check_shapes(logits, labels)
        check_weight(self.weight, logits)
        return ohem_cross_entropy(logits, labels, self.thresh, self.min_kept, self.weight, self.ignore_index)
