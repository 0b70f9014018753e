"""Losses around class boundaries, as SANet is trained with (https://arxiv.org/abs/2309.10519).

N images, K classes. Boundary targets are made from the labels on the device (`paddleseg_ext.boundary`), so the
losses need nothing but labels; whoever has boundary labels of their own passes them as `boundary`.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.boundary import DEFAULT_WIDTH, binary_boundary, class_boundary
from paddleseg_ext.layers.basic import at_least_float32
from paddleseg_ext.losses.common import check_shapes, integer_labels, without_amp
from paddleseg_ext.losses.ohem import WeightedOhemCrossEntropyLoss


@without_amp
def balanced_bce(logits: paddle.Tensor, target: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
    """Class-balanced binary cross entropy: what is rare weighs more.

    With p, n and m the numbers of positive, negative and all valid pixels of a channel, a positive pixel weighs n/m
    and a negative one p/m; the mean is over the m pixels, and the channels are summed.

    Args:
        logits: (N, C, H, W).
        target: 0 or 1, (N, C, H, W).
        valid: 0 or 1, (N, 1, H, W); the pixels that count.

    Returns:
        A scalar; 0 for a batch without a valid pixel, or without a positive (negative) one.
    """
    logits = at_least_float32(logits)
    target = target.astype(logits.dtype)
    valid = valid.astype(logits.dtype)
    positive = target * valid
    negative = valid - positive
    # not by pos_weight, with which Paddle 2.6 computes something else on a CPU
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    pixels = paddle.clip(valid.sum(), min=1)
    loss = _sum_of_channels(negative) / pixels * _sum_of_channels(entropy * positive)
    loss += _sum_of_channels(positive) / pixels * _sum_of_channels(entropy * negative)
    return loss.sum() / pixels


def _sum_of_channels(x: paddle.Tensor) -> paddle.Tensor:
    """(N, C, H, W) to (C,), axis by axis: of all three at once, a CPU's sum of a million pixels is percents off."""
    return x.sum(3).sum(2).sum(0)


@manager.LOSSES.add_component
class BoundaryBCELoss(nn.Layer):
    """`balanced_bce` of boundary logits against the boundaries in the labels.

    The official recipe gives it the coefficient 20.

    Args:
        width: thickness of the boundary in pixels, see `paddleseg_ext.boundary.binary_boundary`.
        ignore_index: the label that means nothing.

    Raises:
        ValueError: a `width` below 1, labels that are not integers, or shapes that do not fit.
    """

    def __init__(self, width: int = DEFAULT_WIDTH, ignore_index: int = 255):
        super().__init__()
        if width < 1:
            raise ValueError(f"width is {width}; expected at least 1 pixel")
        self.width = width
        self.ignore_index = ignore_index

    def forward(
        self, logits: paddle.Tensor, labels: paddle.Tensor, boundary: paddle.Tensor | None = None
    ) -> paddle.Tensor:
        """logits (N, 1, H, W), labels (N, H, W); `boundary` (N, H, W) of 0 and 1 replaces the labels' own."""
        labels = integer_labels(labels)
        check_shapes(logits, labels, channels=1)
        if boundary is None:
            boundary = binary_boundary(labels, self.width, self.ignore_index)
        check_shapes(logits, boundary)
        return balanced_bce(logits, boundary.unsqueeze(1), (labels != self.ignore_index).unsqueeze(1))


@manager.LOSSES.add_component
class MultiClassBoundaryLoss(BoundaryBCELoss):
    """`balanced_bce` with a channel for each class: the pixels of that class along its boundary.

    The class-wise boundary supervision of MSFNet (https://arxiv.org/abs/1911.07217), which SANet's authors tried. The
    sum over classes is of the size of `BoundaryBCELoss`, so that the same coefficient suits.

    Args:
        width: see `BoundaryBCELoss`.
        ignore_index: see `BoundaryBCELoss`.

    Raises:
        ValueError: see `BoundaryBCELoss`.
    """

    def forward(
        self, logits: paddle.Tensor, labels: paddle.Tensor, boundary: paddle.Tensor | None = None
    ) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W); `boundary` (N, K, H, W) of 0 and 1 replaces the labels' own."""
        labels = integer_labels(labels)
        check_shapes(logits, labels)
        if boundary is None:
            boundary = class_boundary(labels, logits.shape[1], self.width, self.ignore_index)
        if boundary.shape != logits.shape:
            raise ValueError(
                f"logits have the shape {list(logits.shape)}, boundary {list(boundary.shape)}; not the same"
            )
        return balanced_bce(logits, boundary, (labels != self.ignore_index).unsqueeze(1))


@manager.LOSSES.add_component
def EdgeLabelBCELoss(ignore_index: int = 255) -> BCELoss:
    """`balanced_bce` of boundary logits against the boundary labels that the transform `AddEdgeLabel` draws.

    What the official SANet trains its boundary head with, with the coefficient 20: every pixel counts; ignored ones
    have boundaries like any other, the padding of small images has none. Boundary labels of a data set with
    `edge: True` will do, but PaddleSeg draws them after it has scaled the image.

    Args:
        ignore_index: what labels are padded with; PaddleSeg's builder gives it to every loss.

    Raises:
        ValueError: when it is called without boundary labels, or with logits of another size.
    """
    return BCELoss(ignore_index)


class BCELoss(nn.Layer):
    """What `EdgeLabelBCELoss` builds: PaddleSeg's trainer hands boundary labels to losses of just this class name.

    Raises:
        ValueError: see `EdgeLabelBCELoss`.
    """

    edge_label = True

    def __init__(self, ignore_index: int):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, edges: paddle.Tensor | None) -> paddle.Tensor:
        """logits (N, 1, H, W), edges (N, [1,] H, W): 1 on boundaries, `ignore_index` in padding, 0 elsewhere."""
        if edges is None:
            raise ValueError(
                "EdgeLabelBCELoss: the data set gives no boundary labels: add `- type: AddEdgeLabel` to the front of "
                "train_dataset.transforms"
            )
        edges = edges if edges.ndim == 4 else edges.unsqueeze(1)
        check_shapes(logits, edges[:, 0], channels=1)
        boundary = (edges != 0) & (edges != self.ignore_index)
        return balanced_bce(logits, boundary, paddle.ones_like(boundary))


@manager.LOSSES.add_component
class BoundaryAwareOhemCrossEntropyLoss(WeightedOhemCrossEntropyLoss):
    """`ohem_cross_entropy` of the main logits on the pixels that the network itself holds for boundary.

    Those are the pixels where sigmoid(boundary logit) > `boundary_thresh`, of any channel if there are many. No
    gradient goes to the boundary logits.

    Args:
        thresh: see `WeightedOhemCrossEntropyLoss`, also for `min_kept`, `weight` and `ignore_index`.
        boundary_thresh: a probability.

    Raises:
        ValueError: see `WeightedOhemCrossEntropyLoss`; `boundary_thresh` is not a probability; not a pair of logits;
            labels that are not integers, or shapes that do not fit.
    """

    def __init__(
        self,
        thresh: float = 0.9,
        min_kept: int = 131072,
        boundary_thresh: float = 0.8,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__(thresh, min_kept, weight, ignore_index)
        if not 0 <= boundary_thresh < 1:
            raise ValueError(f"boundary_thresh is {boundary_thresh}; expected a probability below 1")
        self.boundary_thresh = boundary_thresh

    def forward(self, logits: tuple[paddle.Tensor, paddle.Tensor], labels: paddle.Tensor) -> paddle.Tensor:
        """logits: the main (N, K, H, W) and the boundary logits (N, any, H, W); labels (N, H, W)."""
        if not isinstance(logits, (tuple, list)) or len(logits) != 2:
            raise ValueError("expected the pair of main and boundary logits, SANet's output 'boundary_aware'")
        main, boundary = logits
        labels = integer_labels(labels)
        check_shapes(main, labels)
        check_shapes(boundary, labels)
        on_boundary = F.sigmoid(at_least_float32(boundary.detach()).max(axis=1)) > self.boundary_thresh
        labels = paddle.where(on_boundary, labels, paddle.full_like(labels, self.ignore_index))
        return super().forward(main, labels)
